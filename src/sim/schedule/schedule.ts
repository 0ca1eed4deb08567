/**
 * A schedule: everything that is done to a simulated cluster, as plain data. With its seed it is the whole input of
 * a run, so a failure is a file, and taking an event out gives another schedule that can be tried.
 *
 * Numbers of members, clients and keys are taken modulo what there is: every schedule means something.
 */
import type { OnBehind, ReadLevel } from '../../member/backend.js'
import type { WriteAck } from '../history.js'
import type { PowerCutMode } from '../sim-disk.js'

/** The faults that a run may have, by name; each can be switched off by itself. */
export const FAULT_CLASSES = [
  'kill',
  'powerCut',
  'blackout',
  'close',
  'pause',
  'isolate',
  'partition',
  'oneWayCut',
  'clog',
  'break',
  'slowDisk',
  'fullDisk',
  'diskError',
  'flushError',
  'clock',
  'rot',
  'stateLoss',
  'transfer',
  'membership',
  'shardLoss',
  'shardRot',
] as const

/** A kind of fault. */
export type FaultClass = (typeof FAULT_CLASSES)[number]

/** The circumstances of a run; the harmless value of each comes first. */
export interface Knobs {
  readonly members: 1 | 3 | 5
  readonly latency: 'lan' | 'wan' | 'uneven'
  readonly disk: 'fast' | 'slow'
  /** How much faster or slower than the world the clocks of members run, in parts per million. */
  readonly driftPpm: 0 | 200 | 5000
  readonly elections: 'normal' | 'quick'
  readonly keys: number
  /** Besides the few bytes that tell values apart. */
  readonly valueBytes: number
  readonly checkpointBytes: number
  /** Who lacks more of the log than that is sent a snapshot. */
  readonly keepLogBytes: number
  /** The bounds of queues, caches and messages. */
  readonly limits: 'normal' | 'tight'
  /** How connections are protected: not at all, on addresses of one machine, or by a shared secret. */
  readonly protection: 'none' | 'secret'
  /** How strong reads know that the leader leads. */
  readonly strongReads: 'quorum' | 'lease'
  /** How many of the values that clients write are stored as shards. */
  readonly largeValues: 'none' | 'some' | 'most'
  /** Faults of other classes do not happen. */
  readonly faults: readonly FaultClass[]
}

/** The circumstances of a run in which nothing is unusual. */
export const HARMLESS: Knobs = {
  members: 3,
  latency: 'lan',
  disk: 'fast',
  driftPpm: 0,
  elections: 'normal',
  keys: 4,
  valueBytes: 0,
  checkpointBytes: 1 << 26,
  keepLogBytes: 1 << 28,
  limits: 'normal',
  protection: 'none',
  strongReads: 'quorum',
  largeValues: 'none',
  faults: [],
}

/** What a client does. */
export type ClientEvent =
  | {
      readonly type: 'write'
      readonly client: number
      readonly member: number
      /** One key is a put or del, several are a batch. */
      readonly keys: readonly number[]
      readonly deletes: boolean
      readonly inSession: boolean
      /** Default `quorum`. */
      readonly ack?: WriteAck
      /** So many writes one after the other without waiting. */
      readonly count: number
      readonly timeoutMs: number
    }
  | {
      readonly type: 'read'
      readonly client: number
      readonly member: number
      readonly shape: 'get' | 'getMany' | 'scan' | 'stream'
      readonly keys: readonly number[]
      readonly level: ReadLevel
      readonly inSession: boolean
      /** Of weak gets; undefined or 0: no bound. */
      readonly maxStalenessMs?: number
      readonly onBehind?: OnBehind
      readonly timeoutMs: number
    }
  /** A client gives the token of its session to another, which goes on from there. */
  | { readonly type: 'handOver'; readonly client: number; readonly to: number }
  | { readonly type: 'checkpoint'; readonly member: number }
  /**
   * A client watches at a member, and goes on at another one whenever that one ends, as long as the run lasts; anew
   * when what it missed is not remembered.
   */
  | {
      readonly type: 'watch'
      readonly member: number
      /** Two keys are a range; none is all. */
      readonly keys: readonly number[]
      readonly begins: 'now' | 'state'
      readonly onCompacted: 'end' | 'reset'
      readonly level: ReadLevel
      /** It does something else for so long after each event. */
      readonly paceMs: number
    }

  /** Transactions or conditional writes, one after the other without waiting. */
  | {
      readonly type: 'decide'
      readonly member: number
      readonly key: number
      /** A single put, or a transaction that puts or deletes. */
      readonly shape: 'put' | 'txn' | 'del'
      readonly on: 'absent' | 'revision' | 'value'
      /** Of the read that says what to expect. */
      readonly level: ReadLevel
      readonly count: number
      readonly timeoutMs: number
    }
  | {
      readonly type: 'clear'
      readonly member: number
      readonly key: number
      /** 0: none. */
      readonly limit: number
      readonly timeoutMs: number
    }
  /** A value that goes by itself. */
  | {
      readonly type: 'expiring'
      readonly member: number
      readonly key: number
      readonly with: 'ttl' | 'lease' | 'keptLease' | 'revokedLease'
      readonly ttlMs: number
      readonly timeoutMs: number
    }

