/**
 * The level torture: real processes behind fault proxies, clients at every member and level, and every answer judged
 * by the checkers of the testing kit.
 *
 * A history is of one cluster, from its empty folders to its end, so that the log and the states of all members can be
 * compared with it; after ROUNDS_PER_HISTORY another cluster begins. Memory is bounded by the calls of one history.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { keyedU32 } from '../../../src/base/prng.js'
import { pause, until } from '../../../src/cli/processes/process-cluster.js'
import type { OpenOptions } from '../../../src/index.js'
import type { Death } from '../../../src/sim/checkers/applied.js'
import { type HistoryEvent, pairCalls } from '../../../src/sim/history.js'
import { formatHistory } from '../../../src/sim/history-text.js'
import { Recorder } from '../../../src/sim/recorder.js'
import { SpawnedCluster } from '../../../src/testing.js'
import { LevelClients, type Venue } from './clients.js'
import { readCommitted } from './committed.js'
import { type LevelCluster, LevelFaults } from './faults.js'
import { type Judgement, judge } from './judge.js'
import type { Dump, LevelOperations } from './operations.js'
import { describeLevelFault, planLevels } from './plan.js'
import { Remotes } from './remotes.js'
import { Tally } from './tally.js'

/** What to run. */
export interface LevelSettings {
  readonly seed: number
  readonly rounds: number
  readonly roundMs: number
  /** Folders of clusters are made in here, and the history of a failed one is left. */
  readonly root: string
  readonly isVerbose: boolean
  say(line: string): void
  /** Is told of each cluster, to end it when the run is interrupted. */
  onCluster(cluster: LevelCluster): void
}

/** What came of it. */
export interface LevelReport {
  /** Rules that were broken or could not be decided, in words. */
  readonly violations: readonly string[]
  /** What was not tested, because it did not happen, in words. */
  readonly gaps: readonly string[]
  readonly calls: number
  readonly staleReads: number
  /** Where the history is that has complaints. */
  readonly historyFile: string | undefined
}

/** The rounds that one cluster lives through. */
interface Life {
  readonly first: number
  readonly last: number
  readonly dir: string
  readonly strongReads: 'quorum' | 'lease'
}

const MEMBERS = ['a', 'b', 'c']
const ROUNDS_PER_HISTORY = 15
const MAX_CLIENTS = 256
const LEADER_WITHIN_MS = 30_000
const CONVERGED_WITHIN_MS = 30_000
/**
 * Elections within a round; ticks that a busy machine does not miss, since a missed one voids a lease; and a log that
 * is kept whole: it is the evidence.
 */
const STORE: Omit<OpenOptions, 'dir' | 'id' | 'members' | 'listen'> = {
  valueEncoding: 'utf8',
  timing: { tickMs: 50, heartbeatMs: 100, electionMs: 600 },
  limits: { maxClients: MAX_CLIENTS },
  storage: { segmentBytes: 8 * 1_048_576, keepLogBytes: 2 ** 40 },
}
const SCRIPT = join(import.meta.dirname, 'member-process.js')

/** Runs the rounds; ends with the first history that has violations. */
export async function tortureLevels(settings: LevelSettings): Promise<LevelReport> {
  const tally = new Tally()
  let [calls, staleReads] = [0, 0]
  let violations: readonly string[] = []
  let historyFile: string | undefined
  for (const life of livesOf(settings)) {
    settings.say(`\nrounds ${life.first} to ${life.last}, strong reads by ${life.strongReads}`)
    const { events, judgement } = await liveOnce(settings, life, tally)
    calls += count(events, tally)
    staleReads += judgement.staleReads
    for (const line of judgement.observed) settings.say(`  ${line}`)
    violations = judgement.violations
    if (violations.length > 0) {
      historyFile = await writeHistory(settings, life, events)
      break
    }
    await rm(life.dir, { recursive: true })
  }
  settings.say(`\n${tally.describe()}`)
  const gaps = tally.missing.map((what) => `never seen: ${what}`)
  if (staleReads === 0) gaps.push('no weak read was ever stale')
  return { violations, gaps, calls, staleReads, historyFile }
}

/** One cluster after the other, with strong reads by turns as `Store.open` offers them. */
function livesOf({ rounds, root }: LevelSettings): Life[] {
  const lives = Math.ceil(rounds / ROUNDS_PER_HISTORY)
  return Array.from({ length: lives }, (_, i): Life => {
    const first = 1 + i * ROUNDS_PER_HISTORY
    const last = Math.min(rounds, first + ROUNDS_PER_HISTORY - 1)
    const strongReads = i % 2 === 0 ? 'quorum' : 'lease'
    return { first, last, strongReads, dir: join(root, `rounds-${first}-to-${last}`) }
  })
}

