/** Backups as users ask for them: making one of an open Store, looking at one, and restoring it. */
import { StoreError } from '../base/errors.js'
import type { UnreadableValues } from '../blob/reseal.js'
import type { Env } from '../env/env.js'
import type { Backend, ReadLevel, RetainedCheckpoint } from '../member/backend.js'
import { MEMBER_ID_PATTERN } from '../member/change-plan.js'
import { foundCluster } from '../member/new-cluster.js'
import {
  type BackupProgress,
  type BackupResult,
  openBackup,
  readingOf,
  verifyBackup,
} from '../snapshot/backup.js'
import { chunkOf } from '../snapshot/large-values.js'
import { ArchivedLog } from '../snapshot/log-archive.js'
import type { CallOptions } from './call-options.js'
import {
  READ_LEVELS,
  refuseUnknown,
  requireOneOf,
  requireTimeout,
  type StoreSettings,
} from './open-options.js'

/** What a long piece of maintenance takes. */
export interface MaintenanceOptions {
  /** Ends it with QUORATE_ABORTED. */
  readonly signal?: AbortSignal
  /** Called after each chunk, about a MiB. */
  readonly onProgress?: (progress: BackupProgress) => void
}

/** Options of `checkpoint`. */
export interface RetainOptions extends CallOptions {
  /** The members keep the state, spread over them as shards, until a newer one is retained. */
  readonly retain: true
}

/** Options of `backup`. `timeoutMs` is how long it may take until the state to be backed up is reached. */
export interface BackupOptions extends MaintenanceOptions, CallOptions {
  /** The folder of an earlier backup: chunks that have not changed since are shared with it (hard links). */
  readonly since?: string
  /**
   * `strong` (the default): the backup holds everything acknowledged before the call, and needs a majority. `eventual`:
   * what this member has applied.
   */
  readonly consistency?: ReadLevel
}

/** Options of `restore`. */
export interface RestoreOptions extends MaintenanceOptions {
  /** The name of the only member; default `a`. */
  readonly id?: string
  /** Folders that members copied log entries into (`storage.archive`), to go on from where the backup ends. */
  readonly archive?: string | readonly string[]
  /** The last entry to be restored; default: the last that the archive has without a gap. Needs `archive`. */
  readonly atIndex?: number
}

/** A folder that was restored. */
export interface RestoredStore {
  /** Of the new cluster. */
  readonly clusterId: string
  readonly id: string
  /** It goes on after this entry. */
  readonly index: number
  /**
   * Large values that came after the backup: the archive has that they were written, not their bytes. Reading one is
   * QUORATE_BLOB_UNREADABLE until it is deleted or written anew.
   */
  readonly unreadable: UnreadableValues
}

/** A backup that was verified. */
export interface VerifiedBackup {
  /** The cluster that it was taken from. */
  readonly clusterId: string
  /** It holds exactly the entries up to here. */
  readonly index: number
  readonly term: number
  /** Records, those of sessions and of the members included. */
  readonly entries: number
  readonly chunks: number
  readonly bytes: number
  /** Values that are stored as shards: their bytes are in the backup beside the chunks, and whole. */
  readonly largeValues: number
}

/** How long a retained checkpoint is waited for; a large state takes its time. */
const RETAIN_MS = 600_000
const MAINTENANCE_OPTIONS = ['signal', 'onProgress']
const BACKUP_OPTIONS = [...MAINTENANCE_OPTIONS, 'timeoutMs', 'since', 'consistency']

/** What `Store.checkpoint` does when it is to be retained. */
export async function retain(
  backend: Backend,
  options: RetainOptions,
): Promise<RetainedCheckpoint> {
  refuseUnknown('checkpoint', options, ['retain', 'timeoutMs', 'signal'])
  const { timeoutMs = RETAIN_MS } = options
  if (options.retain !== true) throw new TypeError('retain is true, or not given')
  const { signal } = checked(options)
  return backend.retain({ deadline: backend.now() + requireTimeout(timeoutMs), signal })
}

