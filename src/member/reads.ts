/**
 * Reads on their way: what each one needs before it may be served, and which wait for it.
 *
 * A strong read needs a ReadIndex round that was sent after it came (read-rounds.ts), and that its index is applied.
 * A weak read is served at once where the state is new enough. Where it is not (docs/consistency.md, "Behind"):
 *   aging     the state is not proven to be as young as `maxStalenessMs`: a round that was sent after the read came, or
 *             one that is young enough still, lets it go on. One round is under way for that at a time, and it is sent
 *             when half of the time has gone by, so that reads that keep coming need not wait.
 *   waiting   the state has not reached the index. A session's index that was waited for through a whole tick is held
 *             against a round that was sent after the read came: nobody can have seen what is not committed then, so
 *             such a token is refused.
 * Both are handed to the leader when `onBehind` says so, at once or after half of their time, and stay here as well:
 * whoever serves first, serves. Every read is served on the turn on which the state reaches what it needs, from the
 * state of that turn.
 */
import type { StoreError } from '../base/errors.js'
import type { Time } from '../env/time.js'
import type { LogIndex, Term } from '../raft/types.js'
import type { PendingRead, ReadDemand, Served, StoredValue } from './backend.js'
import { Freshness } from './freshness.js'
import { Reach } from './reach.js'
import {
  aheadOfEverything,
  behind,
  ofAnotherLog,
  overloaded,
  tooStale,
  unconfirmed,
} from './read-refusals.js'
import { ReadRounds, type RoundSource } from './read-rounds.js'

/** A read that the leader could not serve is handed to it again after so long. */
const FORWARD_AGAIN_MS = 500
/** Serving stops for other work after so much of a turn. */
const SERVE_BUDGET_MS = 2
/** What `retryAfterMs` says at least and at most. */
const RETRY_AFTER_MS: readonly [number, number] = [10, 1000]

/** What became of a read that was handed to the leader; an error: the leader did not serve it. */
export type ForwardOutcome =
  | { readonly values: readonly (StoredValue | undefined)[]; readonly served: Served }
  | { readonly error: StoreError }

/** What reads are served from. */
export interface ReadSource extends RoundSource {
  /** -1 while there is no state to read. */
  readonly appliedIndex: LogIndex
  /** Everything up to here is known to be committed. */
  readonly commitIndex: LogIndex
  /** The term of the entry at `index`; undefined when it is not known (any more). */
  termAt(index: LogIndex): Term | undefined
  /** Asks for `flush` at the end of this turn. */
  wake(): void
  /** Completes `read` from the present state. */
  serve(read: PendingRead): void
  /** Hands `read` to the leader; false when that is not possible now. `done` is called once, later. */
  forward(read: PendingRead, done: (outcome: ForwardOutcome) => void): boolean
  /** Reads are refused. */
  overloaded(retryAfterMs: number): void
}

/** Why a read is not served. */
type Refusal = (read: PendingRead, source: ReadSource) => StoreError

interface Waiting {
  readonly read: PendingRead
  /** To be applied first; while the state is to be proven young: not looked at. */
  index: LogIndex
  /** Rounds of this token and later ones were sent after the read came. */
  readonly since: number
  /** When it is handed to the leader; Infinity: never, or it is there. */
  forwardAt: number
  /** Served or failed: what is left is its place in a list. */
  isDone: boolean
}

/** All reads of one member that are not served yet. */
export class Reads {
  readonly freshness: Freshness
  readonly #time: Time
  readonly #source: ReadSource
  readonly #max: number
  readonly #rounds: ReadRounds
  #waiting: Waiting[] = []
  #aging: Waiting[] = []
  #servable: PendingRead[] = []
  #isServing = false
  #pending = 0

  constructor(time: Time, source: ReadSource, max: number) {
    this.freshness = new Freshness(time)
    this.#time = time
    this.#source = source
    this.#max = max
    this.#rounds = new ReadRounds(time, source)
  }

  /** Reads that are not served yet. */
  get pending(): number {
    return this.#pending
  }

