/** `quorate inspect`: what is in the data folder of a member, without changing anything. */
import { StoreError } from '../base/errors.js'
import type { KeyRange } from '../env/database.js'
import type { Env } from '../env/env.js'
import { nodeEnv } from '../env/node-env.js'
import { type LogSurvey, readSurveyed } from '../log/survey.js'
import type { StateMachine } from '../machine/state-machine.js'
import type { LogIndex } from '../raft/types.js'
import { parseWordsAndFlags, UsageError, wholeNumber } from './command-line.js'
import { describeEntry, describeFrame } from './inspect/decode.js'
import { describeCoded, describeKey } from './inspect/describe-command.js'
import { type FolderSurvey, surveyFolder } from './inspect/folder.js'
import { openStateCopy } from './inspect/state-copy.js'
import { bytes, count, paint, print, table } from './terminal.js'

/** What `quorate inspect --help` prints. */
export const INSPECT_HELP: string = `quorate inspect DIR [flags]

Shows what is in a member's data folder: who it belongs to, the log with its segments and what it says, the
checkpoint, and where anything is damaged. Changes nothing, and needs nobody else. Of a member that is
running it shows a moment, whose last write may look unfinished.

  --log             every batch and frame, with its place; each was checked
  --entries A..B    the entries from A to B, decoded; one number for one entry
  --state           the keys at the checkpoint, with the index of the last change of each
  --at N            with --state: as of entry N, by applying entries of the log to a copy
  --prefix TEXT     with --state: only keys that begin so
  --limit N         with --state: at most so many keys (100)
  --json            the summary as JSON

Exit code 1 when acknowledged data is damaged; quorate doctor says what can be done.`

const LIMIT = 100
const MEMORY = { writeBufferBytes: 1024 * 1024, cacheBytes: 1024 * 1024 }
const CHUNK_ENTRIES = 100
const CHUNK_BYTES = 1024 * 1024

interface Range {
  readonly from: LogIndex
  readonly to: LogIndex
}

interface StateWish {
  readonly at: LogIndex | undefined
  readonly prefix: string | undefined
  readonly limit: number
}

/** Runs the command; resolves with its exit code. */
export async function inspect(args: readonly string[]): Promise<number> {
  const { values: flags, positionals } = parseWordsAndFlags(args, {
    log: { type: 'boolean', default: false },
    entries: { type: 'string' },
    state: { type: 'boolean', default: false },
    at: { type: 'string' },
    prefix: { type: 'string' },
    limit: { type: 'string', default: String(LIMIT) },
    json: { type: 'boolean', default: false },
  })
  const [dir, ...others] = positionals
  if (dir === undefined || others.length > 0) throw new UsageError('inspect takes one DIR')
  if (!flags.state && (flags.at !== undefined || flags.prefix !== undefined)) {
    throw new UsageError('--at and --prefix are for --state')
  }
  const range = flags.entries === undefined ? undefined : rangeOf(flags.entries)
  const at = flags.at === undefined ? undefined : wholeNumber('at', flags.at, 0)
  const limit = wholeNumber('limit', flags.limit, 1)
  const env = nodeEnv(MEMORY)
  const survey = await surveyFolder(env, dir, flags.log ? printBatch : undefined)
  if (flags.json) print(JSON.stringify(plainOf(survey), undefined, 2))
  else if (!flags.log && range === undefined && !flags.state) describe(survey)
  if (range !== undefined) await printEntries(env, survey, range)
  if (flags.state) await printState(env, survey, { at, prefix: flags.prefix, limit })
  return isDamaged(survey) ? 1 : 0
}

/** Whether something that was acknowledged cannot be read. */
export function isDamaged({ identity, stateDir, log, state }: FolderSurvey): boolean {
  const isUnreadable = [identity, stateDir, state].some((part) => part instanceof StoreError)
  return isUnreadable || log?.findings.some(({ kind }) => kind !== 'torn') === true
}

function rangeOf(text: string): Range {
  const [from, to, ...more] = text.split('..')
  if (from === undefined || more.length > 0) throw new UsageError('--entries takes A..B')
  const first = wholeNumber('entries', from, 1)
  return { from: first, to: to === undefined ? first : wholeNumber('entries', to, first) }
}

const printBatch: Parameters<typeof surveyFolder>[2] = (
  { path },
  { batch, start, end, frames },
) => {
  print(paint('bold', `${path.split('/').at(-1)}  batch ${batch}  ${start} to ${end}`))
  for (const frame of frames) print(`  ${describeFrame(frame)}`)
}

async function printEntries({ disk }: Env, { log, dir }: FolderSurvey, { from, to }: Range) {
  if (log === undefined) throw new StoreError('QUORATE_NOT_READY', `there is no log in ${dir}`)
  for (let at = from; at <= to; at++) {
    const entry = await readSurveyed(disk, log, at)
    if (entry === undefined) {
      const { previous, lastIndex } = log
      print(`the log holds ${count(previous.index + 1)} to ${count(lastIndex)}, not ${count(at)}`)
      return
    }
    for (const line of describeEntry(entry)) print(line)
  }
}

