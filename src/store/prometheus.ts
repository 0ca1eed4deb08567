/**
 * Metrics as text for Prometheus, by hand: a pure function, for whoever has a server of their own.
 *
 * Seconds and bytes, as is the custom there. Latencies are histograms with fixed bounds, so that several members can be
 * added up, and a rate taken over any time.
 */
import type { CallMetrics } from '../member/call-meters.js'
import type { MemberMetrics } from '../member/metrics.js'
import { Exposition } from './exposition.js'
import type { StoreMetrics } from './metrics.js'

/**
 * The metrics in Prometheus' text format 0.0.4, with the label `member` in all samples; send it as
 * `text/plain; version=0.0.4`. Names begin with `quorate_` and follow SemVer.
 */
export function prometheusText(metrics: StoreMetrics): string {
  const { calls, member, pendingWriteBytes } = metrics
  const page = new Exposition(member === undefined ? {} : { member: member.id })
  addCalls(page, calls)
  page.gauge('write_pending_bytes', 'Bytes of writes that are not answered yet.', pendingWriteBytes)
  if (member !== undefined) {
    addRaft(page, member)
    addEvents(page, member)
    addServed(page, member)
    addStorage(page, member)
    addBlobs(page, member)
    addNetwork(page, member)
  }
  return page.text
}

function addCalls(page: Exposition, calls: CallMetrics): void {
  page.counters('reads_total', 'Reads, by level.', 'level', { ...calls.reads })
  page.counter('views_total', 'States kept for scans and the like.', calls.views)
  page.counter('watches_total', 'Watches begun.', calls.watches)
  page.counter('writes_total', 'Single writes, batches and transactions.', calls.writes)
  page.counter('requests_total', 'Requests that took writes to the leader.', calls.requests)
  page.counter('request_bytes_total', 'Their bytes.', calls.requestBytes)
  page.counter('request_resends_total', 'Requests that were sent again.', calls.resends)
  page.counters('failures_total', 'Calls that failed.', 'code', { ...calls.failures })
  page.durations('write_seconds', 'Requests, from their first write to the answer.', calls.writeMs)
  page.durations('strong_read_seconds', 'Strong reads, one of each round.', calls.strongReadMs)
}

function addRaft(page: Exposition, member: MemberMetrics): void {
  page.gauge('is_leader', '1 on the member that leads.', Number(member.isLeader))
  page.gauge('has_leader', '1 while a leader is known.', Number(member.hasLeader))
  page.gauge('term', 'The present term.', member.term)
  page.gauge('commit_index', 'Known to be committed.', member.commitIndex)
  page.gauge('applied_index', 'Applied to the state.', member.appliedIndex)
  page.gauge('checkpoint_index', 'Durable in the state.', member.checkpointIndex)
  page.gauge('last_index', 'The end of the log.', member.lastIndex)
  page.gauge('voters', 'Members with a vote.', member.voters)
  page.gauge(
    'reachable_voters',
    'Voters reached from here, itself included.',
    member.reachableVoters,
  )
  page.gauge('max_lag_entries', 'On the leader: what the slowest lacks.', member.maxLag)
}

function addEvents(page: Exposition, { events }: MemberMetrics): void {
  page.counter('elections_total', 'Terms that began.', events.elections)
  page.counter('leader_changes_total', 'Times that the leader changed.', events.leaderChanges)
  page.counter('membership_changes_total', 'Changes of the members.', events.membershipChanges)
  page.counter('peers_up_total', 'Connections to others established.', events.peersUp)
  page.counter('peers_down_total', 'Connections to others lost.', events.peersDown)
  page.counter('divergences_total', 'Times the state here went apart.', events.divergences)
  page.counter('repaired_values_total', 'Damaged values put back.', events.repairedValues)
  page.counter('rebuilds_total', 'Times the state was had again.', events.rebuilds)
  page.counter(
    'overloads_total',
    'Times a bound was reached, at most one a second.',
    events.overloads,
  )
}

