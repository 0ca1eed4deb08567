/**
 * A watch: the changes of a range of keys in the order of the log, from a position on, if wanted after the state that
 * stands there.
 *
 * What it promises: changes come in the order of the log (ordered), each once (unique), none is left out (reliable),
 * those of one entry together (atomic), and it can be gone on with from any position that is still remembered
 * (resumable), which is known even where nothing changes (bookmarkable). One that cannot keep this any more says so.
 *
 * It pulls: nothing is fetched before it is asked for, and at most one block of changes is held.
 */
import { StoreError } from '../base/errors.js'
import type { KeyRange } from '../env/database.js'
import type {
  Backend,
  EntryChanges,
  ReadPosition,
  StateView,
  WatchCursor,
} from '../member/backend.js'
import type { ReadSpec } from './call-options.js'
import { decodeKey, decodeValue, type KeyEncoding, type ValueEncoding } from './encoding.js'
import type { LargeReads } from './large-reads.js'
import type { SessionState } from './session-state.js'
import type { Position } from './token.js'
import { TRACES } from './tracing.js'
import { isPassing, LostState, Pieces } from './watch-pieces.js'
import { type Omission, type WholeChange, wholeChanges } from './whole-changes.js'
import type { WriteFollower } from './write-follower.js'

/** One change of one key. */
export type WatchedChange<T = unknown, K = string> =
  | { readonly type: 'put'; readonly key: K; readonly value: T; readonly omitted?: undefined }
  | { readonly type: 'put'; readonly key: K; readonly value: undefined; readonly omitted: Omission }
  | { readonly type: 'del'; readonly key: K }

/** What a watch gives. `index` is a position in the log; `token` is the same for `from`, and for `store.session`. */
export type WatchEvent<T = unknown, K = string> =
  /** A piece of the state at `index`, in the order of the keys; without a token until it is the last one. */
  | {
      readonly type: 'state'
      readonly index: number
      readonly token: string | undefined
      readonly entries: readonly (readonly [key: K, value: T])[]
      readonly isLast: boolean
    }
  /** All that the entry at `index` changed in the range, in order: one or more writes, each of them whole. */
  | {
      readonly type: 'changes'
      readonly index: number
      readonly token: string
      readonly changes: readonly WatchedChange<T, K>[]
    }
  /** Nothing else has changed up to `index`. */
  | { readonly type: 'progress'; readonly index: number; readonly token: string }
  /** Forget what was given: what came after `index` is not remembered any more, and the whole state follows. */
  | { readonly type: 'reset'; readonly index: number }

/** What a watch was asked for, complete. */
export interface WatchSpec {
  readonly range: KeyRange
  /** `now`: later changes only; `state`: the state as it is, then the changes after it. */
  readonly start: 'now' | 'state' | Position
  readonly onCompacted: 'end' | 'reset'
  /** Progress is told after so long without another event; Infinity: never. */
  readonly progressMs: number
  readonly keyEncoding: KeyEncoding
  /** How the state, or where it stands now, is read; its `signal` ends the watch. */
  readonly read: ReadSpec
}

/** How a watch reads. */
export interface WatchSource {
  readonly backend: Backend
  readonly session: SessionState | undefined
  /** Follows the writes that are called from now on. */
  followWrites(): WriteFollower
  encodeToken(position: Position): string
  /** Where the state stands that `spec` asks for. */
  position(spec: ReadSpec): Promise<ReadPosition>
  /** That state, which holds at least `floor`. */
  openView(spec: ReadSpec, floor: Position): Promise<StateView>
  readonly large: LargeReads
}

/** About so much is fetched at a time. */
const BLOCK_BYTES = 256 * 1024

/** Before everything. */
export const NOWHERE: Position = { index: 0, term: 0 }

/** A value that is there. */
interface DecodableValue {
  readonly value: Uint8Array
  readonly isStream?: boolean
}

type Begun = 'begun' | { readonly error: unknown }

/**
 * Made by `watch`. Iterate over it with `for await`; ends by breaking out of the loop, by `return`, or by the signal.
 *
 * Memory: at most one block of changes (256 KiB, or one entry), and the large values of one event. A consumer that is
 * so slow that the history (`limits.watchHistoryBytes`) has gone by is told so: QUORATE_COMPACTED, or a `reset`.
 */
