/** Opens the store in a folder, reads once, and prints how long that took; `close` or `kill` ends the process. */
import { Store } from '../src/index.js'

const [dir, churn] = process.argv.slice(2)
const begun = performance.now()
const store = await Store.open({ dir: dir!, valueEncoding: 'binary' })
await store.get('key:000000000000')
process.stdout.write(`${performance.now() - begun}\n`)
if (churn === undefined) await store.close()
else {
  const value = Buffer.alloc(128, 'c')
  await Promise.all(Array.from({ length: Number(churn) }, (_, i) => store.put(`churn:${i}`, value)))
  process.kill(process.pid, 'SIGKILL')
}
