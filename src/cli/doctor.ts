/** `quorate doctor`: says in words what is wrong with the data folder of a member, and what can be done. */
import { unreachable } from '../base/assert.js'
import { StoreError } from '../base/errors.js'
import { nodeEnv } from '../env/node-env.js'
import type { LogFinding, LogSurvey } from '../log/survey.js'
import { readStoredValue } from '../machine/stored-value.js'
import { parseWordsAndFlags, UsageError } from './command-line.js'
import { describeKey } from './inspect/describe-command.js'
import { type FolderSurvey, type StateSurvey, surveyFolder } from './inspect/folder.js'
import { openStateCopy } from './inspect/state-copy.js'
import { bytes, count, paint, print } from './terminal.js'

/** What `quorate doctor --help` prints. */
export const DOCTOR_HELP: string = `quorate doctor DIR [flags]

Looks at a member's data folder, changes nothing, and says in words what is wrong with it and what can be
done. Exit code 1 when the member would not start, or would not have all that it acknowledged.

  --values   also read every value at the checkpoint and check it
  --json     the findings as JSON`

const MEMORY = { writeBufferBytes: 1024 * 1024, cacheBytes: 1024 * 1024 }
const LOW_BYTES = 128 * 1024 * 1024
const CHUNK_ENTRIES = 1000
const CHUNK_BYTES = 1024 * 1024
const KEYS_NAMED = 5

/** One thing that was found. */
export interface Diagnosis {
  /** `fine`: as it should be; `note`: worth knowing, and put right by a start; `wrong`: somebody has to act. */
  readonly kind: 'fine' | 'note' | 'wrong'
  readonly words: string
  /** What can be done, the best first. */
  readonly remedies: readonly string[]
}

/** Runs the command; resolves with its exit code. */
export async function doctor(args: readonly string[]): Promise<number> {
  const { values: flags, positionals } = parseWordsAndFlags(args, {
    values: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  })
  const [dir, ...others] = positionals
  if (dir === undefined || others.length > 0) throw new UsageError('doctor takes one DIR')
  const env = nodeEnv(MEMORY)
  const survey = await surveyFolder(env, dir)
  const diagnoses = [...diagnose(survey), ...(flags.values ? await checkValues(survey) : [])]
  if (flags.json) print(JSON.stringify(diagnoses, undefined, 2))
  else describe(dir, diagnoses)
  return diagnoses.some(({ kind }) => kind === 'wrong') ? 1 : 0
}

/** What is to be said about a folder. */
export function diagnose(survey: FolderSurvey): Diagnosis[] {
  const { identity, holder, dir } = survey
  if (identity === undefined) {
    const isOrphan = survey.log !== undefined || survey.state !== undefined
    return [isOrphan ? withoutIdentity(dir) : wrong(`${dir} is no member's data folder.`, [])]
  }
  if (identity instanceof StoreError) return [wrong(`${sentence(identity)}`, givenUp(survey))]
  const words = `The folder is that of ${identity.id} in cluster ${identity.clusterId}.`
  const all = [fine(words)]
  if (holder !== undefined) {
    all.push(note(`Process ${holder} has it open: what is said here is about one moment of it.`))
  }
  return [...all, ...ofLog(survey), ...ofState(survey), ...ofDisk(survey)]
}

function withoutIdentity(dir: string): Diagnosis {
  return wrong(`${dir} has data, and member.json, which says whose it is, is gone.`, [
    'Put the file back from a copy of this folder; it never changes.',
    'Give the folder up: remove the member and add a new one, or restore a backup.',
  ])
}

function ofLog(survey: FolderSurvey): Diagnosis[] {
  const { log, dir } = survey
  if (log === undefined) {
    if (survey.state === undefined) return [note('It has no log yet: it was never started.')]
    return [wrong(`The log is gone: ${dir}/log has no segments.`, givenUp(survey))]
  }
  const found = log.findings.map((finding) => ofFinding(survey, log, finding))
  if (found.every(({ kind }) => kind !== 'wrong')) {
    const { previous, lastIndex, segments } = log
    const range = `${count(previous.index + 1)} to ${count(lastIndex)}`
    found.push(fine(`The log is whole: entries ${range}, in segments: ${count(segments.length)}.`))
  }
  return found
}

function ofFinding(survey: FolderSurvey, log: LogSurvey, finding: LogFinding): Diagnosis {
  const { kind, path, offset, words } = finding
  const place = `${path}, offset ${offset}`
  switch (kind) {
    case 'torn':
      return note(
        `The last write never finished (${place}: ${words}). Nothing of it was acknowledged; ` +
          'the next start cuts it off and keeps it in a .broken file.',
      )
    case 'foreign':
      return wrong(`${place}: ${words}.`, [
        'Start it with the version that wrote it, or a newer one.',
      ])
    case 'damaged': {
      const kept = `Entries up to ${count(log.lastIndex)} can be read.`
      return wrong(`The log is damaged: ${place}: ${words}. ${kept}`, givenUp(survey))
    }
    default:
      return unreachable(kind)
  }
}

function ofState(survey: FolderSurvey): Diagnosis[] {
  const { state, stateDir, log, plan } = survey
  if (stateDir instanceof StoreError) return [wrong(sentence(stateDir), givenUp(survey))]
  const found: Diagnosis[] = []
  if (plan !== undefined) {
    const words = `A snapshot at index ${count(plan.index)} is being installed: the next start ends it.`
    found.push(note(words))
  }
  for (const name of survey.setAside) {
    found.push(note(`${name} was set aside because it was damaged; it may be removed.`))
  }
  const isGone = state === undefined && log !== undefined && log.previous.index > 0
  if (state instanceof StoreError) found.push(damagedState(survey, state))
  else if (isGone && plan === undefined) {
    const words = `${stateDir} is gone, and the log does not have what was in it`
    found.push(damagedState(survey, new StoreError('QUORATE_CORRUPTION', words)))
  } else if (state !== undefined && log !== undefined && plan === undefined) {
    found.push(...ofCheckpoint(survey, state, log))
  }
  return found
}