export class Watch<T = unknown, K = string>
  implements AsyncIterableIterator<WatchEvent<T, K>, undefined>, AsyncDisposable
{
  readonly #source: WatchSource
  readonly #spec: WatchSpec
  readonly #ending = new AbortController()
  readonly #events: AsyncGenerator<WatchEvent<T, K>, undefined>
  /** Where a watch from now on begins; never rejects. Undefined when that needs nobody to be asked. */
  readonly #begun: Promise<Begun> | undefined
  /** Everything up to here was given. */
  #position: Position
  #isPositioned: boolean
  #isReturned = false

  /** @internal */
  constructor(source: WatchSource, spec: WatchSpec) {
    const { start, read } = spec
    this.#source = source
    this.#spec = spec
    this.#isPositioned = typeof start === 'object'
    this.#position = typeof start === 'object' ? start : NOWHERE
    this.#heed(read.signal)
    this.#begun = start === 'now' ? this.#begin() : undefined
    this.#events = this.#run()
  }

  /**
   * Where to go on from, after the last event that was given; undefined before the beginning is known, and within a
   * state.
   */
  get token(): string | undefined {
    return this.#isPositioned ? this.#source.encodeToken(this.#position) : undefined
  }

  /** The log index of `token`: everything up to there was given, or nothing changed. */
  get index(): number | undefined {
    return this.#isPositioned ? this.#position.index : undefined
  }

  /**
   * Resolves when the beginning is fixed: every write that is called from then on, by whomever, is seen. Those called
   * through the same Store are seen from the call of `watch` on. A watch with `initial` or `from` is ready at once.
   * @throws {StoreError} why the beginning could not be found; the same as the first `next` then
   */
  async ready(): Promise<void> {
    const begun = await this.#begun
    if (typeof begun === 'object') throw begun.error
  }

  /** The next event; waits until there is one. Called by `for await`. */
  next(): Promise<IteratorResult<WatchEvent<T, K>, undefined>> {
    const call = () => this.#events.next()
    if (!TRACES.watch.isOn) return call()
    return TRACES.watch.promise({ level: this.#spec.read.level, ack: undefined, keys: 0 }, call)
  }

  /** Ends the watch; a `next` under way is done. */
  return(): Promise<IteratorResult<WatchEvent<T, K>, undefined>> {
    this.#isReturned = true
    this.#ending.abort()
    return this.#events.return(undefined)
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }

  #heed(signal: AbortSignal | undefined): void {
    if (signal === undefined) return
    const onAbort = () => this.#ending.abort(signal.reason)
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true, signal: this.#ending.signal })
  }

  /**
   * Where the state stands, unless a write that was called after the watch is in it already: then before that one. What
   * was acknowledged before the watch stands before every write that was called after it.
   */
  async #begin(): Promise<Begun> {
    const { backend } = this.#source
    const applied = backend.appliedIndex
    const writes = this.#source.followWrites()
    const onEnd = () => writes.end()
    this.#ending.signal.addEventListener('abort', onEnd, { once: true })
    try {
      const position = await this.#source.position(this.#readSpec)
      // No later write stands where the state stood before it.
      const first = position.index > applied ? await writes.first() : undefined
      const isSeen = first !== undefined && first <= position.index
      this.#moveTo(isSeen ? { index: first - 1, term: 0 } : position)
      return 'begun'
    } catch (error) {
      return { error }
    } finally {
      this.#ending.signal.removeEventListener('abort', onEnd)
      writes.end()
    }
  }

  get #readSpec(): ReadSpec {
    return { ...this.#spec.read, signal: this.#ending.signal }
  }

  async *#run(): AsyncGenerator<WatchEvent<T, K>, undefined> {
    try {
      await this.ready()
      for (;;) {
        try {
          if (!this.#isPositioned) yield* this.#state()
          yield* this.#changes()
        } catch (error) {
          // A state of which nothing was given yet is simply asked for again.
          if (error instanceof LostState && !error.isGiven) continue
          if (!this.#beginsAnew(error)) throw error instanceof LostState ? error.cause : error
        }
        this.#isPositioned = false
        yield { type: 'reset', index: this.#position.index }
      }
    } catch (error) {
      if (!this.#isReturned) throw error
      return undefined
    } finally {
      this.#ending.abort()
    }
  }

  #beginsAnew(error: unknown): boolean {
    if (this.#spec.onCompacted === 'end') return false
    if (error instanceof LostState) return true
    return error instanceof StoreError && error.code === 'QUORATE_COMPACTED'
  }

  /** The state in pieces, then its position. @throws {LostState} */
  async *#state(): AsyncGenerator<WatchEvent<T, K>, void> {
    const view = await this.#source.openView(this.#readSpec, this.#position)
    const { index, term } = view.served
    const position = { index, term }
    const pieces = new Pieces(view, view.cursor(this.#spec.range, false))
    const onAbort = () => pieces.abandon()
    this.#ending.signal.addEventListener('abort', onAbort)
    let isGiven = false
    try {
      let piece = await pieces.next()
      for (let isLast = false; !isLast; ) {
        this.#refuseIfEnding()
        const whole = await this.#source.large.wholeEntries(piece, this.#readSpec)
        const following = piece.length === 0 ? piece : await pieces.next()
        isLast = following.length === 0
        const entries = whole.map(([key, stored]) => this.#decoded(key, stored, index))
        if (isLast) this.#moveTo(position)
        isGiven = true
        yield { type: 'state', index, token: isLast ? this.token : undefined, entries, isLast }
        piece = following
      }
    } catch (error) {
      throw isPassing(error) ? new LostState(error, isGiven) : error
    } finally {
      this.#ending.signal.removeEventListener('abort', onAbort)
      await pieces.close()
    }
  }

  /** What comes after the position; ends only by an error. */
  async *#changes(): AsyncGenerator<WatchEvent<T, K>, never> {
    const { index: after, term: afterTerm } = this.#position
    const { backend } = this.#source
    const { range, progressMs } = this.#spec
    this.#refuseIfEnding()
    const { signal } = this.#ending
    const cursor: WatchCursor = backend.watch({ range, after, afterTerm, signal })
    let toldAt = backend.now()
    try {
      for (;;) {
        const { entries, through } = await cursor.next(BLOCK_BYTES)
        for (const entry of entries) {
          const isLarge = entry.changes.some(({ isCoded }) => isCoded)
          const changes = isLarge
            ? await wholeChanges(this.#source.large, entry, this.#readSpec)
            : entry.changes
          this.#moveTo(entry)
          yield this.#changesOf(entry, changes)
          this.#refuseIfEnding()
        }
        this.#moveTo(through)
        const now = backend.now()
        if (entries.length === 0 && now - toldAt >= progressMs) {
          yield this.#progress(through)
          toldAt = now
        }
        if (entries.length > 0) toldAt = now
      }
    } finally {
      cursor.close()
    }
  }

  #changesOf({ index, term }: EntryChanges, changes: readonly WholeChange[]): WatchEvent<T, K> {
    const { encodeToken } = this.#source
    return {
      type: 'changes',
      index,
      // Made when it is looked at: most are not.
      get token() {
        return encodeToken({ index, term })
      },
      changes: changes.map((change) => this.#changeOf(change, index)),
    }
  }

  #progress({ index, term }: ReadPosition): WatchEvent<T, K> {
    return { type: 'progress', index, token: this.#source.encodeToken({ index, term }) }
  }

  #changeOf(change: WholeChange, index: number): WatchedChange<T, K> {
    const { key, value, omitted } = change
    if (value === undefined) return { type: 'del', key: this.#keyOf(key) }
    if (omitted !== undefined) {
      return { type: 'put', key: this.#keyOf(key), value: undefined, omitted }
    }
    const [decodedKey, decodedValue] = this.#decoded(key, change as DecodableValue, index)
    return { type: 'put', key: decodedKey, value: decodedValue }
  }

  #decoded(key: Uint8Array, stored: DecodableValue, index: number): [key: K, value: T] {
    const encoding = stored.isStream ? 'binary' : this.#spec.read.valueEncoding
    try {
      return [this.#keyOf(key), decodeOwned(stored.value, encoding) as T]
    } catch (cause) {
      const text = JSON.stringify(Buffer.from(key).toString())
      const message = `the value of ${text} at index ${index} is no ${encoding}`
      throw new StoreError('QUORATE_UNDECODABLE', message, { cause })
    }
  }

  /** Text is made of the bytes, and bytes are copied: they are part of the member's log. */
  #keyOf(key: Uint8Array): K {
    const { keyEncoding } = this.#spec
    return decodeKey(keyEncoding === 'binary' ? Buffer.from(key) : key, keyEncoding) as K
  }

  #moveTo({ index, term }: Position): void {
    this.#position = { index, term }
    this.#isPositioned = true
    this.#source.session?.raise(this.#position)
  }

  #refuseIfEnding(): void {
    const { signal } = this.#ending
    if (!signal.aborted) return
    throw new StoreError('QUORATE_ABORTED', 'the watch was aborted', { cause: signal.reason })
  }
}

/** What is made of the bytes is the caller's: of bytes it is a copy. */
function decodeOwned(value: Uint8Array, encoding: ValueEncoding): unknown {
  if (encoding === 'binary') return Buffer.from(value)
  return decodeValue(Buffer.from(value.buffer, value.byteOffset, value.byteLength), encoding)
}
