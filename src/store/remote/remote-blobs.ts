/**
 * The large values of a client: their bytes go through one member, which makes the shards, and come from any.
 *
 * An upload stays with the member that it began at: when that is lost, it has failed, with nothing written. A fetch
 * changes nothing, and goes on at another member. Bounds: UPLOADS_AT_ONCE and FETCHES_AT_ONCE, further ones wait for
 * their turn; WINDOW_BYTES of each upload on their way.
 */
import { StoreError } from '../../base/errors.js'
import type { FetchRequest } from '../../blob/fetch.js'
import type { UploadRequest } from '../../blob/upload.js'
import type { Blobs, BlobUpload } from '../../member/backend.js'
import type { Ask } from '../../wire/client-ask.js'
import type { Reply } from '../../wire/client-reply.js'
import { decodeManifest, encodeManifest } from '../../wire/manifest.js'
import { follow } from '../follow-signal.js'
import { piecesOf, sliceOf } from '../large-value.js'
import { Turns } from '../turns.js'
import { type Asking, abortedBy, askOnce, attempt, expectReply, isElsewhere } from './asking.js'
import type { MemberLink } from './member-link.js'

/** Beyond these a member refuses (member/client-blobs.ts). */
const UPLOADS_AT_ONCE = 64
const FETCHES_AT_ONCE = 16
/** Bytes of one upload that were sent and not taken yet. */
const WINDOW_BYTES = 1_048_576
/** What of a large value travels in one frame, at most. */
const CHUNK_BYTES = 262_144
/** Room in a frame beside the bytes. */
const OVERHEAD_BYTES = 1_024

/** Whom to ask; not `without` unless there is nobody else. */
export interface BlobRoute extends Asking {
  /** The member that takes the requests, if possible. */
  forCall(without: MemberLink | undefined): MemberLink | undefined
  forWeak(without: MemberLink | undefined): MemberLink | undefined
  readonly thresholdBytes: number
}

/** See the file's comment. */
export class RemoteBlobs implements Blobs {
  readonly #route: BlobRoute
  readonly #uploads = new Turns(UPLOADS_AT_ONCE)
  readonly #fetches = new Turns(FETCHES_AT_ONCE)

  constructor(route: BlobRoute) {
    this.#route = route
  }

  get thresholdBytes(): number {
    return this.#route.thresholdBytes
  }

  upload(request: UploadRequest): BlobUpload {
    return new RemoteUpload(this.#route, this.#uploads, request)
  }

  /** Where the nearest member cannot, the one that takes the requests may: it knows most. */
  async fetch(request: FetchRequest): Promise<Buffer> {
    const leave = await this.#fetches.enter(request.signal)
    try {
      return await this.#fetch(request, (without) => this.#route.forWeak(without))
    } catch (error) {
      const isUnreadable = error instanceof StoreError && error.code === 'QUORATE_BLOB_UNREADABLE'
      if (!isUnreadable) throw error
      return await this.#fetch(request, (without) => this.#route.forCall(without))
    } finally {
      leave()
    }
  }

  #fetch(
    request: FetchRequest,
    pick: (without: MemberLink | undefined) => MemberLink | undefined,
  ): Promise<Buffer> {
    const { deadline, signal } = request
    return attempt(this.#route, { deadline, signal, pick }, async (link) => {
      const manifest = decodeManifest(request.manifest)
      const pieces: Buffer[] = []
      for (const { start, end } of piecesOf(manifest, request, frameBytes(link))) {
        pieces.push(await this.#piece(link, request, sliceOf(manifest, { start, end })))
      }
      return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces)
    })
  }

  async #piece(
    link: MemberLink,
    { key, deadline, signal }: FetchRequest,
    { manifest, start, end }: ReturnType<typeof sliceOf>,
  ): Promise<Buffer> {
    const remainingMs = Math.max(0, deadline - this.#route.now())
    const of = encodeManifest(manifest)
    const ask: Ask = { type: 'blobFetch', key, manifest: of, start, end, remainingMs }
    const { reply } = await askOnce(link, ask, deadline, signal)
    const { bytes } = expectReply(reply, 'bytes')
    if (bytes.length === end - start) return bytes as Buffer
    throw new StoreError('QUORATE_FORMAT', 'the member answers with another number of bytes')
  }
}

