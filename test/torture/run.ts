/**
 * `npm run torture`: three member processes on real disk, killed and stopped at random under load from two
 * writers; after each round every key is read at strong from every member. With --membership members come, go, are
 * replaced and hand over leadership meanwhile: three to five of them. With --disk-full each member has a small disk
 * of its own (a tmpfs: needs the right to mount one), and disks run full, one, two or all at a time. With --values
 * large values are stored as shards (large/run.ts).
 *
 * Exit code 1 when an acknowledged write is lost, or a read returns what it may not: a value never written, or
 * one older than acknowledged; or when a majority was up and had no leader for more than ten seconds. The data of a
 * failed run is kept for inspection.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseFlags, UsageError, wholeNumber } from '../../src/cli/command-line.js'
import { EXIT_INTERRUPTED, untilInterrupted } from '../../src/cli/interrupt.js'
import { ProcessCluster } from '../../src/cli/processes/process-cluster.js'
import { count, milliseconds } from '../../src/cli/terminal.js'
import type { OpenOptions } from '../../src/index.js'
import type { LargeTortureCluster } from './large/load.js'
import { tortureLarge } from './large/run.js'
import { LeaderWatch } from './leader-watch.js'
import { Ledger } from './ledger.js'
import type { LevelCluster } from './levels/faults.js'
import { tortureLevels } from './levels/run.js'
import { MembershipChanges, planChanges } from './membership.js'
import type { TortureOperations } from './operations.js'
import { describeFault, planFullDisks, planRound } from './plan.js'
import { type RoundReport, runRound } from './round.js'
import { SMALL_STORAGE, SmallDisks } from './small-disks.js'

const HELP = `npm run torture -- [flags]

  --rounds N             rounds (60)
  --seconds-per-round S  load and faults per round (1.5); reading back comes on top
  --seed N               choice of faults; drawn and printed when not given
  --disk-full            fill the disks of members, which are small ones then
  --membership           add, remove, replace and demote members and transfer leadership meanwhile
  --values large         values of 300 KiB to 3 MiB under kill, pause and partition; members lose all their shards
  --check-levels         every read level and acknowledgement under kill, pause and partition, judged by the checkers
  --verbose              print every round's faults`

const MEMBERS = ['a', 'b', 'c'] as const
const VIOLATIONS_SHOWN = 20
/** So little of the log is kept that newcomers need a snapshot. */
const SHORT_LOG: NonNullable<OpenOptions['storage']> = {
  segmentBytes: 1024 * 1024,
  checkpointBytes: 2 * 1024 * 1024,
  keepLogBytes: 1024 * 1024,
}
const LEADER_WITHIN_MS = 30_000
const LEADERLESS_MS_MAX = 10_000

interface Settings {
  readonly seed: number
  readonly rounds: number
  readonly roundMs: number
  readonly changesMembers: boolean
  readonly fillsDisks: boolean
  readonly checksLevels: boolean
  readonly hasLargeValues: boolean
  readonly isVerbose: boolean
}

function readSettings(args: readonly string[]): Settings | undefined {
  const flags = parseFlags(args, {
    rounds: { type: 'string', default: '60' },
    'seconds-per-round': { type: 'string', default: '1.5' },
    seed: { type: 'string' },
    membership: { type: 'boolean', default: false },
    'disk-full': { type: 'boolean', default: false },
    'check-levels': { type: 'boolean', default: false },
    values: { type: 'string', default: 'small' },
    verbose: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  })
  if (flags.help) return undefined
  const seconds = Number(flags['seconds-per-round'])
  if (!(seconds >= 0.1)) throw new UsageError('--seconds-per-round takes a number from 0.1 up')
  if (!['small', 'large'].includes(flags.values))
    throw new UsageError('--values takes small, large')
  const hasLargeValues = flags.values === 'large'
  const kinds = [flags.membership, flags['disk-full'], flags['check-levels'], hasLargeValues]
  if (kinds.filter(Boolean).length > 1) {
    throw new UsageError(
      '--membership, --disk-full, --check-levels and --values large are runs of their own',
    )
  }
  const seed = flags.seed ?? String(Math.floor(Math.random() * 2 ** 31))
  return {
    seed: wholeNumber('seed', seed, 0),
    rounds: wholeNumber('rounds', flags.rounds, 1),
    roundMs: seconds * 1000,
    changesMembers: flags.membership,
    fillsDisks: flags['disk-full'],
    checksLevels: flags['check-levels'],
    hasLargeValues,
    isVerbose: flags.verbose,
  }
}

