import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connected, NAMES, three } from './remote-fixture.js'

const KEYS = Array.from({ length: 3000 }, (_, i) => `k${String(i).padStart(4, '0')}`)

for (const onCompacted of ['reset', 'end'] as const) {
  test(`a state whose member is lost in the middle: ${onCompacted}`, async () => {
    const cluster = await three(7)
    const store = await connected(cluster)
    for (let from = 0; from < KEYS.length; from += 500) {
      const keys = KEYS.slice(from, from + 500)
      await cluster.run(store.batch(keys.map((key) => ({ type: 'put', key, value: 1 }))))
    }
    const watch = store.watch<number>({ initial: true, onCompacted, consistency: 'eventual' })
    const state = new Map<string, number>()
    const given: string[] = []
    let error: unknown
    while (!given.includes('last') && error === undefined) {
      const step = await cluster.run(watch.next()).catch((reason: unknown) => {
        error = reason
      })
      const event = step?.value
      if (event === undefined) break
      given.push(event.type === 'state' && event.isLast ? 'last' : event.type)
      if (event.type === 'reset') state.clear()
      if (event.type === 'state') for (const [key, value] of event.entries) state.set(key, value)
      if (given.length > 1) continue
      for (const name of NAMES) {
        cluster.kill(name)
        await cluster.restart(name)
        await cluster.awaitLeader()
      }
    }
    if (onCompacted === 'end') assert.equal((error as { code?: string }).code, 'QUORATE_NETWORK')
    else {
      assert.deepEqual([...state.keys()], KEYS)
      assert.equal(given.filter((type) => type === 'reset').length, 1)
    }
    await cluster.run(store.close())
    await cluster.close()
  })
}