function addServed(page: Exposition, { served }: MemberMetrics): void {
  const { reads } = served
  page.counters('served_reads_total', 'Reads here, those of clients too.', 'level', { ...reads })
  page.counter('forwarded_reads_total', 'Reads the leader was asked for.', served.forwardedReads)
  page.gauge('pending_reads', 'Reads that wait for their state.', served.pendingReads)
  page.gauge('open_views', 'Views that are open.', served.views)
  page.gauge('open_watches', 'Watches that are open.', served.watches)
}

function addStorage(page: Exposition, member: MemberMetrics): void {
  const { log, state, snapshots } = member
  page.gauge('log_bytes', 'Bytes in the segments of the log.', log.bytes)
  page.gauge('log_segments', 'Segments of the log.', log.segments)
  page.gauge('log_queue', 'Appends that wait for the write under way.', log.queued)
  page.counter('log_appended_bytes_total', 'Bytes of entries handed to the log.', log.appendedBytes)
  page.counter('log_writes_total', 'Durable writes of the log.', log.writes)
  page.counter('log_fsyncs_total', 'Fsyncs of the log.', log.fsyncs)
  page.durations('log_write_seconds', 'Durable writes, fsync included.', log.writeMs)
  page.counter('applied_entries_total', 'Entries applied.', state.appliedEntries)
  page.counter('applied_requests_total', 'Requests in them.', state.appliedRequests)
  page.durations('apply_seconds', 'Batches of entries applied.', state.applyMs)
  page.counter('checkpoints_total', 'Checkpoints that reached the disk.', state.checkpoints)
  page.counter('checkpoint_failures_total', 'Those that did not.', state.checkpointFailures)
  page.gauge('sessions', 'Clients remembered for exactly-once.', state.sessions)
  page.counter('snapshots_sent_total', 'States sent and in force elsewhere.', snapshots.sent)
  page.counter('snapshots_installed_total', 'States that came from others.', snapshots.installed)
  page.gauge('snapshots_sending', 'States that are being sent.', snapshots.sending)
  page.gauge('disk_free_bytes', 'Free space where the data is.', member.freeDiskBytes)
}

function addBlobs(page: Exposition, { blobs }: MemberMetrics): void {
  page.gauge('large_values', 'Values stored as shards.', blobs.values)
  page.gauge('shards', 'Shards on the disk here.', blobs.shards)
  page.gauge('shard_bytes', 'Their bytes.', blobs.bytes)
  page.gauge('shard_dead_bytes', 'Bytes beside them that are not needed.', blobs.deadBytes)
  page.gauge('shards_missing', 'Shards that this member lacks.', blobs.missing)
  page.gauge('shards_quarantined', 'Damaged shards not made anew yet.', blobs.quarantined)
  page.counter('shards_repaired_total', 'Shards made anew.', blobs.repaired)
  page.counter('shard_repair_failures_total', 'Attempts that failed.', blobs.repairFailures)
  page.counter('shards_forgotten_total', 'Shards that nothing needed.', blobs.forgotten)
  page.gauge('large_values_undercovered', 'Those to be coded anew.', blobs.undercovered)
  page.counter('large_values_respread_total', 'Those that were coded anew.', blobs.respread)
  page.gauge('uploads', 'Large values being written here.', blobs.uploads)
  page.gauge('fetches', 'Large values being read here.', blobs.fetches)
  page.gauge('shard_sending_bytes', 'Shards on their way to others.', blobs.sendingBytes)
}

function addNetwork(page: Exposition, { network, loopDelayMs, logFailures }: MemberMetrics): void {
  page.counter('sent_bytes_total', 'Bytes sent to other members.', network.sentBytes)
  page.counter('received_bytes_total', 'Bytes received from them.', network.receivedBytes)
  page.gauge('queued_bytes', 'Bytes that wait to be sent to them.', network.queuedBytes)
  page.counter('dropped_frames_total', 'Frames for others not sent.', network.droppedFrames)
  page.counter(
    'forwarded_requests_total',
    'Requests to a leader elsewhere.',
    network.forwardedRequests,
  )
  page.gauge('clients', 'Client connections.', network.clients)
  const { rejectedConnections: rejected } = network
  page.counters('rejected_connections_total', 'Connections refused.', 'reason', { ...rejected })
  page.durations('loop_delay_seconds', 'How late the event loop came to a tick.', loopDelayMs)
  page.counter('logger_failures_total', 'Lines that the logger did not take.', logFailures)
}