  /** Takes a read; what needs a round waits for `flush`. Returns whether a flush is wanted. */
  add(read: PendingRead): boolean {
    if (read.level !== 'strong') return this.#addWeak(read)
    if (!this.#hasRoomFor(read)) return false
    this.#rounds.add(read)
    return true
  }

  /**
   * Resolves on the turn on which the applied state is as new as `demand` asks; it is waited for here, never elsewhere.
   * @throws {StoreError} what reads fail with; QUORATE_ABORTED
   */
  reach(demand: ReadDemand, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const read = new Reach(demand, signal, resolve, reject)
      if (!read.abandoned && this.add(read)) this.#source.wake()
    })
  }

  /** Starts a round when there is a reason. */
  flush(): void {
    this.#rounds.flush()
  }

  /** The round of `token` is confirmed: its reads may be served once `index` is applied. */
  onReadIndex(token: number, index: LogIndex): void {
    const round = this.#rounds.confirm(token)
    if (round === undefined) return
    const applied = this.#source.appliedIndex
    const isFresher = this.freshness.confirmed({ token, index, sent: round.sent }, applied)
    if (index <= applied) this.#enqueue(round.reads)
    else for (const read of round.reads) this.#waiting.push(waitingOf(read, index))
    this.#refuseTokens(token, index)
    if (isFresher) this.#serveFresh()
    if (this.#rounds.isWanted) this.#source.wake()
  }

  /** The round of `token` was not taken: its reads go into the next one. */
  onDropped(token: number): void {
    this.#rounds.drop(token)
  }

  /** Rounds of another leadership will not be answered; they are tried again with fresh tokens. */
  onLeaderChange(): void {
    this.#rounds.dropAll()
  }

  /** The state moved on: serves what was waiting for it. */
  onApplied(): void {
    const applied = this.#source.appliedIndex
    if (this.freshness.onApplied(applied)) this.#serveFresh()
    if (this.#waiting.length === 0) return
    const ready: PendingRead[] = []
    this.#waiting = this.#waiting.filter((waiting) => {
      if (waiting.isDone || waiting.index > applied) return !waiting.isDone
      this.#ready(waiting, ready)
      return false
    })
    this.#enqueue(ready)
  }

  /** Lets reads time out, retries rounds that nobody answered, and hands on what has waited for long. */
  tick(now: number): void {
    this.#rounds.tick(now, (read) => this.#isOver(read, now, unconfirmed))
    this.#waiting = this.#waiting.filter((waiting) => this.#remains(waiting, now, behind))
    this.#aging = this.#aging.filter((waiting) => this.#remains(waiting, now, tooStale))
    this.#wantRound()
  }

  /** Fails every read that is not served. */
  end(error: unknown): void {
    const left = this.#rounds.takeAll().concat(this.#servable)
    for (const waiting of [...this.#waiting, ...this.#aging]) {
      if (!waiting.isDone) left.push(waiting.read)
      waiting.isDone = true
    }
    this.#servable = []
    this.#waiting = []
    this.#aging = []
    this.#pending = 0
    for (const read of left) read.fail(error)
  }

  #addWeak(read: PendingRead): boolean {
    const { maxStalenessMs, minTerm } = read
    const isFresh = maxStalenessMs === Number.POSITIVE_INFINITY || this.#isFresh(read)
    if (isFresh && this.#source.appliedIndex >= read.minIndex) {
      if (minTerm === 0 || this.#isOfThisLog(read)) this.#source.serve(read)
      return maxStalenessMs !== Number.POSITIVE_INFINITY && this.#renews(maxStalenessMs / 2)
    }
    if (read.onBehind === 'fail') {
      read.fail(isFresh ? behind(read, this.#source) : tooStale(read))
      return false
    }
    if (!this.#hasRoomFor(read)) return false
    this.#wait(read, isFresh ? this.#waiting : this.#aging)
    if (!isFresh) this.#rounds.want(this.#rounds.nextToken)
    return !isFresh
  }

  #wait(read: PendingRead, list: Waiting[]): void {
    const now = this.#time.now()
    const waiting = waitingOf(read, read.minIndex, this.#rounds.nextToken)
    list.push(waiting)
    if (read.keys.length === 0) return
    waiting.forwardAt = read.onBehind === 'forward' ? now : now + (read.deadline - now) / 2
    if (waiting.forwardAt <= now) this.#forward(waiting, now)
  }

  #isFresh({ maxStalenessMs }: PendingRead): boolean {
    const ageMs = this.freshness.ageMs(this.#source.appliedIndex)
    return ageMs !== undefined && ageMs <= maxStalenessMs
  }

  /** Whether a round is wanted, so that the reads to come find a younger proof and need not wait for one. */
  #renews(soonMs: number): boolean {
    const ageMs = this.freshness.ageMs(this.#source.appliedIndex)
    return ageMs !== undefined && ageMs > soonMs && this.#rounds.renew()
  }

  /** False, and the read has failed, when the entry at its position is not the one that its token names. */
  #isOfThisLog(read: PendingRead): boolean {
    const { minIndex, minTerm } = read
    const term = minTerm === 0 ? undefined : this.#source.termAt(minIndex)
    if (term === undefined || term === minTerm) return true
    read.fail(ofAnotherLog(read, term))
    return false
  }

  #ready(waiting: Waiting, ready: PendingRead[]): void {
    waiting.isDone = true
    if (this.#isOfThisLog(waiting.read)) ready.push(waiting.read)
    else this.#pending--
  }

  /** A newer proof holds: what waited for one goes on. */
  #serveFresh(): void {
    const aging = this.#aging
    if (aging.length === 0) return
    this.#aging = []
    const ready: PendingRead[] = []
    for (const waiting of aging) {
      const { read, since, isDone } = waiting
      if (isDone) continue
      if (since > this.freshness.token && !this.#isFresh(read)) this.#aging.push(waiting)
      else if (read.minIndex > this.#source.appliedIndex) this.#waiting.push(waiting)
      else this.#ready(waiting, ready)
    }
    this.#enqueue(ready)
  }

  /** Fails the reads whose position is ahead of everything that is committed at `committed`, found after they came. */
  #refuseTokens(token: number, committed: LogIndex): void {
    if (this.#waiting.length === 0) return
    for (const waiting of this.#waiting) {
      const { read, since, isDone } = waiting
      if (isDone || since > token || read.level !== 'session' || read.minIndex <= committed)
        continue
      waiting.isDone = true
      this.#pending--
      read.fail(aheadOfEverything(read, committed))
    }
  }

  /** A round that tells what it can about what has been waiting through a whole tick. */
  #wantRound(): void {
    const { commitIndex } = this.#source
    for (const { read, since } of this.#waiting) {
      if (read.level === 'session' && read.minIndex > commitIndex) this.#rounds.want(since)
    }
    if (this.#rounds.isWanted) this.#source.wake()
  }

  /** Whether it has to wait on; hands it to the leader when its time for that has come. */
  #remains(waiting: Waiting, now: number, why: Refusal): boolean {
    if (waiting.isDone) return false
    if (this.#isOver(waiting.read, now, why)) {
      waiting.isDone = true
      return false
    }
    if (now >= waiting.forwardAt) this.#forward(waiting, now)
    return true
  }

  #forward(waiting: Waiting, now: number): void {
    const isSent = this.#source.forward(waiting.read, (outcome) => {
      if (!waiting.isDone) this.#onForwarded(waiting, outcome)
    })
    waiting.forwardAt = isSent ? Number.POSITIVE_INFINITY : now + FORWARD_AGAIN_MS
  }

  #onForwarded(waiting: Waiting, outcome: ForwardOutcome): void {
    const isRefused = 'error' in outcome && outcome.error.code === 'QUORATE_BAD_TOKEN'
    if ('error' in outcome && !isRefused) {
      waiting.forwardAt = this.#time.now() + FORWARD_AGAIN_MS
      return
    }
    waiting.isDone = true
    this.#pending--
    const { read } = waiting
    if (read.abandoned) return
    if ('error' in outcome) read.fail(outcome.error)
    else read.complete(outcome.values, outcome.served)
  }

  #hasRoomFor(read: PendingRead): boolean {
    if (this.#pending < this.#max) {
      this.#pending++
      return true
    }
    const [least, most] = RETRY_AFTER_MS
    const retryAfterMs = Math.ceil(Math.min(most, Math.max(least, this.#rounds.durationMs)))
    read.fail(overloaded(`${this.#max} reads are waiting already`, retryAfterMs))
    this.#source.overloaded(retryAfterMs)
    return false
  }

  /** Whether its time has passed or its caller gone. */
  #isOver(read: PendingRead, now: number, why: Refusal): boolean {
    if (!read.abandoned && now < read.deadline) return false
    this.#pending--
    if (!read.abandoned) read.fail(why(read, this.#source))
    return true
  }

  #enqueue(reads: readonly PendingRead[]): void {
    for (const read of reads) this.#servable.push(read)
    if (!this.#isServing) this.#serveSome()
  }

  #serveSome(): void {
    const queue = this.#servable
    let now = this.#time.now()
    const until = now + SERVE_BUDGET_MS
    let done = 0
    while (done < queue.length && now < until) {
      const read = queue[done++]!
      this.#pending--
      // Expired work is dropped before it costs anything.
      if (now >= read.deadline && !read.abandoned) read.fail(unconfirmed(read, this.#source))
      else if (!read.abandoned) this.#source.serve(read)
      if ((done & 15) === 0) now = this.#time.now()
    }
    this.#servable = queue.slice(done)
    this.#isServing = this.#servable.length > 0
    if (this.#isServing) this.#time.soon(() => this.#serveSome())
  }
}

function waitingOf(
  read: PendingRead,
  index: LogIndex,
  since: number = Number.POSITIVE_INFINITY,
): Waiting {
  return { read, index, since, forwardAt: Number.POSITIVE_INFINITY, isDone: false }
}
