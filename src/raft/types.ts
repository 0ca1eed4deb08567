/**
 * The vocabulary of the consensus core: positions, entries, messages, inputs and effects.
 *
 * Semantics are those of etcd-io/raft with asynchronous storage writes (design D1): the core is fed inputs by
 * `step`, and what it wants done is taken with `ready`. Indexes are inclusive here, as in the paper.
 */

/** A member inside the core: a positive safe integer, never reused; 0 means none. */
export type NodeId = number
/** An election period (Raft §5.1); 0 before the first. */
export type Term = number
/** A position in the log; the first entry has 1; 0 is before the log. */
export type LogIndex = number

/** No node. */
export const NONE: NodeId = 0

/** The identity of an entry: an index and the term of the leader that created it. */
export interface EntryId {
  readonly term: Term
  readonly index: LogIndex
}

/** What an entry carries: commands for the state machine (or nothing), or a configuration change. */
export type EntryKind = 'normal' | 'confChange' | 'confChangeV2'

/** One log entry. `data` is opaque to the core and must never change once proposed. */
export interface Entry extends EntryId {
  readonly kind: EntryKind
  readonly data: Uint8Array
}

/** What must survive a crash beside the entries: one record, never split (Raft §5.2; trap T-3). */
export interface HardState {
  readonly term: Term
  /** The candidate that got this node's vote in `term`; NONE if none did. */
  readonly vote: NodeId
  /** A hint: everything up to here is committed. May lag behind the truth. */
  readonly commit: LogIndex
}

/** A configuration: who votes, who only learns (thesis §4). `votersOutgoing` is non-empty while it is joint. */
export interface ConfState {
  readonly voters: readonly NodeId[]
  readonly votersOutgoing: readonly NodeId[]
  readonly learners: readonly NodeId[]
  readonly learnersNext: readonly NodeId[]
  readonly autoLeave: boolean
}

/** The position and configuration of a snapshot; its bytes are not the core's business. */
export interface SnapshotMeta extends EntryId {
  readonly conf: ConfState
}

/** A node's part in an election period. */
export type Role = 'follower' | 'preCandidate' | 'candidate' | 'leader'

interface Envelope {
  readonly from: NodeId
  readonly to: NodeId
  /** The sender's term, or for pre-votes the term it would campaign for. 0 in local messages. */
  readonly term: Term
}

/** Asks for a vote, or with `preVote` whether one would be given (Raft §5.2, thesis §9.6). */
export interface VoteMessage extends Envelope {
  readonly type: 'vote' | 'preVote'
  readonly lastIndex: LogIndex
  readonly lastTerm: Term
  /** Set in a leadership transfer: voters ignore their loyalty to the present leader (thesis §4.2.3). */
  readonly transfer: boolean
}

/** Answers a VoteMessage. */
export interface VoteResponseMessage extends Envelope {
  readonly type: 'voteResponse' | 'preVoteResponse'
  readonly reject: boolean
}

/** Replicates entries after `prevIndex` (Raft §5.3); without entries it probes. */
export interface AppendMessage extends Envelope {
  readonly type: 'append'
  readonly prevIndex: LogIndex
  readonly prevTerm: Term
  readonly entries: readonly Entry[]
  readonly commit: LogIndex
  /** The replication session of this peer in this leadership; the answer carries it back (traps T-12, T-13). */
  readonly session: number
}

/** Answers an append or a snapshot. */
export interface AppendResponseMessage extends Envelope {
  readonly type: 'appendResponse'
  /** Accepted: the last index now known to match. Rejected: the `prevIndex` that was refused. */
  readonly index: LogIndex
  readonly reject: boolean
  /** Rejected: where the logs may agree, and the term there (fast back-off). */
  readonly hintIndex: LogIndex
  readonly hintTerm: Term
  readonly session: number
}

/** Keeps followers loyal and tells them what is committed; `context` confirms a ReadIndex round, 0 if none. */
export interface HeartbeatMessage extends Envelope {
  readonly type: 'heartbeat'
  readonly commit: LogIndex
  readonly context: number
}

/** Answers a heartbeat, with its `context`. */
export interface HeartbeatResponseMessage extends Envelope {
  readonly type: 'heartbeatResponse'
  readonly context: number
}

