/** A member's status as plain data, put together from its parts. */
import type { BlobStatus } from '../blob/status.js'
import type { RaftCore } from '../raft/core.js'
import type { NodeId } from '../raft/types.js'
import type { MemberStatus, MemberView, RetainedStatus, SnapshotStatus } from './backend.js'
import type { DivergedRange } from './divergence.js'
import type { SpaceStatus } from './free-space.js'
import type { Peers } from './peers.js'
import type { Roster } from './roster.js'
import type { Snapshots } from './snapshots.js'
import { describeStanding } from './status.js'
import type { Storage } from './storage.js'

/** What a status is made from. */
export interface ReportParts {
  readonly storage: Storage
  readonly core: RaftCore
  readonly roster: Roster
  readonly peers: Peers | undefined
  /** The error that stopped the member. */
  readonly fatal: Error | undefined
  readonly isClosed: boolean
  readonly snapshots: Snapshots
  readonly space: SpaceStatus
  /** The slowest write of the log within the last minute, when it was slow. */
  readonly slowWriteMs: number | undefined
  /** Why log entries could not be copied into the archive. */
  readonly archiveFailure: Error | undefined
  readonly blobs: BlobStatus
  readonly retained: RetainedStatus | undefined
  /** What of the state is damaged on disk. */
  readonly rotten: string | undefined
  /** Where the members' states went apart without a majority for any. */
  readonly disputed: DivergedRange | undefined
}

/** The status of this moment. */
export function reportStatus(parts: ReportParts): MemberStatus {
  const { storage, roster, peers, fatal } = parts
  const { identity, log, machine } = storage
  const core = parts.core.status()
  const logStatus = log.status()
  const members = viewsOf(parts)
  const role = fatal !== undefined || parts.isClosed ? 'stopped' : core.role
  const leader = roster.nameOf(core.leader)
  const nameOf = (node: NodeId) => roster.nameOf(node) ?? `node ${node}`
  const snapshots = snapshotsOf(parts.snapshots, nameOf)
  return {
    id: identity.id,
    clusterId: identity.clusterId,
    role,
    standing: roster.standing,
    term: core.term,
    leader,
    commitIndex: core.commitIndex,
    appliedIndex: machine.appliedIndex,
    checkpointIndex: machine.checkpointIndex,
    firstIndex: core.firstIndex,
    lastIndex: core.lastIndex,
    confIndex: roster.directory.confIndex,
    log: {
      segments: logStatus.segments,
      bytes: logStatus.bytes,
      writes: logStatus.writes,
      fsyncs: logStatus.fsyncs,
      tornBytes: log.recovered.tornBytes,
    },
    sessions: machine.status().sessions,
    address: peers?.address,
    members,
    snapshots,
    space: parts.space,
    blobs: parts.blobs,
    ...(parts.retained && { retained: parts.retained }),
    rejectedConnections: peers?.rejected() ?? {},
    words: describeStanding({
      id: identity.id,
      role,
      standing: roster.standing,
      leader,
      members,
      cause: fatal,
      snapshots,
      space: parts.space,
      blobs: parts.blobs,
      archiveFailure: parts.archiveFailure,
      isStateOpen: machine.isOpen,
      disputed: parts.disputed,
      rotten: parts.rotten,
      unapplied: core.commitIndex - machine.appliedIndex,
      slowWriteMs: parts.slowWriteMs,
      refusals: peers?.refusals().map(({ node, message }) => `${nameOf(node)}: ${message}`) ?? [],
    }),
  }
}

function snapshotsOf(
  { installed, sent, sending, receiving, lost }: Snapshots,
  nameOf: (node: NodeId) => string,
): SnapshotStatus {
  return {
    installed,
    sent,
    rebuilding: lost?.message,
    sending: sending.map(({ to, ...view }) => ({ to: nameOf(to), ...view })),
    receiving: receiving && {
      from: nameOf(receiving.from),
      index: receiving.index,
      bytes: receiving.bytes,
      totalBytes: receiving.totalBytes,
    },
  }
}

function viewsOf({ core, roster, peers }: ReportParts): MemberView[] {
  const { leader, lastIndex, peers: progress } = core.status()
  const matches = new Map(progress.map(({ id, matchIndex }) => [id, matchIndex]))
  return roster.members.map(({ nodeId, id, address }) => {
    const matchIndex = matches.get(nodeId)
    const isSelf = nodeId === roster.self
    return {
      id,
      address,
      as: roster.partOf(nodeId),
      isSelf,
      isLeader: nodeId === leader,
      isUp: isSelf || peers?.isHeard(nodeId) === true,
      matchIndex,
      lag: matchIndex === undefined ? undefined : lastIndex - matchIndex,
    }
  })
}
