/** A member in numbers since its start, put together from its parts: plain data that can be sent and stored. */
import type { DurationSummary, Durations } from '../base/durations.js'
import type { BlobStatus } from '../blob/status.js'
import type { MemberStatus, ReadLevel } from './backend.js'
import type { CheckpointCounts } from './checkpoints.js'
import type { Driver } from './driver.js'
import type { EventCounts, Journal } from './journal.js'
import type { Peers, PeerTraffic } from './peers.js'
import type { UnderWay } from './service.js'
import type { Storage } from './storage.js'

/** A member in numbers; counts are since its start, everything named `…Ms` is in milliseconds. */
export interface MemberMetrics {
  readonly id: string
  readonly isLeader: boolean
  readonly hasLeader: boolean
  readonly term: number
  readonly commitIndex: number
  readonly appliedIndex: number
  readonly checkpointIndex: number
  readonly lastIndex: number
  readonly voters: number
  /** Voters that this member reaches, itself included. */
  readonly reachableVoters: number
  /** Of the leader: entries that the member lacks that lacks most; undefined elsewhere. */
  readonly maxLag: number | undefined
  /** Things that happened. */
  readonly events: Readonly<EventCounts>
  readonly log: {
    readonly bytes: number
    readonly segments: number
    /** Bytes of entries handed to the log. */
    readonly appendedBytes: number
    readonly writes: number
    readonly fsyncs: number
    /** Appends that wait for the write under way. */
    readonly queued: number
    /** Each durable write with its fsync. */
    readonly writeMs: DurationSummary
  }
  readonly served: {
    /** Reads by level, those of clients included. */
    readonly reads: Readonly<Record<ReadLevel, number>>
    readonly pendingReads: number
    /** Reads that the leader was asked to serve. */
    readonly forwardedReads: number
    /** Open. */
    readonly views: number
    readonly watches: number
  }
  readonly state: {
    readonly appliedEntries: number
    /** Requests in them, each with one write or more. */
    readonly appliedRequests: number
    /** Each batch of entries, from when it was handed to the state machine until it is visible. */
    readonly applyMs: DurationSummary
    readonly checkpoints: number
    readonly checkpointFailures: number
    /** Clients remembered for exactly-once. */
    readonly sessions: number
  }
  /** Large values, which lie in shards on the members. */
  readonly blobs: Pick<
    BlobStatus,
    | 'values'
    | 'shards'
    | 'bytes'
    | 'deadBytes'
    | 'quarantined'
    | 'missing'
    | 'repaired'
    | 'repairFailures'
    | 'forgotten'
    | 'undercovered'
    | 'respread'
    | 'uploads'
    | 'fetches'
    | 'sendingBytes'
  >
  readonly snapshots: {
    readonly sent: number
    readonly installed: number
    readonly sending: number
  }
  readonly network: PeerTraffic & {
    readonly clients: number
    /** Requests that went to a leader elsewhere. */
    readonly forwardedRequests: number
    /** Connections refused or closed for a fault, by reason. */
    readonly rejectedConnections: Readonly<Record<string, number>>
  }
  /** As of the last look, about a second ago; undefined when it is not known. */
  readonly freeDiskBytes: number | undefined
  /** How much later than due the event loop came round to the member, looked at once a tick. */
  readonly loopDelayMs: DurationSummary
  /** Lines that the application's logger did not take, but threw. */
  readonly logFailures: number
}

/** What metrics are made from. */
export interface MetricsParts {
  readonly status: MemberStatus
  readonly storage: Storage
  readonly driver: Driver
  readonly journal: Journal
  readonly checkpoints: CheckpointCounts
  readonly peers: Peers | undefined
  readonly underWay: UnderWay
  readonly reads: Readonly<Record<ReadLevel, number>>
  readonly loopDelays: Durations
}

/** The numbers of this moment. */
export function reportMetrics(parts: MetricsParts): MemberMetrics {
  const { status, driver, journal, checkpoints } = parts
  const { commitIndex, appliedIndex, checkpointIndex, lastIndex, term, members } = status
  const voters = members.filter(({ as }) => as === 'voter')
  const lags = members.flatMap(({ lag }) => (lag === undefined ? [] : [lag]))
  return {
    id: status.id,
    isLeader: status.role === 'leader',
    hasLeader: status.leader !== undefined,
    term,
    commitIndex,
    appliedIndex,
    checkpointIndex,
    lastIndex,
    voters: voters.length,
    reachableVoters: voters.filter(({ isUp }) => isUp).length,
    maxLag: lags.length === 0 ? undefined : Math.max(...lags),
    events: { ...journal.counts },
    log: logMetrics(parts),
    served: servedMetrics(parts),
    state: {
      appliedEntries: driver.appliedEntries,
      appliedRequests: driver.appliedRequests,
      applyMs: driver.applyDurations.summary(),
      checkpoints: checkpoints.done,
      checkpointFailures: checkpoints.failed,
      sessions: status.sessions,
    },
    blobs: blobMetrics(status.blobs),
    snapshots: {
      sent: status.snapshots.sent,
      installed: status.snapshots.installed,
      sending: status.snapshots.sending.length,
    },
    network: networkMetrics(parts),
    freeDiskBytes: status.space.freeBytes,
    loopDelayMs: parts.loopDelays.summary(),
    logFailures: journal.logFailures,
  }
}

function logMetrics({ status, storage, driver }: MetricsParts): MemberMetrics['log'] {
  const { bytes, segments, writes, fsyncs } = status.log
  return {
    bytes,
    segments,
    appendedBytes: driver.appendedBytes,
    writes,
    fsyncs,
    queued: storage.log.queued,
    writeMs: storage.log.writeDurations.summary(),
  }
}

function blobMetrics(blobs: BlobStatus): MemberMetrics['blobs'] {
  const { isCounted, segments, recovered, cache, scrub, codec, members, ...numbers } = blobs
  return numbers
}

function servedMetrics({ reads, underWay }: MetricsParts): MemberMetrics['served'] {
  const { pending, forwarded, views, watches } = underWay
  return {
    reads: { ...reads },
    pendingReads: pending,
    forwardedReads: forwarded,
    views,
    watches,
  }
}

function networkMetrics({ peers, status }: MetricsParts): MemberMetrics['network'] {
  const traffic = peers?.traffic() ?? {
    sentBytes: 0,
    receivedBytes: 0,
    queuedBytes: 0,
    droppedFrames: 0,
    connects: 0,
    clients: 0,
  }
  return {
    ...traffic,
    forwardedRequests: peers?.forwardedRequests ?? 0,
    rejectedConnections: status.rejectedConnections,
  }
}