/** Runs the rounds; true when every acknowledged write was found. */
async function torture(
  cluster: ProcessCluster<TortureOperations>,
  disks: SmallDisks | undefined,
  settings: Settings,
): Promise<boolean> {
  const { seed, rounds, roundMs, changesMembers } = settings
  const ledger = new Ledger(seed)
  const changes = changesMembers ? new MembershipChanges(cluster, seed) : undefined
  const stalls: number[] = []
  let [reads, revived] = [0, 0]
  await cluster.start()
  await cluster.leader(LEADER_WITHIN_MS)
  await using watch = new LeaderWatch(cluster)
  for (let round = 1; round <= rounds; round++) {
    const plan = [seed, round, cluster.seats.length, roundMs] as const
    const full = disks === undefined ? [] : planFullDisks(...plan)
    const faults = [...full, ...planRound(...plan)]
    if (settings.isVerbose) say(`  ${faults.map(describeFault).join('; ')}`)
    if (settings.isVerbose && changesMembers) say(`  ${planChanges(seed, round).join(', ')}`)
    const options = { seed, round, roundMs }
    const report = await runRound(cluster, ledger, faults, changes, disks, options)
    stalls.push(report.stallMs)
    revived += report.revived
    reads += report.reads
    const who = changesMembers ? `  ${cluster.seats.map(({ id }) => id).join(' ')}` : ''
    say(
      `round ${String(round).padStart(3)}  ${count(ledger.acknowledged).padStart(9)} acknowledged  ` +
        `${count(report.reads).padStart(7)} read back  stall ${milliseconds(report.stallMs)}${who}`,
    )
    if (report.violations.length > 0) return convict(report, settings)
  }
  await watch.stop()
  if (changes !== undefined) {
    const { done, failed } = changes.counts
    say(
      `\n${done} changes of the members done, ${failed} refused or interrupted; ` +
        `${watch.snapshotsInstalled} snapshots installed`,
    )
  }
  if (disks !== undefined) say(`\n${revived} members stopped by a full disk and started again`)
  say(`longest time without a leader while a majority was up: ${milliseconds(watch.longestMs)}`)
  // Full disks may keep members down for any time.
  if (disks === undefined && watch.longestMs > LEADERLESS_MS_MAX) {
    say(`FAILED: more than ${milliseconds(LEADERLESS_MS_MAX)}. ${replay(settings)}`)
    return false
  }
  await cluster.close()
  const sorted = stalls.sort((a, b) => a - b)
  const at = (share: number): string =>
    milliseconds(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!)
  say(
    `\n${count(rounds)} rounds, ${count(ledger.acknowledged)} acknowledged writes, ` +
      `${count(reads)} strong reads, lost 0, wrong 0; write stall median ${at(0.5)}, p99 ${at(0.99)}`,
  )
  return true
}

/** The command that draws the same faults again. */
function replay(settings: Settings): string {
  const { seed, roundMs, changesMembers, fillsDisks, checksLevels, hasLargeValues } = settings
  const kinds = [
    changesMembers ? ' --membership' : '',
    fillsDisks ? ' --disk-full' : '',
    checksLevels ? ' --check-levels' : '',
    hasLargeValues ? ' --values large' : '',
  ]
  const kind = kinds.join('')
  return `The same faults again:\nnpm run torture -- --seed ${seed} --seconds-per-round ${roundMs / 1000}${kind}`
}

function convict(report: RoundReport, settings: Settings): false {
  const lost = report.violations.filter(({ kind }) => kind === 'lost').length
  for (const { kind, key, member, found, expected } of report.violations.slice(
    0,
    VIOLATIONS_SHOWN,
  )) {
    say(`${kind}: ${key} at ${member} is ${found}, wanted ${expected}`)
  }
  say(`\nFAILED: ${lost} lost, ${report.violations.length - lost} wrong. ${replay(settings)}`)
  return false
}