/** One upload through one member, chosen when the first bytes come. */
class RemoteUpload implements BlobUpload {
  readonly #route: BlobRoute
  readonly #turns: Turns
  readonly #request: UploadRequest
  readonly #dropped = new AbortController()
  readonly #signal: AbortSignal
  readonly #unfollow: () => void
  #at: { readonly link: MemberLink; readonly id: number } | undefined
  #leave: (() => void) | undefined
  #failure: { readonly error: unknown } | undefined
  #sentBytes = 0
  #manifest: Buffer | undefined
  #onNews: (() => void) | undefined

  constructor(route: BlobRoute, turns: Turns, request: UploadRequest) {
    this.#route = route
    this.#turns = turns
    this.#request = request
    this.#unfollow = follow(this.#dropped, request.signal)
    this.#signal = this.#dropped.signal
    this.#signal.addEventListener('abort', () => this.#fail(abortedBy(this.#signal)), {
      once: true,
    })
  }

  async write(bytes: Uint8Array): Promise<void> {
    const { link, id } = await this.#open()
    const most = Math.min(CHUNK_BYTES, frameBytes(link))
    for (let start = 0; start < bytes.length; start += most) {
      await this.#until(() => this.#sentBytes < WINDOW_BYTES)
      const piece = bytes.subarray(start, start + most)
      this.#sentBytes += piece.length
      this.#ask(link, { type: 'blobWrite', upload: id, bytes: piece }, () => {
        this.#sentBytes -= piece.length
      })
    }
  }

  async finish(): Promise<Uint8Array> {
    const { link, id } = await this.#open()
    await this.#until(() => this.#sentBytes === 0)
    this.#ask(link, { type: 'blobFinish', upload: id }, (reply) => {
      // Kept beyond the body that it came in.
      this.#manifest = Buffer.from(expectReply(reply, 'bytes').bytes)
    })
    await this.#until(() => this.#manifest !== undefined)
    this.#unfollow()
    this.#leave?.()
    return this.#manifest!
  }

  drop(): void {
    this.#unfollow()
    this.#leave?.()
    this.#at?.link.tell({ type: 'blobDrop', upload: this.#at.id })
    this.#at = undefined
    this.#dropped.abort()
  }

  async #open(): Promise<{ readonly link: MemberLink; readonly id: number }> {
    if (this.#failure !== undefined) throw this.#failure.error
    if (this.#at !== undefined) return this.#at
    const { key, isStream, deadline } = this.#request
    const signal = this.#signal
    this.#leave ??= await this.#turns.enter(signal)
    const pick = (without: MemberLink | undefined): MemberLink | undefined =>
      this.#route.forCall(without)
    const link = await attempt(this.#route, { deadline, signal, pick }, async (at) => at)
    const remainingMs = Math.max(0, deadline - this.#route.now())
    this.#at = { link, id: link.tell({ type: 'blobOpen', isStream, key, remainingMs }) }
    return this.#at
  }

  /** Asks without waiting. What another member would not say is QUORATE_NETWORK: nothing was written. */
  #ask(link: MemberLink, ask: Ask, taken: (reply: Reply) => void): void {
    const told = askOnce(link, ask, this.#request.deadline, undefined).then(({ reply }) => {
      taken(reply)
      this.#onNews?.()
    })
    told.catch((error: unknown) => {
      if (!isElsewhere(error) || this.#route.ended !== undefined) return this.#fail(error)
      link.noteFailure()
      const message = `the member that took the value is lost: ${error.message}`
      this.#fail(new StoreError('QUORATE_NETWORK', message, { retryable: true, cause: error }))
    })
  }

  async #until(isSo: () => boolean): Promise<void> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure.error
      if (isSo()) return
      await new Promise<void>((resolve) => {
        this.#onNews = resolve
      })
    }
  }

  #fail(error: unknown): void {
    this.#failure ??= { error }
    this.#onNews?.()
  }
}

function frameBytes({ news }: MemberLink): number {
  return Math.max(OVERHEAD_BYTES, (news?.maxFrameBytes ?? 0) - OVERHEAD_BYTES)
}
