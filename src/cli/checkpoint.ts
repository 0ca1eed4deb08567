/** `quorate checkpoint`: has a running member take a checkpoint, or its cluster retain one. */
import { asRetainedCheckpoint } from '../wire/retained-call.js'
import { ask } from './asking.js'
import { parseWordsAndFlags, UsageError, wholeNumber } from './command-line.js'
import { PROTECTION_FLAGS, PROTECTION_HELP, readProtection } from './protection.js'
import { count, print } from './terminal.js'

const DEFAULT_TIMEOUT_MS = 600_000
/** An answer that says that the time is up comes a little later. */
const ANSWER_MS = 1_000

/** What `quorate checkpoint --help` prints. */
export const CHECKPOINT_HELP: string = `quorate checkpoint ADDRESS [--retain]

Has the member that listens on ADDRESS (host:port or unix:/path) make its state durable in LevelDB and shorten
its log, which happens by itself as the log grows.

  --retain         have all members keep the state as it is now, each a share of it: any k of them are the whole
                   (quorate restore --from-cluster). The one that was retained before goes.
  --timeout-ms N   how long it may take (${DEFAULT_TIMEOUT_MS})
  --json           print the answer as JSON
${PROTECTION_HELP}`

/** Runs the command; resolves with its exit code. */
export async function checkpoint(args: readonly string[]): Promise<number> {
  const { values: flags, positionals } = parseWordsAndFlags(args, {
    retain: { type: 'boolean', default: false },
    'timeout-ms': { type: 'string', default: String(DEFAULT_TIMEOUT_MS) },
    json: { type: 'boolean', default: false },
    ...PROTECTION_FLAGS,
  })
  const [address, ...others] = positionals
  if (address === undefined || others.length > 0) {
    throw new UsageError('checkpoint takes one ADDRESS')
  }
  const timeoutMs = wholeNumber('timeout-ms', flags['timeout-ms'], 1)
  const protection = await readProtection(flags)
  return ask(address, protection, timeoutMs, async (connection) => {
    const call = (method: string, params: unknown): Promise<unknown> =>
      connection.call(method, params, timeoutMs + ANSWER_MS)
    if (!flags.retain) {
      const index = Number(await call('checkpoint', undefined))
      print(flags.json ? JSON.stringify({ index }) : `checkpoint at index ${count(index)}`)
      return 0
    }
    const { index, root } = asRetainedCheckpoint(
      await call('retained', { type: 'retain', timeoutMs }),
    )
    if (flags.json) print(JSON.stringify({ index, root }))
    else print(`the state at index ${count(index)} is retained, root ${root}`)
    return 0
  })
}