/** As a `member`, this and all above mean whoever leads at that moment. */
export const WHOEVER_LEADS = 5

/** What happens to the cluster. Each fault ends by itself, so that none is left over when another event goes. */
export type FaultEvent =
  | { readonly type: 'kill'; readonly member: number; readonly downMs: number }
  | {
      readonly type: 'powerCut'
      readonly member: number
      readonly mode: PowerCutMode
      readonly downMs: number
    }
  /** The power of all members goes. */
  | { readonly type: 'blackout'; readonly mode: PowerCutMode; readonly downMs: number }
  | { readonly type: 'close'; readonly member: number; readonly downMs: number }
  | { readonly type: 'pause'; readonly member: number; readonly ms: number }
  /** Nobody reaches the member, and it reaches nobody. */
  | { readonly type: 'isolate'; readonly member: number; readonly ms: number }
  /** Members whose bit in `side` differs cannot reach each other. */
  | { readonly type: 'partition'; readonly side: number; readonly ms: number }
  | {
      readonly type: 'oneWayCut'
      readonly from: number
      readonly to: number
      readonly ms: number
    }
  | { readonly type: 'clog'; readonly from: number; readonly to: number; readonly ms: number }
  | { readonly type: 'break'; readonly from: number; readonly to: number }
  | {
      readonly type: 'slowDisk'
      readonly member: number
      readonly factor: number
      readonly ms: number
      /** A disk that becomes slow is often one that is about to fail: what a power cut after `ms` leaves. */
      readonly end: 'recovers' | PowerCutMode
    }
  | {
      readonly type: 'fullDisk'
      readonly member: number
      readonly freeBytes: number
      readonly ms: number
    }
  | {
      readonly type: 'diskError'
      readonly member: number
      readonly operation: FailingOperation
    }
  | { readonly type: 'flushError'; readonly member: number }
  | { readonly type: 'clock'; readonly member: number; readonly stepMs: number }
  /** Bytes of a complete log segment change while they lie there; never on more than a minority of members. */
  | {
      readonly type: 'rot'
      readonly member: number
      readonly at: number
      readonly how: Damage
      /** `now`: the process is killed, and reads its log when it starts again. */
      readonly found?: 'now' | 'later'
    }
  /** The member's database does not open any more; never on more than a minority of members. */
  | { readonly type: 'stateLoss'; readonly member: number; readonly downMs: number }
  /** The member's shards of large values are gone; never on more than a minority of members. */
  | { readonly type: 'shardLoss'; readonly member: number; readonly downMs: number }
  /** Bytes of stored shards change while they lie there; never on more than a minority of members. */
  | {
      readonly type: 'shardRot'
      readonly member: number
      readonly at: number
      readonly how: Damage
      readonly found: 'now' | 'later'
    }
  /** Leadership is handed over: asked for through `member`. */
  | { readonly type: 'transfer'; readonly member: number; readonly to: number }
  /** Who is a member is changed: asked for through `member`. Members that come are on machines of their own. */
  | {
      readonly type: 'membership'
      readonly member: number
      readonly change: MembershipChange
      readonly who: number
    }

/** What a `membership` event asks for. */
export type MembershipChange = 'add' | 'addLearner' | 'promote' | 'demote' | 'remove' | 'replace'

/** Disk operations that a `diskError` makes fail, with EIO. */
export const FAILING_OPERATIONS = ['sync', 'write', 'open', 'read', 'rename', 'syncDir'] as const

/** One of them. */
export type FailingOperation = (typeof FAILING_OPERATIONS)[number]

/** What becomes of bytes at rest: one bit flips, a page is lost, a page is that of another place. */
export type Damage = 'flip' | 'lost' | 'misdirected'

/**
 * When an event happens: at `atMs`, counted from when all members were started. A time of its own, so that it stays
 * where it is when others go. `id` keys its draws and its values, and is unique.
 */
export interface Step {
  readonly id: number
  readonly atMs: number
}

/** What clients do in a workload; the simulator's own is ClientEvent. */
export interface Action {
  readonly type: string
}

/** One step of a schedule. */
export type ScheduleEvent<A extends Action = ClientEvent> = Step & (A | FaultEvent)

/** The input of a run. */
export interface Schedule<A extends Action = ClientEvent> {
  readonly seed: number
  readonly knobs: Knobs
  readonly events: readonly ScheduleEvent<A>[]
}

/** Whether `event` is a fault. */
export function isFault(event: Action): event is FaultEvent {
  return (FAULT_CLASSES as readonly string[]).includes(event.type)
}

/** The faults among `events`. */
export function faultsAmong(events: readonly Action[]): FaultEvent[] {
  return events.filter(isFault)
}

/**
 * The events of `schedule` that happen, in their order: faults that are switched off do not, nor a second event with
 * an id.
 */
export function effectiveEvents<A extends Action>({
  knobs,
  events,
}: Schedule<A>): ScheduleEvent<A>[] {
  const seen = new Set<number>()
  const happening = events.filter((event) => {
    const isNew = !seen.has(event.id)
    seen.add(event.id)
    return isNew && (!isFault(event) || knobs.faults.includes(event.type))
  })
  return happening.sort((a, b) => a.atMs - b.atMs)
}
