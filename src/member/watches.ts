/**
 * The watches of a member: positions in the history of what was applied (machine/change-history.ts), and who waits
 * for what comes next. Nothing is collected for a watch that does not ask, so a slow one costs nothing, and is told
 * when the history has moved on without it.
 *
 * A watch that is behind reads the history by itself. Those that have come to its end wait together: what is applied
 * is looked at once for all of them, and each change finds its watches by a RangeIndex.
 *
 * Invariants:
 *   1. a watch is given the changes after its position, in the order of the log, and its position goes on to the end
 *      of what it was given: nothing twice, nothing left out, no entry in parts
 *   2. whoever waits is not behind `#tip`: it has been given everything up to there
 *   3. a state that was put out of use takes its history along: no watch goes on from what it said
 */
import { assert } from '../base/assert.js'
import { StoreError } from '../base/errors.js'
import type { Time } from '../env/time.js'
import type { LogIndex } from '../raft/types.js'
import type {
  Change,
  EntryChanges,
  ReadDemand,
  ReadPosition,
  WatchBlock,
  WatchCursor,
  WatchRequest,
} from './backend.js'
import { demand } from './demand.js'
import { RangeIndex } from './range-index.js'

/** Of what is applied so much is looked at in one turn of the event loop, for all that wait. */
const PASS_BYTES = 262_144
/** A watch hears at least so often how far it has come. */
const PROGRESS_MS = 1000
/** And whenever this part of the history has gone by: it could not go on from where it was for long. */
const PROGRESS_SHARE = 1 / 8
/** A watch that reads by itself and finds nothing says how far it has come after so many turns. */
const READS_MAX = 16

/** The changes of the last applied entries, as ChangeHistory has them. */
export interface ChangeSource {
  /** The first entry whose changes are known; all from there to `last` are. */
  readonly firstIndex: LogIndex
  /** May be a moment behind the state. */
  readonly last: ReadPosition
  /** What came after `after`, with bounded work; undefined when some of it is not known any more. */
  read(after: LogIndex, range: WatchRequest['range'], maxBytes: number): WatchBlock | undefined
}

/** Resolves when the state is as new as `demand` asks; fails when no state ever will be. */
export type Reach = (demand: ReadDemand, signal: AbortSignal) => Promise<void>

/** The bounds. */
export interface WatchLimits {
  /** Open at once. */
  readonly maxWatches: number
  readonly watchHistoryBytes: number
}

/** All watches of one member; see the file's comment. */
export class Watches {
  readonly #time: Time
  readonly #source: ChangeSource
  readonly #reach: Reach
  readonly #limits: WatchLimits
  readonly #open = new Set<Watch>()
  readonly #waiting = new Set<Watch>()
  /** The ranges of all open watches; undefined when they have changed. */
  #ranges: RangeIndex<Watch> | undefined
  /** What was looked at for those that wait. */
  #tip: ReadPosition = { index: 0, term: 0 }
  /** Bytes that were looked at for those that wait, in all. */
  #passed = 0
  #isPassing = false
  /** Whether the state is out of use. */
  #isLost = false
  #ended: { readonly error: unknown } | undefined

  constructor(time: Time, source: ChangeSource, reach: Reach, limits: WatchLimits) {
    this.#time = time
    this.#source = source
    this.#reach = reach
    this.#limits = limits
  }

  /** Watches that are open. */
  get openCount(): number {
    return this.#open.size
  }

  /** @throws {StoreError} QUORATE_OVERLOADED */
  open(request: WatchRequest): WatchCursor {
    const { maxWatches } = this.#limits
    if (this.#open.size >= maxWatches) {
      const message = `${maxWatches} watches are open already`
      throw new StoreError('QUORATE_OVERLOADED', message, { retryable: true })
    }
    const watch = new Watch(request, {
      advance: (each) => this.#advance(each),
      closed: (each) => this.#forget(each),
    })
    this.#open.add(watch)
    this.#ranges = undefined
    watch.heed(request.signal)
    return watch
  }