/** Tells a follower that what it needs is in a snapshot. The bytes travel outside the core. */
export interface SnapshotMessage extends Envelope {
  readonly type: 'snapshot'
  readonly snapshot: SnapshotMeta
  readonly session: number
}

/** Tells the target of a transfer to campaign now (thesis §3.10). */
export interface TimeoutNowMessage extends Envelope {
  readonly type: 'timeoutNow'
}

/** Asks the leader, possibly through a follower, to hand over to `from`. */
export interface TransferLeaderMessage extends Envelope {
  readonly type: 'transferLeader'
}

/** Makes a follower forget its leader, without a campaign. */
export interface ForgetLeaderMessage extends Envelope {
  readonly type: 'forgetLeader'
}

/** A proposal that a follower hands on to its leader. */
export interface ProposeMessage extends Envelope {
  readonly type: 'propose'
  readonly entries: readonly ProposedEntry[]
}

/** Asks the leader for a ReadIndex (thesis §6.4); `context` is the asker's own number for it. */
export interface ReadIndexMessage extends Envelope {
  readonly type: 'readIndex'
  readonly context: number
}

/** Answers a ReadIndexMessage: reads of that `context` may be served once `index` is applied. */
export interface ReadIndexResponseMessage extends Envelope {
  readonly type: 'readIndexResponse'
  readonly index: LogIndex
  readonly context: number
}

/** Everything that travels between nodes. */
export type Message =
  | VoteMessage
  | VoteResponseMessage
  | AppendMessage
  | AppendResponseMessage
  | HeartbeatMessage
  | HeartbeatResponseMessage
  | SnapshotMessage
  | TimeoutNowMessage
  | TransferLeaderMessage
  | ForgetLeaderMessage
  | ProposeMessage
  | ReadIndexMessage
  | ReadIndexResponseMessage

/** An entry before it has a position. */
export interface ProposedEntry {
  readonly kind: EntryKind
  readonly data: Uint8Array
}

/** Why a proposal or a read was not taken. */
export type DropReason =
  /** This node is not the leader and does not forward, or there is no leader. */
  | 'notLeader'
  /** Leadership is being handed over. */
  | 'transferring'
  /** More bytes are uncommitted than `maxUncommittedBytes`. */
  | 'overloaded'
  /** The leader is not, or no longer, part of the configuration. */
  | 'removed'
  /** The storage has failed; the core is halted. */
  | 'halted'

/** Everything that can happen to a core. */
export type Input =
  /** One tick of the logical clock passed. */
  | { readonly type: 'tick' }
  /** The event loop stood still for `ms`: no campaign at once, no lease (trap T-63). */
  | { readonly type: 'clockGap'; readonly ms: number }
  /** A message came in, decoded and authenticated. */
  | { readonly type: 'receive'; readonly message: Message }
  /** Entries to append; answered by `proposed`, `forwarded` or `dropped` with the same `token`. */
  | { readonly type: 'propose'; readonly token: number; readonly entries: readonly ProposedEntry[] }
  /** A linearizable read is wanted; answered by `reads` or `dropped` with the same `token`, or never: retry anew. */
  | { readonly type: 'readIndex'; readonly token: number }
  /** Start an election now. */
  | { readonly type: 'campaign' }
  | { readonly type: 'transferLeader'; readonly to: NodeId }
  | { readonly type: 'forgetLeader' }
  /** The append task `id` is durable; tasks complete in order. */
  | { readonly type: 'appendDone'; readonly id: number }
  /** Everything up to `index` has been applied, in order. */
  | { readonly type: 'applyDone'; readonly index: LogIndex }
  /** The machine applied a configuration change entry; the new configuration is in force (etcd: ApplyConfChange). */
  | { readonly type: 'applyConfChange'; readonly change: ConfChangeV2 }
  /** The bodies asked for by the fetch `id`, contiguous from its `from`; at least one. */
  | { readonly type: 'entriesFetched'; readonly id: number; readonly entries: readonly Entry[] }
  /** The fetch `id` cannot be answered: the entries are compacted, or reading failed for now. */
  | {
      readonly type: 'entriesUnavailable'
      readonly id: number
      readonly why: 'compacted' | 'retry'
    }
  /** Entries up to `index` were removed from the front of the log. */
  | { readonly type: 'compacted'; readonly index: LogIndex }
  /** A snapshot of the state at `index` is on its way to `peer`; optional, spares a probe when it arrives. */
  | { readonly type: 'snapshotStarted'; readonly peer: NodeId; readonly index: LogIndex }
  /** How sending a snapshot to `peer` ended; also given when none could be sent for now. */
  | { readonly type: 'snapshotStatus'; readonly peer: NodeId; readonly ok: boolean }
  /** Messages to `peer` are being lost: probe it rather than streaming to it. */
  | { readonly type: 'unreachable'; readonly peer: NodeId }
  /** The connection to `peer` broke just now: if it led, look for a new leader early (design D12). */
  | { readonly type: 'peerDown'; readonly peer: NodeId }
  /**
   * What the core cannot know of leases: `void`, time passed that was not counted; `untrusted`, a voter does not keep
   * the loyalty that they count on, until `trusted` says that all do. At first they do.
   */
  | { readonly type: 'lease'; readonly is: 'trusted' | 'untrusted' | 'void' }
  /** The log failed: the core halts and wants nothing more. */
  | { readonly type: 'storageFailed' }