function deathsIn(events: readonly HistoryEvent[]): Death[] {
  return events.flatMap((event) => {
    const isDeath = event.type === 'info' && event.process === 'nemesis' && event.f === 'kill'
    return isDeath ? { node: String(event.value), i: event.i } : []
  })
}

/** Counts the faults; the number of calls. */
function count(events: readonly HistoryEvent[], tally: Tally): number {
  let calls = 0
  for (const event of events) {
    if (event.type === 'invoke') calls++
    else if (event.type === 'info' && event.process === 'nemesis') tally.struck(event.f)
  }
  return calls
}

/** The life of one cluster, and what the checkers say of it. */
async function liveOnce(
  settings: LevelSettings,
  life: Life,
  tally: Tally,
): Promise<{ events: readonly HistoryEvent[]; judgement: Judgement }> {
  const { dir, strongReads } = life
  await mkdir(dir, { recursive: true })
  await using cluster = await SpawnedCluster.start<LevelOperations>({
    dir,
    members: MEMBERS,
    store: { ...STORE, strongReads },
    script: SCRIPT,
  })
  settings.onCluster(cluster)
  const recorder = new Recorder(() => performance.now())
  try {
    await runRounds(settings, cluster, recorder, life, tally)
    const dumps = await dumpAll(cluster)
    await cluster.close()
    const [{ appliedIndex }] = [...dumps.values()] as [Dump]
    const log = await readCommitted(join(dir, MEMBERS[0]!), appliedIndex, MAX_CLIENTS)
    const events = recorder.finish()
    return {
      events,
      judgement: judge({ history: pairCalls(events), log, deaths: deathsIn(events), dumps }),
    }
  } catch (error) {
    const file = await writeHistory(settings, life, recorder.finish())
    throw new Error(`the run ended early; its history is ${file}`, { cause: error })
  }
}

async function runRounds(
  { seed, roundMs, isVerbose, say }: LevelSettings,
  cluster: LevelCluster,
  recorder: Recorder,
  { first, last }: Life,
  tally: Tally,
): Promise<void> {
  const faults = new LevelFaults(cluster, recorder)
  await until(LEADER_WITHIN_MS, 'no leader', async () => (await faults.leader()) !== undefined)
  await using remotes = await Remotes.connect(cluster.addresses)
  const venues = [...cluster.members.map((member) => venueAt(cluster, member)), ...remotes.venues]
  const clients = new LevelClients(venues, recorder, tally, keyedU32(seed, first))
  for (let round = first; round <= last; round++) {
    const plan = planLevels(seed, round, MEMBERS.length, roundMs)
    if (isVerbose) say(`  ${plan.map(describeLevelFault).join('; ')}`)
    const before = tally.total
    await runRound(clients, faults, plan, roundMs)
    say(`round ${String(round).padStart(3)}  ${String(tally.total - before).padStart(6)} calls`)
  }
}

async function writeHistory(
  { root }: LevelSettings,
  { dir }: Life,
  events: readonly HistoryEvent[],
): Promise<string> {
  const file = join(root, `${basename(dir)}.jsonl`)
  await writeFile(file, formatHistory(events))
  return file
}

function venueAt(cluster: LevelCluster, member: string): Venue {
  return { member, call: (request) => cluster.call(member, 'call', request) }
}

async function runRound(
  clients: LevelClients,
  faults: LevelFaults,
  plan: Parameters<LevelFaults['injectAll']>[0],
  roundMs: number,
): Promise<void> {
  const load = clients.run()
  try {
    await Promise.race([Promise.all([pause(roundMs), faults.injectAll(plan)]), load])
    await faults.heal()
  } finally {
    clients.stop()
  }
  await load
}

/** What each member has, once all have applied the same. */
async function dumpAll(cluster: LevelCluster): Promise<Map<string, Dump>> {
  const dumps = new Map<string, Dump>()
  await until(CONVERGED_WITHIN_MS, 'the members do not converge', async () => {
    for (const member of cluster.members) {
      dumps.set(member, await cluster.call(member, 'dump', undefined))
    }
    return new Set([...dumps.values()].map(({ appliedIndex }) => appliedIndex)).size === 1
  })
  return dumps
}