  /** Something was applied. */
  onApplied(): void {
    if (this.#waiting.size > 0 && !this.#isPassing) this.#pass()
  }

  /** The state is another one: what lies between the two is not known. */
  onInstalled(): void {
    this.#isLost = false
    this.#waiting.clear()
    for (const watch of this.#open) this.#advance(watch)
  }

  /** The state is put out of use. */
  onStateLost(): void {
    this.#isLost = true
    this.#waiting.clear()
    for (const watch of this.#open) watch.isVoid = true
  }

  /** Lets those that wait know how far they have come. */
  tick(now: number): void {
    for (const watch of this.#waiting) {
      if (now - watch.waitsSince >= PROGRESS_MS) this.#tellProgress(watch)
    }
  }

  /** Nothing is served any more. */
  end(error: unknown): void {
    this.#ended = { error }
    this.#waiting.clear()
    for (const watch of this.#open) watch.fail(error)
  }

  /** Brings a watch that was asked for more a step further: to an answer, to another turn, or to wait. */
  #advance(watch: Watch): void {
    if (!watch.isAsked) return
    if (this.#ended !== undefined) watch.fail(this.#ended.error)
    else if (this.#isLost) return
    else if (watch.isVoid) watch.fail(this.#compacted(watch.after))
    else if (!watch.isPlaced) this.#place(watch)
    else if (watch.after >= this.#source.last.index) this.#wait(watch)
    else this.#read(watch)
  }

  /** A position that this member has not reached is waited for, if it can be reached at all. */
  #place(watch: Watch): void {
    const { after, afterTerm } = watch.request
    if (afterTerm === 0 && after <= this.#source.last.index) {
      watch.isPlaced = true
      this.#advance(watch)
      return
    }
    const position: ReadDemand = {
      ...demand('session', after, Number.POSITIVE_INFINITY),
      minTerm: afterTerm,
    }
    this.#reach(position, watch.closing).then(
      () => {
        watch.isPlaced = true
        this.#advance(watch)
      },
      (error: unknown) => watch.fail(error),
    )
  }

  #read(watch: Watch): void {
    const block = this.#source.read(watch.after, watch.range, watch.maxBytes)
    if (block === undefined) watch.fail(this.#compacted(watch.after))
    else if (block.entries.length > 0 || watch.reads >= READS_MAX) watch.give(block)
    else {
      watch.after = block.through.index
      watch.reads++
      this.#time.soon(() => this.#advance(watch))
    }
  }

  #wait(watch: Watch): void {
    if (this.#waiting.size === 0) this.#tip = this.#source.last
    watch.waitsSince = this.#time.now()
    watch.passedBefore = this.#passed
    this.#waiting.add(watch)
  }

  /** Looks at what was applied since, once for all that wait. */
  #pass(): void {
    const block = this.#source.read(this.#tip.index, {}, PASS_BYTES)
    if (block === undefined) {
      this.#waitAlone()
      return
    }
    this.#tip = block.through
    for (const watch of this.#collect(block.entries)) this.#give(watch, watch.takeCollected())
    this.#tellOfMuch()
    if (this.#waiting.size === 0 || this.#tip.index >= this.#source.last.index) return
    this.#isPassing = true
    this.#time.soon(() => {
      this.#isPassing = false
      if (this.#waiting.size > 0) this.#pass()
    })
  }

  /** Hands the changes to the watches whose ranges they lie in; returns those watches. */
  #collect(entries: readonly EntryChanges[]): ReadonlySet<Watch> {
    this.#ranges ??= new RangeIndex(this.#open)
    const met = new Set<Watch>()
    for (const entry of entries) {
      for (const change of entry.changes) {
        this.#passed += change.key.length + (change.value?.length ?? 0)
        this.#ranges.visit(change.key, (watch) => {
          // One that began at a newer state than was looked at does not want what led there.
          if (entry.index <= watch.after || !this.#waiting.has(watch)) return
          watch.collect(entry, change)
          met.add(watch)
        })
      }
    }
    return met
  }

  #tellOfMuch(): void {
    const most = this.#limits.watchHistoryBytes * PROGRESS_SHARE
    for (const watch of this.#waiting) {
      if (this.#passed - watch.passedBefore >= most) this.#tellProgress(watch)
    }
  }

  /** Says nothing of a position that is ahead of what was looked at. */
  #tellProgress(watch: Watch): void {
    if (watch.after <= this.#tip.index) this.#give(watch, [])
  }

  #give(watch: Watch, entries: readonly EntryChanges[]): void {
    this.#waiting.delete(watch)
    watch.give({ entries, through: this.#tip })
  }

  /** What was applied went by too fast to be looked at for all: each finds out where it stands. */
  #waitAlone(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const watch of waiting) this.#advance(watch)
  }

  #forget(watch: Watch): void {
    this.#waiting.delete(watch)
    if (this.#open.delete(watch)) this.#ranges = undefined
  }

  #compacted(after: LogIndex): StoreError {
    const oldest = this.#source.firstIndex - 1
    const message = `the changes after ${after} are not remembered any more, those after ${oldest} are`
    return new StoreError('QUORATE_COMPACTED', message, { oldest })
  }
}

interface WatchHandlers {
  advance(watch: Watch): void
  closed(watch: Watch): void
}

interface Asked {
  readonly maxBytes: number
  resolve(block: WatchBlock): void
  reject(error: unknown): void
}

/** One watch: a position, and the question under way. */
class Watch implements WatchCursor {
  readonly request: WatchRequest
  readonly range: WatchRequest['range']
  /** Everything up to here was given, or holds nothing for it. */
  after: LogIndex
  /** Whether the state has been known to reach the first position. */
  isPlaced = false
  /** Whether the position is one in the history of a state that was put out of use. */
  isVoid = false
  waitsSince = 0
  /** Bytes that had been looked at for those that wait when it began to wait. */
  passedBefore = 0
  /** Turns in which nothing was found since it was asked. */
  reads = 0
  readonly #handlers: WatchHandlers
  readonly #closing = new AbortController()
  #collected: { index: LogIndex; term: number; changes: Change[] }[] = []
  #asked: Asked | undefined
  #unheed: (() => void) | undefined

  constructor(request: WatchRequest, handlers: WatchHandlers) {
    this.request = request
    this.range = request.range
    this.after = request.after
    this.#handlers = handlers
  }

  get isAsked(): boolean {
    return this.#asked !== undefined
  }

  /** Aborts when it is closed. */
  get closing(): AbortSignal {
    return this.#closing.signal
  }

  get maxBytes(): number {
    return this.#asked?.maxBytes ?? 0
  }

  next(maxBytes: number): Promise<WatchBlock> {
    assert(this.#asked === undefined, 'a watch is asked for one block at a time')
    if (this.closing.aborted) return Promise.reject(aborted(this.closing.reason))
    return new Promise((resolve, reject) => {
      this.#asked = { maxBytes, resolve, reject }
      this.reads = 0
      this.#handlers.advance(this)
    })
  }

  close(): void {
    this.#close(undefined)
  }

  /** Closes when `signal` aborts. */
  heed(signal: AbortSignal | undefined): void {
    if (signal === undefined) return
    const onAbort = () => this.#close(signal.reason)
    if (signal.aborted) {
      onAbort()
      return
    }
    signal.addEventListener('abort', onAbort, { once: true })
    this.#unheed = () => signal.removeEventListener('abort', onAbort)
  }

  /** A change of `entry` is for it; those of an entry come one after the other. */
  collect({ index, term }: ReadPosition, change: Change): void {
    const last = this.#collected.at(-1)
    if (last?.index === index) last.changes.push(change)
    else this.#collected.push({ index, term, changes: [change] })
  }

  takeCollected(): readonly EntryChanges[] {
    const collected = this.#collected
    this.#collected = []
    return collected
  }

  give(block: WatchBlock): void {
    const asked = this.#asked
    this.#asked = undefined
    this.after = Math.max(this.after, block.through.index)
    asked?.resolve(block)
  }

  fail(error: unknown): void {
    const asked = this.#asked
    this.#asked = undefined
    asked?.reject(error)
  }

  #close(reason: unknown): void {
    if (this.closing.aborted) return
    this.#closing.abort(reason)
    this.#unheed?.()
    this.#handlers.closed(this)
    this.fail(aborted(reason))
  }
}

function aborted(cause: unknown): StoreError {
  return new StoreError('QUORATE_ABORTED', 'the watch was closed', { cause })
}
