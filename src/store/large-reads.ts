/**
 * Large values on their way to whoever reads them: what a read found are manifests, and the bytes are fetched.
 *
 * Bounds: FETCHES_AT_ONCE of FETCH_BYTES_MAX for one call, and what it asks for is in memory: at most `maxBytes`.
 */
import { equalBytes } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import { type Backend, FETCH_BYTES_MAX, type StoredValue } from '../member/backend.js'
import type { Manifest } from '../wire/manifest.js'
import { follow } from './follow-signal.js'
import { type ByteRange, manifestOf, piecesOf } from './large-value.js'
import { findSame } from './same-value.js'

const FETCHES_AT_ONCE = 8
const GROUP_BYTES = 8 * 1024 * 1024
/** A read that finds its value replaced looks again so often. */
export const LOOKUPS_MAX = 3

/** A value as it was found, or in memory. */
export interface WholeValue extends StoredValue {
  /** It came as a stream of bytes: no value encoding applies. */
  readonly isStream?: true
}

/** What bounds the fetching of a value. */
export interface FetchSpec {
  /** Without a piece of it for so long, it fails. */
  readonly timeoutMs: number
  readonly signal: AbortSignal | undefined
  /** Another change of the same revision has taken its place: what stands under its key now is not this value. */
  readonly isReplaced?: boolean
}

/** What reads found. */
export type Found = readonly (StoredValue | undefined)[]

/** A key and what stands under it. */
export type FoundEntry = readonly [key: Uint8Array, stored: WholeValue]

interface Job {
  readonly key: Uint8Array
  readonly stored: StoredValue
  readonly manifest: Manifest
  target: Buffer | undefined
}

/** Whether any of `found` lies in shards. */
export function hasCoded(found: Found): boolean {
  for (const stored of found) if (stored?.isCoded) return true
  return false
}

/** Whether the value that was being read has gone: it may be worth looking for the one that is there now. */
export function isGone(error: unknown): boolean {
  return error instanceof StoreError && error.code === 'QUORATE_BLOB_GONE'
}

/** `entries` in groups of at most GROUP_BYTES of large values, or one value. @throws {StoreError} QUORATE_FORMAT */
export function* groupsOf(
  entries: readonly FoundEntry[],
): Generator<readonly FoundEntry[], undefined> {
  let start = 0
  let bytes = 0
  for (let i = 0; i < entries.length; i++) {
    const [, stored] = entries[i]!
    if (!stored.isCoded) continue
    const more = bytesOf(stored)
    if (i > start && bytes + more > GROUP_BYTES) {
      yield entries.slice(start, i)
      start = i
      bytes = 0
    }
    bytes += more
  }
  yield start === 0 ? entries : entries.slice(start)
}

/** The bytes of a value that was found. @throws {StoreError} QUORATE_FORMAT */
export function bytesOf({ value, isCoded }: StoredValue): number {
  return isCoded ? manifestOf(value).bytes : value.length
}

/** See the file's comment. */
export class LargeReads {
  readonly #backend: Pick<Backend, 'now' | 'blobs' | 'read'>
  /** Present manifests of values that were coded anew, by the bytes of the old one. */
  readonly #renewed = new WeakMap<Uint8Array, Uint8Array>()
  /** The most that one call brings into memory. */
  readonly maxBytes: number

  constructor(backend: Pick<Backend, 'now' | 'blobs' | 'read'>, maxBytes: number) {
    this.#backend = backend
    this.maxBytes = maxBytes
  }

