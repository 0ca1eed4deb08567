/**
 * Writes of large values: their shards become durable first, then one command with their manifests is decided.
 *
 * Invariant: an upload is dropped only when no write of its manifest can happen any more.
 */
import { StoreError } from '../base/errors.js'
import { type Command, type Put, RESULT_UNCOVERED, RESULT_YES } from '../wire/command.js'
import { type LargeCommand, withManifests } from './large-command.js'
import type { Coded } from './pending-writes.js'
import type { Uploaded, UploadSpec, Uploads } from './uploads.js'

/** What a command with a result came to, and how long its caller waits for whatever is left to do. */
export interface Decided extends Coded {
  readonly deadline: number
}

/** So often values in memory are sent anew when the term or the members had changed meanwhile. */
const ATTEMPTS_MAX = 4

/**
 * Stores what `large` has to store, and lets `decide` send the command.
 * @throws {StoreError} as Uploads.all and `decide`; QUORATE_UNDERCOVERED the members or their leader changed too
 *   often
 */
export async function writeLarge(
  uploads: Pick<Uploads, 'all'>,
  { command, sources }: LargeCommand,
  spec: UploadSpec,
  decide: (command: Command) => Promise<Decided>,
): Promise<Decided> {
  const isRepeatable = [...sources.values()].every(({ type }) => type === 'bytes')
  for (let attempt = 1; ; attempt++) {
    const uploaded = await uploads.all(sources, spec)
    let decided: Decided
    try {
      decided = await decide(withManifests(command, uploaded))
    } catch (error) {
      if (isWithoutEffect(error)) dropAll(uploaded.values())
      throw error
    }
    dropAll(unused(command, uploaded, decided.code))
    if (decided.code !== RESULT_UNCOVERED) return decided
    if (!isRepeatable || attempt >= ATTEMPTS_MAX) throw uncovered()
  }
}

/** What is not in force after `command` ended with `code`: that of the branch that was not taken, or all. */
function unused(
  command: Command,
  uploaded: ReadonlyMap<Put, Uploaded>,
  code: number,
): Iterable<Uploaded> {
  if (code === RESULT_UNCOVERED) return uploaded.values()
  if (command.type !== 'txn') return []
  const other = code === RESULT_YES ? command.else : command.then
  return [...uploaded].filter(([put]) => other.includes(put)).map(([, upload]) => upload)
}

function dropAll(uploads: Iterable<Uploaded>): void {
  for (const upload of uploads) upload.drop()
}

/** Whether nothing happened, nor will. */
function isWithoutEffect(error: unknown): boolean {
  return !(error instanceof StoreError) || error.outcome === 'none'
}

function uncovered(): StoreError {
  const message =
    'the leader or the members changed while the value was stored; nothing was changed: put it again'
  return new StoreError('QUORATE_UNDERCOVERED', message, { retryable: true })
}