async function checkLevels(root: string, settings: Settings): Promise<number> {
  const begun = performance.now()
  let cluster: LevelCluster | undefined
  const onCluster = (begun: LevelCluster): void => {
    cluster = begun
  }
  const report = await untilInterrupted(tortureLevels({ ...settings, root, say, onCluster }))
  if (report === 'interrupted') {
    await killAll(cluster)
    say(`seed ${settings.seed}; the data is in ${root}`)
    return EXIT_INTERRUPTED
  }
  const { violations, gaps, calls, staleReads, historyFile } = report
  for (const violation of violations) say(`violation: ${violation}`)
  for (const gap of gaps) say(`not tested: ${gap}`)
  if (historyFile !== undefined) say(`the history is ${historyFile}, the data beside it`)
  else await rm(root, { recursive: true, force: true })
  if (violations.length + gaps.length > 0) {
    say(`\nFAILED: ${violations.length} violations. ${replay(settings)}`)
    return 1
  }
  say(
    `\n${count(settings.rounds)} rounds, ${count(calls)} calls, 0 violations; ` +
      `${count(staleReads)} weak reads were stale, as they may be ` +
      `(${milliseconds(performance.now() - begun)})`,
  )
  return 0
}

async function tortureValues(root: string, settings: Settings): Promise<number> {
  const begun = performance.now()
  let cluster: LargeTortureCluster | undefined
  const onCluster = (begun: LargeTortureCluster): void => {
    cluster = begun
  }
  const report = await untilInterrupted(tortureLarge({ ...settings, root, say, onCluster }))
  if (report === 'interrupted') {
    await killAll(cluster)
    say(`seed ${settings.seed}; the data is in ${root}`)
    return EXIT_INTERRUPTED
  }
  const { violations, acknowledged, reads, losses } = report
  for (const violation of violations.slice(0, VIOLATIONS_SHOWN)) say(violation)
  if (violations.length > 0) {
    say(`\nFAILED: ${violations.length} lost or wrong; the data is in ${root}. ${replay(settings)}`)
    return 1
  }
  await rm(root, { recursive: true, force: true })
  say(
    `\n${count(settings.rounds)} rounds, ${count(acknowledged)} acknowledged large values, ` +
      `${count(reads)} strong reads, lost 0, wrong 0; all shards of a member lost ${losses} times ` +
      `(${milliseconds(performance.now() - begun)})`,
  )
  return 0
}

/** Also those that stand still: they would outlive this process. */
async function killAll(cluster: LevelCluster | LargeTortureCluster | undefined): Promise<void> {
  const alive = cluster?.members.filter((member) => cluster.isAlive(member)) ?? []
  await Promise.all(alive.map((member) => cluster?.kill(member)))
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

async function main(args: readonly string[]): Promise<number> {
  const settings = readSettings(args)
  if (settings === undefined) {
    say(HELP)
    return 0
  }
  const root = await mkdtemp(join(tmpdir(), 'quorate-torture-'))
  say(`seed ${settings.seed}`)
  if (settings.checksLevels) return checkLevels(root, settings)
  if (settings.hasLargeValues) return tortureValues(root, settings)
  const disks = settings.fillsDisks ? await SmallDisks.mount(root, MEMBERS) : undefined
  const cluster = await ProcessCluster.create<TortureOperations>({
    script: join(import.meta.dirname, 'member-process.js'),
    root,
    memberIds: MEMBERS,
    store: {
      valueEncoding: 'binary',
      ...(settings.fillsDisks && { storage: SMALL_STORAGE }),
      ...(settings.changesMembers && { storage: SHORT_LOG }),
    },
  })
  let isKept = true
  try {
    const isSound = await untilInterrupted(torture(cluster, disks, settings))
    isKept = isSound === false
    return isSound === 'interrupted' ? EXIT_INTERRUPTED : Number(!isSound)
  } finally {
    await cluster.kill()
    if (!isKept || disks === undefined) await disks?.unmount()
    if (isKept) say(`seed ${settings.seed}; the data is in ${root}`)
    else await rm(root, { recursive: true, force: true })
  }
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  const isUsage = error instanceof UsageError
  process.stderr.write(`${isUsage ? error.message : String((error as Error).stack)}\n`)
  process.exitCode = isUsage ? 2 : 1
}
// Writers whose cluster was taken away go on trying, after an interruption or a failure.
process.exit()
