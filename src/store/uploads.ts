/**
 * Large values on their way to the members, before the write that puts them into force is sent.
 *
 * Bounds: BYTES_AT_ONCE values and STREAMS_AT_ONCE streams of one Store under way, the others wait for their turn;
 * `maxPendingBytes` of values in memory, or one call with more, further ones are QUORATE_OVERLOADED. Whatever fails has
 * the outcome `none`, and what was stored of it is dropped.
 */
import { Readable } from 'node:stream'
import { StoreError } from '../base/errors.js'
import type { Backend, BlobUpload } from '../member/backend.js'
import type { Put } from '../wire/command.js'
import { follow } from './follow-signal.js'
import { Turns } from './turns.js'
import { Watchdog } from './watchdog.js'
import type { PipelineLimits, WritePipeline } from './write-pipeline.js'

const BYTES_AT_ONCE = 16
const STREAMS_AT_ONCE = 64
/** When it may be worth trying again where too much waits. */
const OVERLOADED_RETRY_MS = 100
/** What is handed to the backend at a time. */
const PIECE_BYTES = 262_144
/** So often a value that is in memory is sent, when the member that took it is lost or its term is over. */
const ATTEMPTS_MAX = 3

/** Where the bytes of a large value come from; in memory they are the Store's own. */
export type Source =
  | { readonly type: 'bytes'; readonly bytes: Uint8Array }
  | {
      readonly type: 'stream'
      readonly stream: AsyncIterable<unknown>
      /** More is QUORATE_TOO_LARGE. */
      readonly maxBytes: number
    }

/** How far an upload is. */
export interface UploadProgress {
  /** Bytes of the value that were taken on their way to the members. */
  readonly bytes: number
}

/** What bounds an upload, and who hears of it. */
export interface UploadSpec {
  /** Without any progress for so long, it fails. */
  readonly timeoutMs: number
  readonly signal: AbortSignal | undefined
  readonly onProgress: ((progress: UploadProgress) => void) | undefined
}

/** A value whose shards are durable. */
export interface Uploaded {
  readonly manifest: Uint8Array
  /** Nothing refers to it, nor ever will. */
  drop(): void
}

type UploadBackend = Pick<Backend, 'now' | 'blobs' | 'calls' | 'overloaded'>

/** See the file's comment. */
export class Uploads {
  readonly #backend: UploadBackend
  readonly #pipeline: Pick<WritePipeline, 'accompany' | 'refusal' | 'isReady'>
  readonly #maxPendingBytes: number
  #pendingBytes = 0
  readonly #turns = { bytes: new Turns(BYTES_AT_ONCE), stream: new Turns(STREAMS_AT_ONCE) }

  constructor(
    backend: UploadBackend,
    pipeline: Pick<WritePipeline, 'accompany' | 'refusal' | 'isReady'>,
    { maxPendingBytes }: Pick<PipelineLimits, 'maxPendingBytes'>,
  ) {
    this.#backend = backend
    this.#pipeline = pipeline
    this.#maxPendingBytes = maxPendingBytes
  }

  /** Bytes of values in memory that are not stored yet. */
  get pendingBytes(): number {
    return this.#pendingBytes
  }

  /**
   * Stores the bytes of `sources` as shards that may be put under their keys: of all, or of none.
   * @throws {StoreError} QUORATE_UNDERCOVERED, QUORATE_NO_LEADER, QUORATE_TIMEOUT, QUORATE_TOO_LARGE, QUORATE_NO_SPACE,
   *   QUORATE_NETWORK, QUORATE_ABORTED, QUORATE_OVERLOADED; of a stream also its own error
   */
  async all(
    sources: ReadonlyMap<Put, Source>,
    spec: UploadSpec,
  ): Promise<ReadonlyMap<Put, Uploaded>> {
    const bytes = [...sources.values()].reduce((sum, source) => sum + bytesOf(source), 0)
    try {
      this.#take(bytes)
      return await this.#all(sources, spec)
    } catch (error) {
      // A stream that is not read to its end has to be told; one that has failed does not mind.
      for (const source of sources.values()) destroy(source)
      this.#backend.calls.failed(error)
      throw error
    } finally {
      this.#pendingBytes -= bytes
    }
  }

  #take(bytes: number): void {
    const before = this.#pendingBytes
    this.#pendingBytes += bytes
    if (before === 0 || before + bytes <= this.#maxPendingBytes) return
    this.#backend.overloaded?.({ what: 'writes', retryAfterMs: OVERLOADED_RETRY_MS })
    throw new StoreError(
      'QUORATE_OVERLOADED',
      `${before} bytes of large values are waiting already`,
      {
        retryable: true,
        retryAfterMs: OVERLOADED_RETRY_MS,
      },
    )
  }

