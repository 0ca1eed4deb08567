/**
 * Looks through the shards on this member's disk, over and over, and lets go of those that the applied state says are
 * dead (verdict.ts), after `graceMs` for those who read an older state. Nothing is ever let go of because somebody
 * cannot be reached.
 *
 * Bounded: SLICE shards are looked at in a tick, and so much is copied in a second to make room for others.
 */
import type { Time } from '../env/time.js'
import { isOperating, type WorkOwner } from './cluster.js'
import type { Introduced } from './introduced.js'
import { isRetained, NO_GUARD, type ShardGuard } from './shard-guard.js'
import type { StoredShard } from './shard-index.js'
import type { ShardStore } from './shard-store.js'
import type { StateReader } from './state-reader.js'
import { judge, type Verdict } from './verdict.js'

const SLICE = 128
/** After the start; from the end of one look through all shards to the next it is half the grace, within bounds. */
const FIRST_MS = 1_000
const EVERY_MS_MIN = 1_000
const EVERY_MS_MAX = 60_000
const RECLAIM_EVERY_MS = 1_000
const RECLAIM_BYTES = 8 * 1024 * 1024

/** See the file's comment. */
export class Sweep {
  readonly #store: ShardStore
  readonly #state: StateReader
  readonly #introduced: Introduced
  readonly #graceMs: number
  readonly #work: WorkOwner
  readonly #time: Time
  #guard: ShardGuard = NO_GUARD
  /** Since when they are known to be dead. */
  readonly #deadSince = new WeakMap<StoredShard, number>()
  #rest: IterableIterator<StoredShard> | undefined
  #nextAt: number
  #reclaimAt = 0
  #heldUntil = 0
  #isBusy = false
  #isReclaiming = false
  #forgotten = 0

  constructor(
    time: Time,
    store: ShardStore,
    state: StateReader,
    introduced: Introduced,
    graceMs: number,
    work: WorkOwner,
  ) {
    this.#time = time
    this.#store = store
    this.#state = state
    this.#introduced = introduced
    this.#graceMs = graceMs
    this.#work = work
    this.#nextAt = time.now() + FIRST_MS
  }

  /** Shards that were let go of since the start. */
  get forgotten(): number {
    return this.#forgotten
  }

  /** From now on nothing is let go of that `guard` keeps. */
  guardWith(guard: ShardGuard): void {
    this.#guard = guard
  }

  /** Nothing is let go of for so long. */
  hold(ms: number): void {
    this.#heldUntil = Math.max(this.#heldUntil, this.#time.now() + ms)
  }

  /** Called with every tick. */
  tick(now: number): void {
    if (!this.#isBusy && now >= this.#nextAt) this.#work.own(this.#step(now))
    if (!this.#isReclaiming && now >= this.#reclaimAt) {
      this.#reclaimAt = now + RECLAIM_EVERY_MS
      if (this.#store.status().deadBytes > 0) this.#work.own(this.#reclaim())
    }
  }

  async #step(now: number): Promise<void> {
    this.#isBusy = true
    this.#rest ??= this.#store.shards()
    const slice: StoredShard[] = []
    while (slice.length < SLICE) {
      const next = this.#rest.next()
      if (next.done === true) break
      slice.push(next.value)
    }
    try {
      if (slice.length > 0) await this.#look(slice, now)
    } catch (error) {
      this.#work.fail(error)
    }
    if (slice.length < SLICE) {
      this.#rest = undefined
      const pause = Math.min(EVERY_MS_MAX, Math.max(EVERY_MS_MIN, this.#graceMs / 2))
      this.#nextAt = this.#time.now() + pause
    }
    this.#isBusy = false
  }

  async #look(shards: readonly StoredShard[], now: number): Promise<void> {
    const read = await this.#state.manifests(shards.map(({ key }) => key))
    if (read === undefined) return
    const { applied } = read
    shards.forEach((shard, i) => {
      const manifest = read.manifests[i]
      const { id, part } = shard
      if (isRetained(id)) {
        this.#follow(shard, this.#guard.verdictOf(id, applied.index), now)
        return
      }
      if (manifest === 'unreadable') return
      const introducedAt = this.#introduced.indexOf(id)
      const verdict = judge({ id, part, manifest, applied, introducedAt })
      if (verdict === 'live' && id.term === applied.term) this.#introduced.note(id, applied.index)
      this.#follow(shard, verdict, now)
    })
  }

  #follow(shard: StoredShard, verdict: Verdict, now: number): void {
    if (verdict !== 'dead' || this.#guard.isPinned(shard.id)) {
      this.#deadSince.delete(shard)
      return
    }
    const since = this.#deadSince.get(shard) ?? now
    this.#deadSince.set(shard, since)
    if (now - since < this.#graceMs || now < this.#heldUntil) return
    if (this.#guard.isHeld) return
    this.#store.forget(shard)
    this.#forgotten++
  }

  /** A disk that refuses it is tried again: nothing is lost but room. */
  async #reclaim(): Promise<void> {
    this.#isReclaiming = true
    try {
      await this.#store.reclaim(RECLAIM_BYTES)
    } catch (error) {
      if (!isOperating(error)) this.#work.fail(error)
    } finally {
      this.#isReclaiming = false
    }
  }
}
