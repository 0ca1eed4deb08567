/**
 * What schedules are drawn towards. Bugs hide where several unusual things meet, and a run that does a little of
 * everything seldom gets there: so each run draws a profile, which does much of a few things (swarm testing).
 *
 * A profile says what is drawn, and how often. What is checked is the same in all of them.
 */
import type { ClientEvent, FaultClass, Knobs } from './schedule.js'
import { FAULT_CLASSES } from './schedule.js'

/** What each knob may be; the harmless value comes first, a value that is there twice is drawn twice as often. */
export type KnobChoices = { readonly [K in Exclude<keyof Knobs, 'faults'>]: readonly Knobs[K][] }

/** Weights by name; what is not named does not happen. */
export type Weights<T extends string> = Readonly<Partial<Record<T, number>>>

/** See the file's comment. */
export interface Profile {
  /** Of so many runs in all. */
  readonly weight: number
  /** Knobs that are not drawn from KNOB_CHOICES. */
  readonly knobs: Partial<KnobChoices>
  readonly faults: Weights<FaultClass>
  /** So many of 100 events are done by clients. */
  readonly clientShare: number
  readonly clients: Weights<ClientEvent['type']>
  /** When things happen: at any time, or several at once, again and again. */
  readonly times: 'spread' | 'bursts'
  /** Of all of it. */
  readonly durationMs: number
}

/** Of everything something. */
export const KNOB_CHOICES: KnobChoices = {
  members: [3, 3, 3, 1, 5],
  latency: ['lan', 'lan', 'wan', 'uneven'],
  disk: ['fast', 'fast', 'slow'],
  driftPpm: [0, 200, 5000],
  elections: ['normal', 'quick'],
  keys: [4, 16, 64],
  valueBytes: [0, 100, 3000],
  checkpointBytes: [1 << 26, 1 << 16],
  keepLogBytes: [1 << 28, 0, 20_000],
  limits: ['normal', 'normal', 'tight'],
  protection: ['none', 'none', 'none', 'secret'],
  strongReads: ['quorum', 'quorum', 'lease'],
  largeValues: ['none', 'none', 'some'],
}

const WEIGHT = 2
/** Of every class something. */
export const FAULT_WEIGHTS: Readonly<Record<FaultClass, number>> = {
  ...(Object.fromEntries(FAULT_CLASSES.map((name) => [name, WEIGHT])) as Record<
    FaultClass,
    number
  >),
  // Often there is nothing that it may damage.
  rot: 4,
  // Most changes need some that came before them.
  membership: 5,
}

/** What clients do when nothing else is said. */
export const CLIENT_WEIGHTS: Readonly<Record<ClientEvent['type'], number>> = {
  write: 10,
  read: 10,
  handOver: 1,
  checkpoint: 1,
  watch: 1,
  decide: 3,
  clear: 1,
  expiring: 1,
}

const LONG_MS = 16_000
/** In which much happens between two elections. */
const SHORT_MS = 8000

/** So many of 100 events, when nothing else is said. */
export const CLIENT_SHARE = 91

/** Of everything something, in no order. */
export const GENERAL: Profile = {
  weight: 4,
  knobs: {},
  faults: FAULT_WEIGHTS,
  clientShare: CLIENT_SHARE,
  clients: CLIENT_WEIGHTS,
  times: 'spread',
  durationMs: LONG_MS,
}

/** The profiles of the simulator's own runs. */
export const PROFILES: readonly Profile[] = [
  GENERAL,
  // Leaders come and go, and come back with entries that nobody else has, to logs that have left the caches.
  {
    weight: 4,
    knobs: {
      members: [3, 3, 5],
      elections: ['quick', 'quick', 'normal'],
      valueBytes: [100, 3000],
      limits: ['tight', 'normal'],
      strongReads: ['quorum', 'lease'],
    },
    faults: {
      isolate: 8,
      partition: 4,
      oneWayCut: 2,
      kill: 2,
      pause: 5,
      clog: 2,
      transfer: 3,
      clock: 3,
    },
    clientShare: 80,
    clients: { ...CLIENT_WEIGHTS, write: 16, expiring: 2 },
    times: 'bursts',
    durationMs: SHORT_MS,
  },
  // Reads everywhere, over links on which answers are late.
  {
    weight: 3,
    knobs: {
      members: [3, 3, 5],
      latency: ['lan', 'wan', 'uneven'],
      disk: ['fast', 'slow'],
      keys: [4],
      valueBytes: [0, 100],
      strongReads: ['quorum', 'lease'],
    },
    faults: {
      clog: 6,
      pause: 4,
      isolate: 4,
      oneWayCut: 3,
      break: 3,
      transfer: 2,
      slowDisk: 2,
      clock: 1,
    },
    clientShare: 85,
    clients: { write: 10, read: 22, handOver: 2, watch: 1, decide: 1 },
    times: 'bursts',
    durationMs: LONG_MS,
  },
  // Members come and go, several at once, while leaders change.
  {
    weight: 3,
    knobs: {
      members: [3, 3, 5],
      latency: ['lan', 'wan', 'uneven'],
      valueBytes: [0, 100],
      limits: ['normal'],
    },
    faults: { membership: 12, transfer: 2, isolate: 2, partition: 1, kill: 2, pause: 1 },
    clientShare: 85,
    clients: CLIENT_WEIGHTS,
    times: 'bursts',
    durationMs: LONG_MS,
  },
  // Logs are short: who was away for a moment is sent a snapshot, and writes follow it.
  {
    weight: 2,
    knobs: {
      members: [3, 5],
      disk: ['fast', 'slow'],
      valueBytes: [3000, 100],
      checkpointBytes: [1 << 16],
      keepLogBytes: [0],
    },
    faults: { kill: 4, powerCut: 4, isolate: 6, close: 2, stateLoss: 2, slowDisk: 3, pause: 2 },
    clientShare: 88,
    clients: { ...CLIENT_WEIGHTS, write: 20, read: 6, checkpoint: 4 },
    times: 'spread',
    durationMs: LONG_MS,
  },
  // Disks fail in every way, and machines lose their power; few checkpoints, so that the log counts.
  {
    weight: 3,
    knobs: { members: [3, 5], valueBytes: [0, 100], checkpointBytes: [1 << 26] },
    faults: {
      rot: 10,
      powerCut: 4,
      blackout: 3,
      kill: 3,
      diskError: 4,
      flushError: 3,
      fullDisk: 2,
      slowDisk: 2,
      stateLoss: 2,
    },
    clientShare: 80,
    clients: { ...CLIENT_WEIGHTS, checkpoint: 0 },
    times: 'spread',
    durationMs: LONG_MS,
  },
  // Large values lie in shards: members die and disks fail while they are stored, read and repaired.
  {
    weight: 4,
    knobs: {
      members: [3, 3, 5, 5, 1],
      keys: [4, 16],
      valueBytes: [0],
      checkpointBytes: [1 << 26, 1 << 16],
      limits: ['normal', 'normal', 'tight'],
      largeValues: ['some', 'most', 'most'],
    },
    faults: {
      shardLoss: 4,
      shardRot: 6,
      kill: 4,
      powerCut: 5,
      blackout: 1,
      isolate: 4,
      partition: 2,
      pause: 2,
      diskError: 3,
      fullDisk: 1,
      slowDisk: 3,
      transfer: 3,
      membership: 3,
      stateLoss: 1,
      close: 1,
    },
    clientShare: 85,
    clients: { ...CLIENT_WEIGHTS, write: 16, read: 14 },
    times: 'bursts',
    durationMs: LONG_MS,
  },
]