/** How a configuration change is entered and left (thesis §4.3). */
export type ConfTransition = 'auto' | 'jointImplicit' | 'jointExplicit'

/** One step of a configuration change. */
export interface ConfChangeStep {
  readonly kind: 'addVoter' | 'addLearner' | 'remove' | 'update'
  readonly node: NodeId
}

/**
 * A configuration change; no steps and `auto` leaves a joint configuration. In an entry it is encoded by
 * `encodeConfChange`; an entry with empty data leaves a joint configuration too.
 */
export interface ConfChangeV2 {
  readonly transition: ConfTransition
  readonly steps: readonly ConfChangeStep[]
  /** Opaque to the core. */
  readonly context: Uint8Array
}

/** One ordered write to the log. Tasks are written, and their `appendDone` given, in the order of their ids. */
export interface AppendTask {
  readonly id: number
  /** Appended from `entries[0].index`, replacing whatever the log holds from there on. */
  readonly entries: readonly Entry[]
  /** To be stored with the entries, in the same write; absent when unchanged. */
  readonly hardState: HardState | undefined
  /** A snapshot to install before the entries. */
  readonly snapshot: SnapshotMeta | undefined
  /** False when only `commit` moved: then the write need not be synced. */
  readonly mustSync: boolean
  /**
   * To be sent once the task is durable and not before (traps T-5, T-36): votes and append answers. Those to
   * this node itself are handled by the core when `appendDone` comes; the driver sends the others.
   */
  readonly responses: readonly Message[]
}

/** Committed entries to apply, in order; locally durable already (design D2). */
export interface ApplyTask {
  readonly entries: readonly Entry[]
}

/** Entry bodies the core no longer holds, for a lagging peer (`peer`) or for applying (`peer` is NONE). */
export interface FetchTask {
  readonly id: number
  readonly peer: NodeId
  readonly from: LogIndex
  /** Inclusive. */
  readonly to: LogIndex
  readonly maxBytes: number
}

/** Reads of `token` may be served once `index` is applied. */
export interface ReadState {
  readonly token: number
  readonly index: LogIndex
}

/** What a proposal became: it stands at `index` and following in the log of `term`, committed or not yet. */
export interface Proposed {
  readonly token: number
  readonly term: Term
  readonly index: LogIndex
  /** Why a configuration change among the entries was refused: an empty entry stands in its place. */
  readonly refused: string | undefined
}

/** A proposal that was handed on to the leader; what becomes of it is seen in the log only. */
export interface Forwarded {
  readonly token: number
  readonly leader: NodeId
}

/** A peer whose next entries are compacted: it needs a snapshot, told to it by a SnapshotMessage. */
export interface SnapshotWanted {
  readonly peer: NodeId
  /** A snapshot at this index or later continues into the log. */
  readonly atLeast: LogIndex
  /** To be put into the SnapshotMessage. */
  readonly term: Term
  /** To be put into the SnapshotMessage. */
  readonly session: number
  /** How many of `messages` in the same ready come before it. */
  readonly messagesBefore: number
}

/** A proposal or read that was not taken; nothing happened. */
export interface Dropped {
  readonly token: number
  readonly why: DropReason
  /** NONE when unknown. */
  readonly leader: NodeId
}