  /**
   * `found` under `keys` with the bytes of all large values.
   * @throws {StoreError} QUORATE_TOO_LARGE they are too many; QUORATE_BLOB_GONE, QUORATE_BLOB_UNREADABLE,
   *   QUORATE_TIMEOUT, QUORATE_ABORTED
   */
  async whole(
    keys: readonly Uint8Array[],
    found: Found,
    spec: FetchSpec,
  ): Promise<(WholeValue | undefined)[]> {
    const jobs = found.map((stored, i) => (stored?.isCoded ? jobOf(keys[i]!, stored) : undefined))
    this.#requireRoom(jobs)
    const pieces = piecesOfAll(jobs)
    const ending = new AbortController()
    const unfollow = follow(ending, spec.signal)
    const work = async (): Promise<void> => {
      // One that fails ends the pieces for all.
      for (const [job, piece] of pieces)
        await this.#fetchInto(job, piece, { ...spec, signal: ending.signal })
    }
    try {
      await Promise.all(Array.from({ length: FETCHES_AT_ONCE }, work))
    } finally {
      unfollow()
      ending.abort()
    }
    return found.map((stored, i) => {
      const job = jobs[i]
      return job === undefined ? (stored as WholeValue | undefined) : wholeOf(job)
    })
  }

  /** `entries` with the bytes of all large values. @throws {StoreError} as `whole` */
  async wholeEntries(
    entries: readonly FoundEntry[],
    spec: FetchSpec,
  ): Promise<readonly FoundEntry[]> {
    if (!entries.some(([, { isCoded }]) => isCoded)) return entries
    const found = entries.map(([, stored]) => stored)
    const keys = entries.map(([key]) => key)
    const values = await this.whole(keys, found, spec)
    return keys.map((key, i) => [key, values[i]!])
  }

  /** One piece of a large value, at most FETCH_BYTES_MAX of it. @throws {StoreError} as `whole` */
  async fetch(
    key: Uint8Array,
    { value, revision }: StoredValue,
    { start, end }: ByteRange,
    spec: FetchSpec,
  ): Promise<Buffer> {
    const { signal } = spec
    for (let lookups = 1; ; lookups++) {
      const manifest = this.#renewed.get(value) ?? value
      const deadline = this.#backend.now() + spec.timeoutMs
      try {
        return await this.#backend.blobs.fetch({ key, manifest, start, end, deadline, signal })
      } catch (error) {
        if (!isGone(error) || spec.isReplaced || lookups >= LOOKUPS_MAX) throw error
        const same = await findSame(this.#backend, key, revision, spec)
        if (same === undefined || equalBytes(same.value, manifest)) throw error
        this.#renewed.set(value, same.value)
      }
    }
  }

  async #fetchInto(job: Job, piece: ByteRange, spec: FetchSpec): Promise<void> {
    const { key, stored, manifest } = job
    const bytes = await this.fetch(key, stored, piece, spec)
    if (bytes.length === manifest.bytes) {
      job.target = bytes
      return
    }
    job.target ??= Buffer.allocUnsafeSlow(manifest.bytes)
    job.target.set(bytes, piece.start)
  }

  #requireRoom(jobs: readonly (Job | undefined)[]): void {
    const bytes = jobs.reduce((sum, job) => sum + (job?.manifest.bytes ?? 0), 0)
    if (bytes <= this.maxBytes) return
    throw new StoreError(
      'QUORATE_TOO_LARGE',
      `${bytes} bytes are more than is brought into memory at once (limits.maxGetBytes, ` +
        `${this.maxBytes}): store.read gives them as a stream`,
    )
  }
}

function jobOf(key: Uint8Array, stored: StoredValue): Job {
  return { key, stored, manifest: manifestOf(stored.value), target: undefined }
}

function* piecesOfAll(jobs: readonly (Job | undefined)[]): Generator<[Job, ByteRange], undefined> {
  for (const job of jobs) {
    if (job === undefined) continue
    const all = { start: 0, end: job.manifest.bytes }
    for (const piece of piecesOf(job.manifest, all, FETCH_BYTES_MAX)) yield [job, piece]
  }
}

function wholeOf({ manifest, stored, target }: Job): WholeValue {
  const value = target ?? Buffer.alloc(0)
  const { revision } = stored
  return manifest.isStream ? { value, revision, isStream: true } : { value, revision }
}