async function printState(env: Env, survey: FolderSurvey, { at, prefix, limit }: StateWish) {
  const { identity, stateDir, log } = survey
  if (identity instanceof StoreError) throw identity
  if (stateDir instanceof StoreError) throw stateDir
  if (identity === undefined) {
    throw new StoreError('QUORATE_NOT_READY', `${survey.dir} is no member's data folder`)
  }
  const { machine, close } = await openStateCopy(stateDir, identity)
  try {
    for (let next = machine.appliedIndex + 1; next <= (at ?? 0); next++) {
      const entry = log && (await readSurveyed(env.disk, log, next))
      if (entry === undefined) throw notThere(at!, machine.appliedIndex)
      await machine.apply([entry])
    }
    if (at !== undefined && machine.appliedIndex !== at) throw notThere(at, machine.appliedIndex)
    print(`state at index ${count(machine.appliedIndex)} of term ${machine.appliedTerm}`)
    await printKeys(machine, prefix, limit)
  } finally {
    await close()
  }
}

async function printKeys(
  machine: StateMachine,
  prefix: string | undefined,
  limit: number,
): Promise<void> {
  const view = machine.view()
  const cursor = view.scan(prefix === undefined ? {} : rangeBelow(prefix), false)
  let shown = 0
  while (shown < limit) {
    const some = await cursor.next(Math.min(CHUNK_ENTRIES, limit - shown), CHUNK_BYTES)
    if (some.length === 0) break
    for (const [key, { value, revision, isCoded }] of some) {
      const what = isCoded ? describeCoded(value) : bytes(value.length)
      print(`${describeKey(key)}  changed at ${count(revision)}, ${what}`)
    }
    shown += some.length
  }
  if (shown === limit) print(`the first ${count(limit)} keys; --limit shows more`)
  await cursor.close()
  await view.close()
}

/** All keys that begin with `prefix`. No byte of UTF-8 is the highest one. */
function rangeBelow(prefix: string): KeyRange {
  const gte = Buffer.from(prefix)
  const lt = Buffer.from(gte)
  lt[lt.length - 1]!++
  return { gte, lt }
}

function notThere(at: LogIndex, applied: LogIndex): StoreError {
  return new StoreError(
    'QUORATE_NOT_READY',
    `the checkpoint is at ${applied}, and the log has no entries from there to ${at}`,
  )
}

function describe(survey: FolderSurvey): void {
  const { identity, stateDir, plan, state, log, holder } = survey
  const fact = (name: string, words: string) => print(`${paint('dim', name.padEnd(11))} ${words}`)
  if (holder !== undefined) fact('in use', `by process ${holder}: what is shown may be changing`)
  if (identity instanceof StoreError) fact('member', identity.message)
  else if (identity === undefined) fact('member', 'none: this is no member’s data folder')
  else fact('member', `${identity.id}, node ${identity.nodeId} of cluster ${identity.clusterId}`)
  if (state instanceof StoreError) fact('checkpoint', state.message)
  else if (stateDir instanceof StoreError) fact('checkpoint', stateDir.message)
  else if (state === undefined) fact('checkpoint', 'none yet')
  else {
    const names = state.members.map(({ id, nodeId }) => `${id} (${nodeId})`).join(', ')
    fact('checkpoint', `index ${count(state.index)} of term ${state.term}, in ${stateDir}`)
    fact('sessions', count(state.sessions))
    fact('members', names)
  }
  if (plan !== undefined) {
    const { index, term } = plan
    fact('install', `of the state at ${count(index)} of term ${term}, begun and not ended`)
  }
  if (log === undefined) fact('log', 'none')
  else describeLog(log, fact)
}

function describeLog(log: LogSurvey, fact: (name: string, words: string) => void): void {
  const { hardState, previous, lastIndex, segments, findings, others } = log
  const { term, vote, commit } = hardState
  const voted = vote === 0 ? 'no vote in it' : `voted for node ${vote}`
  fact('log', `entries ${count(previous.index + 1)} to ${count(lastIndex)}`)
  fact('begins', `after entry ${count(previous.index)} of term ${previous.term}`)
  fact('hard state', `term ${term}, ${voted}; committed up to ${count(commit)} at least`)
  const rows = segments.map(({ path, firstIndex, batches, end, bytes: size }) => [
    path.split('/').at(-1)!,
    count(firstIndex),
    count(batches),
    bytes(end),
    bytes(size),
  ])
  print(`\n${table(['segment', 'entries from', 'batches', 'written', 'file'], rows)}`)
  for (const path of others) print(`not part of the log: ${path}`)
  for (const { kind, path, offset, words } of findings) {
    print(paint(kind === 'torn' ? 'yellow' : 'red', `${kind}: ${path}, offset ${offset}: ${words}`))
  }
}

/** For JSON: errors as words, and no places of entries. */
function plainOf({ log, ...survey }: FolderSurvey): unknown {
  const plain = Object.fromEntries(
    Object.entries(survey).map(([name, part]) => [
      name,
      part instanceof StoreError ? { error: part.code, message: part.message } : part,
    ]),
  )
  if (log === undefined) return plain
  const { index: _places, segments, ...rest } = log
  const shown = segments.map(({ header: _header, ...segment }) => segment)
  return { ...plain, log: { ...rest, segments: shown } }
}
