/**
 * The ReadIndex rounds of one member: which reads share one, and when it is tried again.
 *
 * All strong reads of a turn share a round (thesis §6.4). Every attempt has a fresh token, because an answer to an
 * earlier attempt proves nothing about a later read (trap T-43). Tokens rise, so of two rounds the one with the
 * larger token was sent later.
 */
import type { Time } from '../env/time.js'
import type { PendingRead } from './backend.js'
import type { SendTime } from './freshness.js'

/** Rounds under way at once; reads that come meanwhile share the next one. */
const ROUNDS_MAX = 4
/** A round unanswered for so long is tried again with a fresh token. */
const RETRY_MS = 500

/** Where rounds go. */
export interface RoundSource {
  readonly hasLeader: boolean
  /** Starts a round; answered by `onReadIndex`, `onDropped` or never. */
  requestReadIndex(token: number): void
}

interface Round {
  reads: PendingRead[]
  readonly sent: SendTime
}

/** See the file's comment. */
export class ReadRounds {
  readonly #time: Time
  readonly #source: RoundSource
  #collected: PendingRead[] = []
  readonly #rounds = new Map<number, Round>()
  /** Odd: even tokens are those of proposals. */
  #nextToken = 1
  /** The newest round that was confirmed. */
  #confirmed = 0
  /** A round of this token or a later one is wanted although no read is in it. */
  #wanted = 0
  /** How long rounds take, smoothed. */
  #smoothMs = 10

  constructor(time: Time, source: RoundSource) {
    this.#time = time
    this.#source = source
  }

  /** The token of the next round: rounds from it on are sent after this moment. */
  get nextToken(): number {
    return this.#nextToken
  }

  /** How long a round takes, as the last ones did. */
  get durationMs(): number {
    return this.#smoothMs
  }

  /** Whether a round without reads is to be sent once none is under way. */
  get isWanted(): boolean {
    return this.#wanted > this.#confirmed
  }

  /** The next round takes `read` along. */
  add(read: PendingRead): void {
    this.#collected.push(read)
  }

  /** A round of `token` or a later one is wanted for what it proves. */
  want(token: number): void {
    this.#wanted = Math.max(this.#wanted, token)
  }

  /** A round without reads is wanted, if none is under way or wanted already; says whether that is new. */
  renew(): boolean {
    if (this.#rounds.size > 0 || this.isWanted) return false
    this.#wanted = this.#nextToken
    return true
  }

  /** Starts a round if there is a reason, unless enough are under way. */
  flush(): void {
    const isWanted = this.isWanted && this.#rounds.size === 0
    if (this.#collected.length === 0 && !isWanted) return
    if (this.#rounds.size >= ROUNDS_MAX || !this.#source.hasLeader) return
    const token = this.#nextToken
    this.#nextToken += 2
    const sent = { at: this.#time.now(), wall: this.#time.wall() }
    this.#rounds.set(token, { reads: this.#collected, sent })
    this.#collected = []
    this.#source.requestReadIndex(token)
  }

  /** The round of `token` is confirmed and ends; undefined when it had been given up. */
  confirm(token: number): Readonly<Round> | undefined {
    const round = this.#rounds.get(token)
    if (round === undefined) return undefined
    this.#rounds.delete(token)
    this.#confirmed = Math.max(this.#confirmed, token)
    this.#smoothMs += (this.#time.now() - round.sent.at - this.#smoothMs) / 8
    return round
  }

  /** The round of `token` will not be answered: its reads go into the next one. */
  drop(token: number): void {
    const round = this.#rounds.get(token)
    if (round === undefined) return
    this.#rounds.delete(token)
    this.#collected = round.reads.concat(this.#collected)
  }

  /** No round under way will be answered. */
  dropAll(): void {
    for (const token of [...this.#rounds.keys()]) this.drop(token)
  }

  /** Gives up rounds that nobody answered, and takes out the reads that `isOver` says to. */
  tick(now: number, isOver: (read: PendingRead) => boolean): void {
    const remains = (read: PendingRead) => !isOver(read)
    for (const [token, round] of this.#rounds) {
      if (now - round.sent.at >= RETRY_MS) this.drop(token)
      else round.reads = round.reads.filter(remains)
    }
    this.#collected = this.#collected.filter(remains)
  }

  /** Takes all reads. */
  takeAll(): PendingRead[] {
    const reads = this.#collected
    for (const round of this.#rounds.values()) reads.push(...round.reads)
    this.#collected = []
    this.#rounds.clear()
    return reads
  }
}
