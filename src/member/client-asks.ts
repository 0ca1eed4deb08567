/**
 * What one client holds open on this member: views, their cursors, watches, uploads of large values (client-blobs.ts),
 * and what it waits for.
 *
 * Bounds: VIEWS_MAX, CURSORS_MAX, WATCHES_MAX and WAITS_MAX per client, beyond which asks are answered
 * QUORATE_OVERLOADED; a block is at most BLOCK_BYTES. Everything is let go when the client is gone: a view is closed
 * once nothing reads from it any more, cursors before their view.
 */
import { unreachable } from '../base/assert.js'
import { StoreError } from '../base/errors.js'
import type { Ask, BlobAsk } from '../wire/client-ask.js'
import type { Reply } from '../wire/client-reply.js'
import { DecodeError } from '../wire/command.js'
import type { Backend, ScanCursor, StateView, WatchCursor } from './backend.js'
import { ClientBlobs } from './client-blobs.js'

const VIEWS_MAX = 256
const CURSORS_MAX = 256
const WATCHES_MAX = 256
const WAITS_MAX = 4_096
const BLOCK_ENTRIES = 4_096
const BLOCK_BYTES = 262_144
/** So many blocks are read at once; the next ones wait for them. */
const READS_AT_ONCE = 64
/** When a client that met a bound may try again. */
const RETRY_MS = 100

/** Whoever answers the asks. */
export type AskBackend = Pick<Backend, 'now' | 'openView' | 'watch' | 'awaitApplied' | 'blobs'>

interface OpenView {
  readonly view: StateView
  readonly cursors: Set<number>
  /** What reads from it at present. */
  inUse: number
  isEnded: boolean
}

interface OpenCursor {
  readonly cursor: ScanCursor
  readonly view: OpenView
  isBusy: boolean
}

interface OpenWatch {
  readonly cursor: WatchCursor
  isBusy: boolean
}

/** See the file's comment. */
export class ClientAsks {
  readonly #backend: AskBackend
  readonly #reply: (id: number, reply: Reply) => void
  readonly #blockBytes: number
  readonly #views = new Map<number, OpenView>()
  readonly #cursors = new Map<number, OpenCursor>()
  readonly #watches = new Map<number, OpenWatch>()
  readonly #waits = new Map<number, AbortController>()
  readonly #blobs: ClientBlobs
  /** Reads from views, and the closing of them. */
  readonly #work = new Set<Promise<unknown>>()
  #opening = 0
  #isEnded = false

  /** @param reply sends the answer to an ask; not called any more once `end` was */
  constructor(
    backend: AskBackend,
    maxFrameBytes: number,
    reply: (id: number, reply: Reply) => void,
  ) {
    this.#backend = backend
    this.#blobs = new ClientBlobs(backend)
    this.#blockBytes = Math.min(BLOCK_BYTES, maxFrameBytes >> 2)
    this.#reply = reply
  }

  /** Whether another ask may be begun. */
  get hasRoom(): boolean {
    return this.#work.size < READS_AT_ONCE
  }

  ask(id: number, ask: Ask): void {
    if (this.#isTaken(id)) {
      // What is open under it would be forgotten, and never closed.
      const error = new StoreError('QUORATE_FORMAT', `the id ${id} was given twice`)
      this.#send(id, { type: 'error', error })
      return
    }
    switch (ask.type) {
      case 'view':
        this.#openView(id, ask)
        return
      case 'values':
        this.#answer(id, this.#values(ask))
        return
      case 'cursor':
        this.#openCursor(id, ask)
        return
      case 'entries':
        this.#answer(id, this.#entries(ask))
        return
      case 'watch':
        this.#openWatch(id, ask)
        return
      case 'changes':
        this.#answer(id, this.#changes(ask))
        return
      case 'applied':
        this.#await(id, ask)
        return
      case 'end':
        this.#end(ask.id)
        return
      case 'probe':
        this.#reply(id, { type: 'done' })
        return
      default:
        this.#askBlobs(id, ask)
    }
  }

