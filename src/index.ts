/** The public API of quorate: everything an application imports, by name. */

export type { DurationSummary } from './base/durations.js'
export type { Outcome, StoreErrorCode } from './base/errors.js'
export { StoreError } from './base/errors.js'
export type { Logger } from './base/logger.js'
export type { UnreadableValues } from './blob/reseal.js'
export type { BlobStatus, MemberShards } from './blob/status.js'
export type { TlsOptions } from './env/network.js'
export type {
  MemberStatus,
  MembershipChange,
  MemberView,
  OnBehind,
  Overload,
  ReadLevel,
  RetainedCheckpoint,
  RetainedStatus,
  SnapshotStatus,
} from './member/backend.js'
export type { CallMetrics } from './member/call-meters.js'
export type { SpaceStatus } from './member/free-space.js'
export type { EventCounts } from './member/journal.js'
export type { MemberMetrics } from './member/metrics.js'
export type { Rebuilt } from './member/open-state.js'
export type { LimitOptions, StorageOptions, TimingOptions } from './member/options.js'
export type { BackupProgress, BackupResult } from './snapshot/backup.js'
export type {
  Ack,
  BatchOptions,
  CallOptions,
  ClearOptions,
  DelOptions,
  KeyBounds,
  PutOptions,
  ReadOptions,
  ScanOptions,
  ValueReadOptions,
  WriteOptions,
} from './store/call-options.js'
export type { ClientGrant, GrantedRole } from './store/client-grants.js'
export type { Key, KeyEncoding, ValueEncoding } from './store/encoding.js'
export type { AckLeader } from './store/handle.js'
export { Handle } from './store/handle.js'
export type { LeaseOptions } from './store/lease.js'
export { Lease } from './store/lease.js'
export type {
  BackupOptions,
  MaintenanceOptions,
  RestoredStore,
  RestoreOptions,
  RetainOptions,
  VerifiedBackup,
} from './store/maintenance.js'
export type {
  AddOptions,
  ChangeOptions,
  ChangeResult,
  Members,
  MembersOptions,
  Replacement,
} from './store/members.js'
export type { StoreMetrics } from './store/metrics.js'
export type { ErasureOptions, OpenOptions } from './store/open-options.js'
export type { AppendedWrite } from './store/pending-writes.js'
export { prometheusText } from './store/prometheus.js'
export type { ValueWithMeta } from './store/reader.js'
export type { Balance } from './store/remote/balance.js'
export { connect } from './store/remote/connect.js'
export type { ConnectOptions } from './store/remote/connect-options.js'
export { Session } from './store/session.js'
export type { Listener, StoreEvents } from './store/store.js'
export { Store } from './store/store.js'
export type { TraceContext, TracedOperation } from './store/tracing.js'
export type {
  BatchOperation,
  Condition,
  ExpiryOptions,
  Transaction,
} from './store/transaction.js'
export type { Updated, UpdateOptions } from './store/update.js'
export type { UploadProgress } from './store/uploads.js'
export { ValueStream } from './store/value-stream.js'
export type { ViewOptions } from './store/view.js'
export type { WatchEvent, WatchedChange } from './store/watch.js'
export { Watch } from './store/watch.js'
export type { WatchOptions } from './store/watch-options.js'
export type { Omission } from './store/whole-changes.js'
export type { WriteResult } from './store/write-pipeline.js'
export type { TransactionResult } from './store/writer.js'
export type { ListedMember, MemberPart, Membership } from './wire/membership.js'
