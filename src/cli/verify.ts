/** `quorate verify`: reads all of a backup and checks it. */
import { Store, type VerifiedBackup } from '../index.js'
import { parseWordsAndFlags, UsageError } from './command-line.js'
import { longWork } from './long-work.js'
import { bytes, count, print } from './terminal.js'

/** What `quorate verify --help` prints. */
export const VERIFY_HELP: string = `quorate verify BACKUP

Reads all of a backup and checks every hash, every value, and that it is one whole state. Changes nothing.
Ends with 0 when all is well, else with 1 and what is damaged.

  --json  print what the backup holds as JSON`

/** Runs the command; resolves with its exit code. */
export async function verify(args: readonly string[]): Promise<number> {
  const { values: flags, positionals } = parseWordsAndFlags(args, {
    json: { type: 'boolean', default: false },
  })
  const [src, ...others] = positionals
  if (src === undefined || others.length > 0) throw new UsageError('verify takes one BACKUP')
  return longWork('verify', async (options) => {
    const verified = await Store.verify(src, options)
    if (flags.json) print(JSON.stringify(verified, undefined, 2))
    else describe(src, verified)
  })
}

function describe(src: string, verified: VerifiedBackup): void {
  const { clusterId, index, term, entries, chunks, largeValues } = verified
  print(`${src} is whole: ${bytes(verified.bytes)} in ${count(chunks)} chunks`)
  print(
    `cluster ${clusterId}, index ${count(index)}, term ${count(term)}, ${count(entries)} records`,
  )
  if (largeValues > 0) print(`${count(largeValues)} large values are in it, beside the chunks`)
}