  #askBlobs(id: number, ask: BlobAsk): void {
    const blobs = this.#blobs
    switch (ask.type) {
      case 'blobOpen':
        blobs.open(id, ask)
        return
      case 'blobWrite':
        this.#answer(id, blobs.write(ask))
        return
      case 'blobFinish':
        this.#answer(id, blobs.finish(ask.upload))
        return
      case 'blobDrop':
        blobs.drop(ask.upload)
        return
      case 'blobFetch':
        this.#wait(id, (signal) => blobs.fetch(ask, signal))
        return
      default:
        unreachable(ask)
    }
  }

  /** The client is gone. Resolves when nothing reads from the state any more. */
  async end(): Promise<void> {
    this.#isEnded = true
    for (const wait of this.#waits.values()) wait.abort()
    this.#blobs.end()
    for (const { cursor } of this.#watches.values()) cursor.close()
    for (const id of [...this.#views.keys()]) this.#endView(id)
    this.#waits.clear()
    this.#watches.clear()
    while (this.#work.size > 0) await Promise.allSettled(this.#work)
  }

  /** Opened before this returns, as far as the backend is concerned: see ViewRequest. */
  #openView(id: number, { cut, demand }: Ask & { type: 'view' }): void {
    if (this.#views.size + this.#opening >= VIEWS_MAX) {
      this.#overloaded(id, `${VIEWS_MAX} views`)
      return
    }
    this.#wait(id, (signal) => {
      this.#opening++
      const { remainingMs, ...wanted } = demand
      const deadline = this.#backend.now() + remainingMs
      const opening = this.#backend.openView({ ...wanted, deadline, cut, signal })
      const kept = opening.then((view) => this.#keepView(id, view, signal))
      return kept.finally(() => this.#opening--)
    })
  }

  async #keepView(id: number, view: StateView, { aborted }: AbortSignal): Promise<Reply> {
    if (aborted || this.#isEnded) {
      await view.close()
      throw new StoreError('QUORATE_ABORTED', 'nobody waits for the view any more')
    }
    this.#views.set(id, { view, cursors: new Set(), inUse: 0, isEnded: false })
    const { index, term, role, stalenessMs, servedBy } = view.served
    return { type: 'view', served: { index, term, role, stalenessMs, servedBy } }
  }

  async #values({ view: of, keys }: Ask & { type: 'values' }): Promise<Reply> {
    const open = this.#views.get(of)
    if (open === undefined) throw isOver('view')
    const values = await this.#using(open, () => open.view.getMany(keys))
    return { type: 'values', values }
  }

  #openCursor(id: number, { view: of, range, reverse }: Ask & { type: 'cursor' }): void {
    const view = this.#views.get(of)
    // Not answered: the first ask for entries finds no cursor, and says so.
    if (view === undefined || this.#cursors.size >= CURSORS_MAX) return
    this.#cursors.set(id, { cursor: view.view.cursor(range, reverse), view, isBusy: false })
    view.cursors.add(id)
  }

  async #entries({ cursor: of, ...wanted }: Ask & { type: 'entries' }): Promise<Reply> {
    const open = this.#cursors.get(of)
    if (open === undefined) throw isOver('cursor')
    const maxEntries = Math.min(wanted.maxEntries, BLOCK_ENTRIES)
    const maxBytes = Math.min(wanted.maxBytes, this.#blockBytes)
    const entries = await oneAtATime(open, () =>
      this.#using(open.view, () => open.cursor.next(maxEntries, maxBytes)),
    )
    return { type: 'entries', entries }
  }

  #openWatch(id: number, { after, afterTerm, range }: Ask & { type: 'watch' }): void {
    if (this.#watches.size >= WATCHES_MAX) return
    try {
      const cursor = this.#backend.watch({ range, after, afterTerm, signal: undefined })
      this.#watches.set(id, { cursor, isBusy: false })
    } catch (error) {
      this.#watches.set(id, { cursor: failed(error), isBusy: false })
    }
  }

  async #changes({ watch: of, maxBytes }: Ask & { type: 'changes' }): Promise<Reply> {
    const watch = this.#watches.get(of)
    if (watch === undefined) throw isOver('watch')
    const most = Math.min(maxBytes, this.#blockBytes)
    const { through, entries } = await oneAtATime(watch, () => watch.cursor.next(most))
    return { type: 'changes', through, entries }
  }

  #await(id: number, { index, where, remainingMs }: Ask & { type: 'applied' }): void {
    this.#wait(id, async (signal) => {
      const deadline = this.#backend.now() + remainingMs
      await this.#backend.awaitApplied(index, where, deadline, signal)
      return { type: 'done' }
    })
  }

  /** Starts what may take long, and may be given up. */
  #wait(id: number, start: (signal: AbortSignal) => Promise<Reply>): void {
    if (this.#waits.size >= WAITS_MAX) {
      this.#overloaded(id, `${WAITS_MAX} waiting asks`)
      return
    }
    const controller = new AbortController()
    this.#waits.set(id, controller)
    const answering = start(controller.signal)
    this.#answer(
      id,
      answering.finally(() => this.#waits.delete(id)),
    )
  }

  /** The view stays open until `read` has ended. */
  #using<T>(view: OpenView, read: () => Promise<T>): Promise<T> {
    view.inUse++
    return this.#own(
      read().finally(() => {
        view.inUse--
        if (view.isEnded) this.#release(view)
      }),
    )
  }

  #end(id: number): void {
    this.#waits.get(id)?.abort()
    this.#watches.get(id)?.cursor.close()
    this.#watches.delete(id)
    const cursor = this.#cursors.get(id)
    if (cursor !== undefined) this.#endCursor(id, cursor)
    this.#endView(id)
  }

  #endView(id: number): void {
    const view = this.#views.get(id)
    if (view === undefined) return
    this.#views.delete(id)
    view.isEnded = true
    this.#release(view)
  }

  #endCursor(id: number, { cursor, view }: OpenCursor): void {
    this.#cursors.delete(id)
    view.cursors.delete(id)
    // A cursor that fails to close is gone with its database; there is nobody to be told.
    this.#using(view, () => cursor.close()).catch(() => undefined)
  }

  #release(view: OpenView): void {
    if (view.inUse > 0) return
    if (view.cursors.size === 0) {
      // Whatever ends last comes here; the view is closed once.
      view.inUse = Number.POSITIVE_INFINITY
      this.#own(view.view.close()).catch(() => undefined)
      return
    }
    for (const id of [...view.cursors]) this.#endCursor(id, this.#cursors.get(id)!)
  }

  #isTaken(id: number): boolean {
    const all = [this.#views, this.#cursors, this.#watches, this.#waits, this.#blobs]
    return all.some((open) => open.has(id))
  }

  #answer(id: number, answering: Promise<Reply>): void {
    answering.then(
      (reply) => this.#send(id, reply),
      (error: unknown) => this.#send(id, { type: 'error', error: asStoreError(error) }),
    )
  }

  #send(id: number, reply: Reply): void {
    if (!this.#isEnded) this.#reply(id, reply)
  }

  #own<T>(work: Promise<T>): Promise<T> {
    const settled = work.finally(() => this.#work.delete(settled))
    this.#work.add(settled)
    return settled
  }

  #overloaded(id: number, what: string): void {
    const message = `this client has ${what} open already`
    const about = { retryable: true, retryAfterMs: RETRY_MS }
    this.#send(id, { type: 'error', error: new StoreError('QUORATE_OVERLOADED', message, about) })
  }
}

/** Any failure as one that can travel. */
export function asStoreError(error: unknown): StoreError {
  if (error instanceof StoreError) return error
  const code = error instanceof DecodeError ? 'QUORATE_FORMAT' : 'QUORATE_STOPPED'
  const message = error instanceof Error ? error.message : String(error)
  return new StoreError(code, message, { cause: error })
}

/** Whoever asks for the next block waits for the one before. */
async function oneAtATime<T>(of: { isBusy: boolean }, next: () => Promise<T>): Promise<T> {
  if (of.isBusy) throw new StoreError('QUORATE_FORMAT', 'asked for the next block too early')
  of.isBusy = true
  try {
    return await next()
  } finally {
    of.isBusy = false
  }
}

function isOver(what: string): StoreError {
  const message = `the ${what} is not open here: it was ended, or there are too many`
  return new StoreError('QUORATE_OVERLOADED', message, { retryable: true, retryAfterMs: RETRY_MS })
}

/** A watch that could not be opened says so when it is asked. */
function failed(error: unknown): WatchCursor {
  return { next: () => Promise.reject(error), close: () => undefined }
}
