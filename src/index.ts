/** The public API of quorate: everything an application imports, by name. */
export type { Outcome, StoreErrorCode } from './base/errors.js'
export { StoreError } from './base/errors.js'
export type { TlsOptions } from './env/network.js'
export type {
  MemberStatus,
  MemberView,
  OnBehind,
  ReadLevel,
  SnapshotStatus,
} from './member/backend.js'
export type { SpaceStatus } from './member/free-space.js'
export type { Rebuilt } from './member/open-state.js'
export type { LimitOptions, StorageOptions, TimingOptions } from './member/options.js'
export type { BackupProgress, BackupResult } from './snapshot/backup.js'
export type {
  CallOptions,
  KeyBounds,
  ReadOptions,
  ScanOptions,
  WriteOptions,
} from './store/call-options.js'
export type { Key, KeyEncoding, ValueEncoding } from './store/encoding.js'
export { Handle } from './store/handle.js'
export type {
  BackupOptions,
  MaintenanceOptions,
  RestoredStore,
  RestoreOptions,
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
export type { OpenOptions } from './store/open-options.js'
export type { ValueWithMeta } from './store/reader.js'
export { Session } from './store/session.js'
export type { Listener, StoreEvents } from './store/store.js'
export { Store } from './store/store.js'
export type { WriteResult } from './store/write-pipeline.js'
export type { BatchOperation } from './store/writer.js'
export type { ListedMember, MemberPart, Membership } from './wire/membership.js'