/** What `Store.backup` does. */
export async function backup(
  backend: Backend,
  settings: StoreSettings,
  dest: string,
  options: BackupOptions,
): Promise<BackupResult> {
  requirePath('dest', dest)
  refuseUnknown('backup', options, BACKUP_OPTIONS)
  const { since, consistency = 'strong', timeoutMs = settings.timeoutMs } = options
  if (since !== undefined) requirePath('since', since)
  const level = requireOneOf('consistency', consistency, READ_LEVELS)
  const { signal, onProgress } = checked(options)
  const deadline = backend.now() + requireTimeout(timeoutMs)
  const request = { level, minIndex: 0, deadline, signal }
  return backend.backup(dest, { since, signal, onProgress }, request)
}

/** What `Store.verify` does, in a given world. */
export async function verify(
  { disk }: Pick<Env, 'disk'>,
  src: string,
  options: MaintenanceOptions,
): Promise<VerifiedBackup> {
  requirePath('src', src)
  refuseUnknown('verify', options, MAINTENANCE_OPTIONS)
  const { manifest, largeValues } = await verifyBackup(disk, src, checked(options))
  const { clusterId, index, term, entries, bytes } = manifest
  return { clusterId, index, term, entries, bytes, chunks: manifest.chunks.length, largeValues }
}

/** What `Store.restore` does, in a given world. */
export async function restore(
  env: Env,
  src: string,
  dir: string,
  options: RestoreOptions,
): Promise<RestoredStore> {
  requirePath('src', src)
  requirePath('dir', dir)
  refuseUnknown('restore', options, [...MAINTENANCE_OPTIONS, 'id', 'archive', 'atIndex'])
  const { id = 'a', atIndex } = options
  if (!MEMBER_ID_PATTERN.test(id)) throw new TypeError(`'${id}' is no member's name`)
  const { manifest, chunks, values } = await openBackup(env.disk, src)
  const archives = archivesOf(options)
  const archived = await ArchivedLog.open(env.disk, archives, manifest.clusterId)
  const last = atIndex ?? archived.endAfter(manifest.index)
  if (last < manifest.index) {
    throw new StoreError(
      'QUORATE_NOT_READY',
      `the backup holds index ${manifest.index}, which is after ${last}: take an earlier one`,
    )
  }
  const reading = readingOf(checked(options))
  const readPart = reading(values)
  const { clusterId, index, unreadable } = await foundCluster(env, dir, id, {
    image: { manifest, read: reading(chunks) },
    initial: undefined,
    entries: (from) => archived.entries(from, last),
    largeParts: async (_, part) => {
      const chunk = chunkOf(part)
      return values.has(chunk) ? readPart(chunk) : undefined
    },
  })
  return { clusterId, id, index, unreadable }
}

function archivesOf({ archive, atIndex }: RestoreOptions): readonly string[] {
  if (atIndex !== undefined && (!Number.isSafeInteger(atIndex) || atIndex < 1)) {
    throw new RangeError('atIndex is a whole number from 1 up')
  }
  if (atIndex !== undefined && archive === undefined) throw new TypeError('atIndex needs archive')
  const archives = typeof archive === 'string' ? [archive] : (archive ?? [])
  for (const path of archives) requirePath('archive', path)
  return archives
}

function checked({ signal, onProgress }: MaintenanceOptions): MaintenanceOptions {
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new TypeError('signal is an AbortSignal')
  }
  if (onProgress !== undefined && typeof onProgress !== 'function') {
    throw new TypeError('onProgress is a function')
  }
  return { ...(signal && { signal }), ...(onProgress && { onProgress }) }
}

function requirePath(name: string, value: unknown): void {
  if (typeof value !== 'string' || value === '')
    throw new TypeError(`${name} is the path of a folder`)
}
