/** What happened in a run, counted: a run in which nothing happened proves nothing. */
import type { ReadLevel } from '../../member/backend.js'
import { FAULT_CLASSES, type FaultClass } from '../schedule/schedule.js'

/** Counts of one run or of many. */
export interface Tally {
  runs: number
  /** Events of virtual time. */
  events: number
  virtualMs: number
  /** Members times virtual time. */
  memberMs: number
  checks: number
  faults: Record<FaultClass, number>
  leaders: number
  crashes: number
  /** Calls that were answered well. */
  reads: Record<ReadLevel, number>
  writes: number
  failedCalls: number
  unknownCalls: number
  /** Reads at weaker levels that missed what somebody had been told. */
  staleReads: number
  tokens: number
  /** What transactions and conditional writes came to. */
  decisions: Record<'then' | 'else' | 'refused', number>
  clears: number
  /** Values that were given a time to live. */
  expiring: number
  leases: number
  /** Entries that watches gave. */
  watchedEntries: number
  /** Watches that went on at another member, or later, from a token. */
  watchesResumed: number
  /** Watches that came too late, and began anew. */
  watchesCompacted: number
  checkpoints: number
  compactions: number
  /** Changes of members that were confirmed. */
  memberChanges: number
  /** Leaderships handed over on request. */
  transfers: number
  /** Snapshots that members installed. */
  snapshots: number
  /** States that were lost and had again. */
  rebuilds: number
  /** Large values that came into force. */
  largeValues: number
  /** Histories that the search for a linearization could not decide within its budget. */
  undecided: number
}

/** Nothing yet. */
export function newTally(): Tally {
  return {
    runs: 0,
    events: 0,
    virtualMs: 0,
    memberMs: 0,
    checks: 0,
    faults: Object.fromEntries(FAULT_CLASSES.map((name) => [name, 0])) as Tally['faults'],
    leaders: 0,
    crashes: 0,
    reads: { strong: 0, session: 0, eventual: 0 },
    writes: 0,
    failedCalls: 0,
    unknownCalls: 0,
    staleReads: 0,
    tokens: 0,
    decisions: { then: 0, else: 0, refused: 0 },
    clears: 0,
    expiring: 0,
    leases: 0,
    watchedEntries: 0,
    watchesResumed: 0,
    watchesCompacted: 0,
    checkpoints: 0,
    compactions: 0,
    memberChanges: 0,
    transfers: 0,
    snapshots: 0,
    rebuilds: 0,
    largeValues: 0,
    undecided: 0,
  }
}

/** Adds `more` to `sum`. */
export function addTally(sum: Tally, more: Tally): void {
  addCounts(sum as unknown as Counts, more as unknown as Counts)
}

type Counts = { [name: string]: number | Counts }

function addCounts(sum: Counts, more: Counts): void {
  for (const [name, value] of Object.entries(more)) {
    const before = sum[name]
    if (typeof value === 'number') sum[name] = (typeof before === 'number' ? before : 0) + value
    else addCounts(before as Counts, value)
  }
}

/** How much of each thing `runs` ordinary runs have at least; what is short is told (V1 to V5). */
export function shortfalls(tally: Tally): string[] {
  const { runs } = tally
  const floors: [name: string, count: number, atLeast: number][] = [
    ['V1 strong reads', tally.reads.strong, 5 * runs],
    ['V1 session reads', tally.reads.session, 5 * runs],
    ['V1 eventual reads', tally.reads.eventual, 5 * runs],
    ['V1 writes', tally.writes, 10 * runs],
    ['V1 tokens carried', tally.tokens, runs],
    ['V1 decisions done', tally.decisions.then, runs],
    ['V1 decisions not done', tally.decisions.else, runs / 2],
    ['V1 decisions refused', tally.decisions.refused, runs / 10],
    ['V1 large values', tally.largeValues, 2 * runs],
    ['V1 clears', tally.clears, runs / 4],
    ['V1 values that expire', tally.expiring, runs / 4],
    ['V1 leases', tally.leases, runs / 4],
    ['V1 watched entries', tally.watchedEntries, 20 * runs],
    ['V1 watches resumed', tally.watchesResumed, runs],
    ['V4 watches compacted', tally.watchesCompacted, runs / 20],
    ...FAULT_CLASSES.map((name): [string, number, number] => [
      `V2 ${name}`,
      tally.faults[name],
      runs / 20,
    ]),
    ['V3 leaders', tally.leaders, 2 * runs],
    ['V3 members changed', tally.memberChanges, runs / 20],
    ['V3 leaderships handed over', tally.transfers, runs / 20],
    ['V4 log truncations', tally.compactions, runs / 20],
    ['V4 snapshots installed', tally.snapshots, runs / 20],
    ['V5 stale reads', tally.staleReads, runs / 2],
  ]
  return floors
    .filter(([, count, atLeast]) => count < atLeast)
    .map(([name, count, atLeast]) => `${name}: ${count} of at least ${Math.ceil(atLeast)}`)
}