/** LevelDB is disposable (design D2): what it takes depends on what else there is. */
function damagedState(survey: FolderSurvey, error: StoreError): Diagnosis {
  const words = sentence(error)
  if (survey.log?.previous.index === 0) {
    return note(`${words} The log has everything since the beginning: the next start rebuilds it.`)
  }
  if (isLone(survey)) {
    const why = 'The log does not reach back to the beginning, and there is no other member.'
    return wrong(`${words} ${why}`, ['Restore a backup: quorate restore.'])
  }
  return note(`${words} The next start sets it aside and has it again from another member.`)
}

function ofCheckpoint(survey: FolderSurvey, state: StateSurvey, log: LogSurvey): Diagnosis[] {
  const { index } = state
  const range = `the log holds ${count(log.previous.index + 1)} to ${count(log.lastIndex)}`
  if (index > log.lastIndex || index < log.previous.index) {
    const words = `The checkpoint is at index ${count(index)}, and ${range}: entries are missing.`
    return [wrong(words, givenUp(survey))]
  }
  const behind = log.lastIndex - index
  const words = `The checkpoint is at index ${count(index)}; a start applies up to ${count(behind)} more.`
  return [fine(words)]
}

function ofDisk({ freeBytes }: FolderSurvey): Diagnosis[] {
  if (freeBytes >= LOW_BYTES) return []
  const words = `Only ${bytes(freeBytes)} are free on its disk: new writes are refused there.`
  return [note(words, ['Make room; see storage.minFreeBytes. It goes on by itself then.'])]
}

/** Whether nobody else has the data, as far as the folder tells. */
function isLone({ identity, state }: FolderSurvey): boolean {
  const members =
    state !== undefined && !(state instanceof StoreError)
      ? state.members
      : identity !== undefined && !(identity instanceof StoreError)
        ? identity.firstMembers
        : []
  return members.length <= 1
}

/** What is left when acknowledged data of this folder is lost. */
function givenUp(survey: FolderSurvey): string[] {
  const { identity } = survey
  const id = identity === undefined || identity instanceof StoreError ? 'ID' : identity.id
  const copy = 'Keep a copy of the folder before anything else: never edit or remove files in it.'
  if (isLone(survey)) {
    return [copy, 'Restore a backup into a new folder: quorate restore.']
  }
  return [
    copy,
    `The other members have the data: replace ${id} with a new name and an empty folder ` +
      '(quorate members replace); it must not come back under its old name.',
    'If a majority is lost for good: quorate recover, on the best survivor.',
  ]
}

/** Reads every value at the checkpoint. */
async function checkValues({ identity, stateDir, state }: FolderSurvey): Promise<Diagnosis[]> {
  if (identity === undefined || identity instanceof StoreError) return []
  if (stateDir instanceof StoreError || state === undefined || state instanceof StoreError)
    return []
  const { machine, close } = await openStateCopy(stateDir, identity)
  const damaged: string[] = []
  let [values, bad] = [0, 0]
  try {
    const view = machine.view()
    const cursor = view.scan({}, false)
    for (;;) {
      const some = await cursor.nextStored(CHUNK_ENTRIES, CHUNK_BYTES)
      if (some.length === 0) break
      for (const [key, stored] of some) {
        values++
        if (isSound(key, stored)) continue
        bad++
        if (damaged.length < KEYS_NAMED) damaged.push(describeKey(key))
      }
    }
    await cursor.close()
    await view.close()
  } finally {
    await close()
  }
  if (bad === 0) return [fine(`All ${count(values)} values pass their checks.`)]
  const words = `${count(bad)} of ${count(values)} values fail their checks: ${damaged.join(', ')}.`
  return [
    wrong(words, [
      'A member of a cluster reads them from another one, and repairs them, when they are asked for.',
      'A lone member never returns them: restore a backup, or write them anew.',
    ]),
  ]
}

function isSound(key: Buffer, stored: Buffer): boolean {
  try {
    readStoredValue(key, stored)
    return true
  } catch (error) {
    if (error instanceof StoreError) return false
    throw error
  }
}

function describe(dir: string, diagnoses: readonly Diagnosis[]): void {
  for (const { kind, words, remedies } of diagnoses) {
    const style = kind === 'wrong' ? 'red' : kind === 'note' ? 'yellow' : 'green'
    print(`${paint(style, kind.padEnd(6))} ${words}`)
    for (const remedy of remedies) print(`       - ${remedy}`)
  }
  const wrongs = diagnoses.filter(({ kind }) => kind === 'wrong').length
  print(
    wrongs === 0
      ? `\nNothing in ${dir} keeps the member from starting.`
      : `\n${count(wrongs)} things are wrong; nothing was changed.`,
  )
}

function sentence({ message }: StoreError): string {
  return `${message.charAt(0).toUpperCase()}${message.slice(1)}.`
}

function fine(words: string): Diagnosis {
  return { kind: 'fine', words, remedies: [] }
}

function note(words: string, remedies: readonly string[] = []): Diagnosis {
  return { kind: 'note', words, remedies }
}

function wrong(words: string, remedies: readonly string[]): Diagnosis {
  return { kind: 'wrong', words, remedies }
}
