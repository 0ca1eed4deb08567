/**
 * The large values that one client stores through this member, and reads.
 *
 * Bounds: UPLOADS_MAX open at once, each with WRITES_MAX pieces that wait for the one before; FETCHES_MAX under way.
 * Beyond them asks are answered QUORATE_OVERLOADED. When the client is gone, what it has not finished is dropped; what
 * it has may be in a request of its own that is still under way, and is left to the rules for what nothing refers to.
 */
import { StoreError } from '../base/errors.js'
import type { UploadRequest } from '../blob/upload.js'
import type { BlobAsk } from '../wire/client-ask.js'
import type { Reply } from '../wire/client-reply.js'
import { type Backend, type BlobUpload, FETCH_BYTES_MAX } from './backend.js'

const UPLOADS_MAX = 128
const WRITES_MAX = 16
const FETCHES_MAX = 16
/** Finished uploads that a client may still drop; the oldest is forgotten beyond. */
const FINISHED_MAX = 256
/** When a client that met a bound may try again. */
const RETRY_MS = 100

/** Where large values go. */
export type BlobBackend = Pick<Backend, 'now' | 'blobs'>

interface OpenUpload {
  readonly upload: BlobUpload
  /** The last of what was asked of it. */
  work: Promise<unknown>
  waiting: number
}

/** See the file's comment. */
export class ClientBlobs {
  readonly #backend: BlobBackend
  readonly #uploads = new Map<number, OpenUpload>()
  readonly #finished = new Map<number, BlobUpload>()
  #fetches = 0

  constructor(backend: BlobBackend) {
    this.#backend = backend
  }

  /** Whether an upload has this id. */
  has(id: number): boolean {
    return this.#uploads.has(id) || this.#finished.has(id)
  }

  /** Begins an upload under the id of its ask. Not answered: the first write finds none, and says so. */
  open(id: number, { key, isStream, remainingMs }: BlobAsk & { type: 'blobOpen' }): void {
    if (this.#uploads.size >= UPLOADS_MAX) return
    const deadline = this.#backend.now() + remainingMs
    const request = { key: Buffer.from(key), isStream, deadline, signal: undefined }
    this.#uploads.set(id, { upload: this.#begun(request), work: Promise.resolve(), waiting: 0 })
  }

  async write({ upload: of, bytes }: BlobAsk & { type: 'blobWrite' }): Promise<Reply> {
    const open = this.#open(of)
    if (open.waiting >= WRITES_MAX) throw overloaded(`${WRITES_MAX} pieces of a large value wait`)
    await inTurn(open, () => open.upload.write(bytes))
    return { type: 'done' }
  }

  async finish(of: number): Promise<Reply> {
    const open = this.#open(of)
    const manifest = await inTurn(open, () => open.upload.finish())
    this.#uploads.delete(of)
    this.#finished.set(of, open.upload)
    const [oldest] = this.#finished.keys()
    if (this.#finished.size > FINISHED_MAX) this.#finished.delete(oldest!)
    return { type: 'bytes', bytes: manifest }
  }

  drop(of: number): void {
    const upload = this.#uploads.get(of)?.upload ?? this.#finished.get(of)
    this.#uploads.delete(of)
    this.#finished.delete(of)
    upload?.drop()
  }

  async fetch(
    { key, manifest, start, end, remainingMs }: BlobAsk & { type: 'blobFetch' },
    signal: AbortSignal,
  ): Promise<Reply> {
    if (start > end || end - start > FETCH_BYTES_MAX) {
      throw new StoreError('QUORATE_FORMAT', `no range to fetch: ${start} to ${end}`)
    }
    if (this.#fetches >= FETCHES_MAX) throw overloaded(`${FETCHES_MAX} fetches are under way`)
    this.#fetches++
    try {
      const deadline = this.#backend.now() + remainingMs
      const request = { key, manifest, start, end, deadline, signal }
      return { type: 'bytes', bytes: await this.#backend.blobs.fetch(request) }
    } finally {
      this.#fetches--
    }
  }

  /** The client is gone. */
  end(): void {
    for (const { upload } of this.#uploads.values()) upload.drop()
    this.#uploads.clear()
    this.#finished.clear()
  }

  /** One that could not be begun says so when it is written to. */
  #begun(request: UploadRequest): BlobUpload {
    try {
      return this.#backend.blobs.upload(request)
    } catch (error) {
      const fail = (): Promise<never> => Promise.reject(error)
      return { write: fail, finish: fail, drop: () => undefined }
    }
  }

  #open(id: number): OpenUpload {
    const open = this.#uploads.get(id)
    if (open !== undefined) return open
    throw overloaded(`the upload is not open here: it has ended, or there are ${UPLOADS_MAX}`)
  }
}

/** Does `next` after what was asked of `open` before; when that has failed, fails in the same way. */
async function inTurn<T>(open: OpenUpload, next: () => Promise<T>): Promise<T> {
  open.waiting++
  const work = open.work.then(next)
  open.work = work
  try {
    return await work
  } finally {
    open.waiting--
  }
}

function overloaded(what: string): StoreError {
  const about = { retryable: true, retryAfterMs: RETRY_MS }
  return new StoreError('QUORATE_OVERLOADED', what, about)
}