  async #all(
    sources: ReadonlyMap<Put, Source>,
    spec: UploadSpec,
  ): Promise<ReadonlyMap<Put, Uploaded>> {
    const ending = new AbortController()
    const unfollow = follow(ending, spec.signal)
    const uploaded = new Map<Put, Uploaded>()
    let failure: { readonly error: unknown } | undefined
    const store = async (put: Put, source: Source): Promise<void> => {
      try {
        uploaded.set(put, await this.#upload(put.key, source, { ...spec, signal: ending.signal }))
      } catch (error) {
        failure ??= { error }
        ending.abort()
      }
    }
    await Promise.all([...sources].map(([put, source]) => store(put, source)))
    unfollow()
    if (failure === undefined) return uploaded
    for (const upload of uploaded.values()) upload.drop()
    throw failure.error
  }

  async #upload(key: Uint8Array, source: Source, spec: UploadSpec): Promise<Uploaded> {
    const { timeoutMs, signal } = spec
    const watchdog = new Watchdog(this.#backend.now(), timeoutMs, signal, () => this.#lateness())
    const unaccompany = this.#pipeline.accompany(watchdog)
    try {
      const refusal = this.#pipeline.refusal(signal)
      if (refusal !== undefined) throw refusal
      const leave = await this.#turns[source.type].enter(watchdog.signal)
      try {
        return await this.#attempt(key, source, spec, watchdog)
      } finally {
        leave()
      }
    } catch (error) {
      throw watchdog.signal.aborted ? watchdog.signal.reason : error
    } finally {
      unaccompany()
      watchdog.leave()
    }
  }

  async #attempt(
    key: Uint8Array,
    source: Source,
    spec: UploadSpec,
    watchdog: Watchdog,
  ): Promise<Uploaded> {
    const isStream = source.type === 'stream'
    for (let attempt = 1; ; attempt++) {
      const deadline = Number.POSITIVE_INFINITY
      const request = { key, isStream, deadline, signal: watchdog.signal }
      const upload = this.#backend.blobs.upload(request)
      const progress = new Progress(spec.onProgress, (bytes) =>
        watchdog.progress(bytes, this.#backend.now()),
      )
      try {
        if (isStream) await sendStream(upload, source, watchdog, progress)
        else await sendBytes(upload, source.bytes, progress)
        const manifest = await upload.finish()
        return { manifest, drop: () => upload.drop() }
      } catch (error) {
        upload.drop()
        const isOver = isStream || attempt >= ATTEMPTS_MAX || watchdog.signal.aborted
        if (isOver || !isWorthAnother(error)) throw error
      }
    }
  }

  #lateness(): StoreError {
    const about = { retryable: true }
    return this.#pipeline.isReady
      ? new StoreError('QUORATE_TIMEOUT', 'a large value made no progress for too long', about)
      : new StoreError(
          'QUORATE_NO_LEADER',
          'no leader was reached in time; nothing was sent',
          about,
        )
  }
}

/** Counts what was taken, and tells. */
class Progress {
  readonly #tell: ((progress: UploadProgress) => void) | undefined
  readonly #made: (bytes: number) => void
  #bytes = 0

  constructor(
    tell: ((progress: UploadProgress) => void) | undefined,
    made: (bytes: number) => void,
  ) {
    this.#tell = tell
    this.#made = made
  }

  get bytes(): number {
    return this.#bytes
  }

  add(bytes: number): void {
    this.#bytes += bytes
    this.#made(this.#bytes)
    this.#tell?.({ bytes: this.#bytes })
  }
}

async function sendBytes(upload: BlobUpload, bytes: Uint8Array, progress: Progress): Promise<void> {
  for (let start = 0; start < bytes.length; start += PIECE_BYTES) {
    const piece = bytes.subarray(start, start + PIECE_BYTES)
    await upload.write(piece)
    progress.add(piece.length)
  }
}

async function sendStream(
  upload: BlobUpload,
  { stream, maxBytes }: Source & { type: 'stream' },
  watchdog: Watchdog,
  progress: Progress,
): Promise<void> {
  const iterator = stream[Symbol.asyncIterator]()
  let isEnded = false
  try {
    for (;;) {
      const next = await watchdog.orEnd(iterator.next())
      isEnded = next.done === true
      if (isEnded) return
      const chunk = requireChunk(next.value)
      if (progress.bytes + chunk.length > maxBytes) throw tooLarge(maxBytes)
      await sendBytes(upload, chunk, progress)
    }
  } finally {
    // It may wait for its source for ever, and owes nobody an answer.
    if (!isEnded) iterator.return?.().then(undefined, () => undefined)
  }
}

function bytesOf(source: Source): number {
  return source.type === 'bytes' ? source.bytes.length : 0
}

function destroy(source: Source): void {
  if (source.type === 'stream' && source.stream instanceof Readable) source.stream.destroy()
}

function requireChunk(chunk: unknown): Uint8Array {
  if (chunk instanceof Uint8Array) return chunk
  throw new TypeError(`a stream that is stored gives Uint8Array, not ${typeof chunk}`)
}

function isWorthAnother(error: unknown): boolean {
  if (!(error instanceof StoreError)) return false
  return error.code === 'QUORATE_NETWORK' || error.code === 'QUORATE_UNDERCOVERED'
}

function tooLarge(maxBytes: number): StoreError {
  const message = `the stream has more than the ${maxBytes} bytes that were allowed`
  return new StoreError('QUORATE_TOO_LARGE', message)
}
