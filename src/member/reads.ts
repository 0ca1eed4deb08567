/**
 * Reads on their way: which index each one needs, and which wait for it to be applied.
 *
 * Strong reads of one turn share one ReadIndex round (thesis §6.4); every attempt has a fresh token, because an
 * answer to an earlier attempt proves nothing about a later read (trap T-43). A read is served on the turn on
 * which the applied index reaches what it needs, from the state of that turn.
 */
import { StoreError } from '../base/errors.js'
import type { Time } from '../env/time.js'
import type { LogIndex } from '../raft/types.js'
import type { PendingRead, ReadDemand } from './backend.js'

/** ReadIndex rounds under way at once; reads that come meanwhile share the next one. */
const ROUNDS_MAX = 4
/** A round unanswered for so long is tried again with a fresh token. */
const ROUND_RETRY_MS = 500
/** Serving stops for other work after so much of a turn. */
const SERVE_BUDGET_MS = 2

/** What reads are served from. */
export interface ReadSource {
  readonly appliedIndex: LogIndex
  readonly hasLeader: boolean
  /** Asks for `flush` at the end of this turn. */
  wake(): void
  /** Starts a ReadIndex round; answered by `onReadIndex`, `onDropped` or never. */
  requestReadIndex(token: number): void
  /** Completes `read` from the present state. */
  serve(read: PendingRead): void
}

interface Round {
  reads: PendingRead[]
  readonly startedAt: number
}

interface Waiting {
  readonly read: PendingRead
  readonly index: LogIndex
}

/** All reads of one member that are not served yet. */
export class Reads {
  readonly #time: Time
  readonly #source: ReadSource
  readonly #max: number
  #collected: PendingRead[] = []
  readonly #rounds = new Map<number, Round>()
  #waiting: Waiting[] = []
  #servable: PendingRead[] = []
  #isServing = false
  /** Odd: even tokens are those of proposals. */
  #nextToken = 1
  #pending = 0

  constructor(time: Time, source: ReadSource, max: number) {
    this.#time = time
    this.#source = source
    this.#max = max
  }

  /** Takes a read; strong ones wait for `flush`. Returns whether a flush is wanted. */
  add(read: PendingRead): boolean {
    if (read.level !== 'strong' && this.#source.appliedIndex >= read.minIndex) {
      this.#source.serve(read)
      return false
    }
    if (this.#pending >= this.#max) {
      read.fail(
        new StoreError('QUORATE_OVERLOADED', `${this.#max} reads are waiting already`, {
          retryable: true,
        }),
      )
      return false
    }
    this.#pending++
    if (read.level === 'strong') {
      this.#collected.push(read)
      return true
    }
    this.#waiting.push({ read, index: read.minIndex })
    return false
  }

  /** Resolves on the turn on which the applied state is as new as `demand` asks. */
  reach(demand: ReadDemand, signal: AbortSignal | undefined): Promise<void> {
    const { level, minIndex, minTerm, maxStalenessMs, onBehind, deadline } = demand
    return new Promise((resolve, reject) => {
      const isFlushWanted = this.add({
        keys: [],
        level,
        minIndex,
        minTerm,
        maxStalenessMs,
        onBehind,
        deadline,
        get abandoned() {
          return signal?.aborted === true
        },
        complete: () => resolve(),
        fail: reject,
      })
      if (isFlushWanted) this.#source.wake()
    })
  }

  /** Starts a round for the strong reads collected so far, unless enough rounds are under way. */
  flush(): void {
    if (this.#collected.length === 0 || this.#rounds.size >= ROUNDS_MAX) return
    if (!this.#source.hasLeader) return
    const token = this.#nextToken
    this.#nextToken += 2
    this.#rounds.set(token, { reads: this.#collected, startedAt: this.#time.now() })
    this.#collected = []
    this.#source.requestReadIndex(token)
  }

  /** The round of `token` is confirmed: its reads may be served once `index` is applied. */
  onReadIndex(token: number, index: LogIndex): void {
    const round = this.#rounds.get(token)
    if (round === undefined) return
    this.#rounds.delete(token)
    if (index <= this.#source.appliedIndex) {
      this.#enqueue(round.reads)
      return
    }
    for (const read of round.reads) {
      this.#waiting.push({ read, index: Math.max(index, read.minIndex) })
    }
  }

  /** The round of `token` was not taken: its reads go into the next one. */
  onDropped(token: number): void {
    const round = this.#rounds.get(token)
    if (round === undefined) return
    this.#rounds.delete(token)
    this.#collected = round.reads.concat(this.#collected)
  }

  /** Rounds of another leadership will not be answered; they are tried again with fresh tokens. */
  onLeaderChange(): void {
    for (const token of [...this.#rounds.keys()]) this.onDropped(token)
  }

  /** The state moved on: serves what was waiting for it. */
  onApplied(): void {
    if (this.#waiting.length === 0) return
    const applied = this.#source.appliedIndex
    const ready: PendingRead[] = []
    this.#waiting = this.#waiting.filter(({ read, index }) => {
      if (index > applied) return true
      ready.push(read)
      return false
    })
    this.#enqueue(ready)
  }

  /** Lets reads time out and retries rounds that nobody answered. */
  tick(now: number): void {
    for (const [token, round] of this.#rounds) {
      if (now - round.startedAt >= ROUND_RETRY_MS) this.onDropped(token)
      else round.reads = round.reads.filter((read) => !this.#expire(read, now))
    }
    this.#collected = this.#collected.filter((read) => !this.#expire(read, now))
    this.#waiting = this.#waiting.filter(({ read }) => !this.#expire(read, now))
  }

  /** Fails every read that is not served. */
  end(error: unknown): void {
    const left = this.#collected.concat(this.#servable)
    for (const round of this.#rounds.values()) left.push(...round.reads)
    for (const { read } of this.#waiting) left.push(read)
    this.#collected = []
    this.#servable = []
    this.#waiting = []
    this.#rounds.clear()
    this.#pending = 0
    for (const read of left) read.fail(error)
  }

  #expire(read: PendingRead, now: number): boolean {
    if (!read.abandoned && now < read.deadline) return false
    this.#pending--
    if (!read.abandoned) read.fail(this.#expiry(read))
    return true
  }

  #expiry(read: PendingRead): StoreError {
    if (read.level === 'session') {
      return new StoreError(
        'QUORATE_BEHIND_TOKEN',
        `the session has seen index ${read.minIndex}, this member has applied ${this.#source.appliedIndex}`,
        { retryable: true },
      )
    }
    return this.#source.hasLeader
      ? new StoreError('QUORATE_TIMEOUT', 'no quorum confirmed the read in time', {
          retryable: true,
        })
      : new StoreError('QUORATE_NO_LEADER', 'no leader is known to confirm the read', {
          retryable: true,
        })
  }

  #enqueue(reads: readonly PendingRead[]): void {
    for (const read of reads) this.#servable.push(read)
    if (!this.#isServing) this.#serveSome()
  }

  #serveSome(): void {
    const queue = this.#servable
    const until = this.#time.now() + SERVE_BUDGET_MS
    let done = 0
    while (done < queue.length) {
      const read = queue[done++]!
      this.#pending--
      if (!read.abandoned) this.#source.serve(read)
      if ((done & 15) === 0 && this.#time.now() >= until) break
    }
    this.#servable = queue.slice(done)
    this.#isServing = this.#servable.length > 0
    if (this.#isServing) this.#time.soon(() => this.#serveSome())
  }
}