/** What the core wants done since the last `ready`. The lists are the driver's; the order inside each binds. */
export interface Ready {
  /** At most one per ready. */
  readonly append: AppendTask | undefined
  /** At most one outstanding: the next comes after `applyDone`. */
  readonly apply: ApplyTask | undefined
  /** May leave now, beside the write (design D3). */
  readonly messages: readonly Message[]
  readonly reads: readonly ReadState[]
  readonly proposed: readonly Proposed[]
  readonly forwarded: readonly Forwarded[]
  readonly dropped: readonly Dropped[]
  readonly fetches: readonly FetchTask[]
  /** Each is answered by `snapshotStatus` in the end. */
  readonly snapshotsWanted: readonly SnapshotWanted[]
  /** Present when role, leader or term changed. */
  readonly soft: { readonly role: Role; readonly leader: NodeId; readonly term: Term } | undefined
}

/** Settings of a core; all are required here, defaults are applied where user options enter. */
export interface CoreOptions {
  readonly id: NodeId
  /**
   * Seeds the election timeouts; the same inputs then give the same effects. Draw a new one at every start of
   * a node: it also keeps the contexts of forwarded reads apart from those before the restart (trap T-43).
   */
  readonly seed: number
  readonly electionTicks: number
  readonly heartbeatTicks: number
  readonly preVote: boolean
  readonly checkQuorum: boolean
  readonly reads: 'safe' | 'lease'
  readonly forwardProposals: boolean
  readonly stepDownOnRemoval: boolean
  readonly maxBytesPerMessage: number
  readonly maxInflightMessages: number
  readonly maxInflightBytes: number
  readonly maxUncommittedBytes: number
  /** Per ApplyTask. */
  readonly maxApplyBytes: number
  /** Bodies of durable entries kept in memory for followers; older ones are fetched. */
  readonly entryCacheBytes: number
  /**
   * When peers hear of a newer commit index for which no append goes to them anyway: at once, or when what it commits
   * is applied here, which spares a message and its answer where the next proposal comes by then.
   */
  readonly commitNotice: 'atOnce' | 'afterApply'
  /** Takes configuration changes into the log unchecked; those that are invalid when applied change nothing. */
  readonly disableConfChangeValidation?: boolean
}

/** Everything recovery learned; the constructor does no I/O. */
export interface CoreInit {
  readonly hardState: HardState
  readonly conf: ConfState
  /** The entry just before the first one in the log: 0/0, or the last compacted one. */
  readonly previous: EntryId
  readonly lastIndex: LogIndex
  /** The first entry of each run of equal terms in the log, ascending. */
  readonly terms: readonly EntryId[]
  /** The newest entries, contiguous up to `lastIndex`; may be empty. */
  readonly tail: readonly Entry[]
  /** Already applied by the state machine; at most `lastIndex`. */
  readonly applied: LogIndex
}

/** What a leader knows of one peer. */
export interface PeerStatus {
  readonly id: NodeId
  readonly matchIndex: LogIndex
  readonly nextIndex: LogIndex
  readonly state: 'probe' | 'replicate' | 'snapshot'
  readonly isLearner: boolean
  readonly recentlyActive: boolean
  readonly paused: boolean
  readonly inflightMessages: number
  /** Whether `inflightMessages` or their bytes are at the limit. */
  readonly inflightFull: boolean
  /** In state `snapshot`: the index of the one on its way. 0 otherwise. */
  readonly pendingSnapshot: LogIndex
  readonly session: number
}

/** A core as plain data. */
export interface CoreStatus {
  readonly id: NodeId
  readonly role: Role
  readonly term: Term
  readonly vote: NodeId
  readonly leader: NodeId
  readonly commitIndex: LogIndex
  readonly appliedIndex: LogIndex
  readonly lastIndex: LogIndex
  readonly lastTerm: Term
  readonly firstIndex: LogIndex
  /** Everything up to here is durable in the local log. */
  readonly flushedIndex: LogIndex
  readonly conf: ConfState
  readonly transferTarget: NodeId
  /** On the leader: how much of its own log it counts towards a quorum. 0 otherwise. */
  readonly ownMatchIndex: LogIndex
  /** The others; on the leader only, empty otherwise. */
  readonly peers: readonly PeerStatus[]
}
