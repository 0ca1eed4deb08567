/**
 * Reads of this member's callers that the leader is asked to serve, because the state here is not new enough.
 *
 * What is collected in a turn goes in one frame. A read is asked about for ASK_MS at most; then, and when the leader
 * changes or its connection breaks, it is given back, and goes on waiting here. What is left of its time travels with
 * it. Bounded: reads and bytes under way; more are not taken. A leader that does not answer is left alone for a while
 * (CircuitBreaker).
 */
import { StoreError } from '../base/errors.js'
import type { NodeId } from '../raft/types.js'
import {
  encodeReadCalls,
  type ReadAnswer,
  type ReadCall,
  readCallBytes,
} from '../wire/read-call.js'
import type { PendingRead } from './backend.js'
import { CircuitBreaker } from './circuit-breaker.js'
import type { ForwardOutcome } from './reads.js'

/** Reads under way at once. */
const READS_MAX = 4096
/** A leader that has not answered for so long counts as one that does not. */
const ASK_MS = 1000
/** After so many failures in a row nothing is asked for so long. */
const FAILURES_MAX = 8
const REST_MS = 2000

/** How forwarded reads leave. */
export interface ForwardPorts {
  now(): number
  /** The leader, when it is another member that can be reached. */
  leader(): NodeId | undefined
  /** False when it was dropped. */
  send(to: NodeId, body: Buffer): boolean
  /** Asks for `flush` at the end of this turn. */
  wake(): void
  /** Reads are not taken because a bound is reached. */
  overloaded(): void
}

interface Asked {
  readonly to: NodeId
  readonly read: PendingRead
  readonly until: number
  /** Whether an answer could have been here by `until`. */
  readonly isFairTime: boolean
  readonly done: (outcome: ForwardOutcome) => void
}

/** See the file's comment. */
export class ForwardedReads {
  readonly #ports: ForwardPorts
  /** Of one frame; one that takes more cannot be asked. */
  readonly #maxBytes: number
  readonly #asked = new Map<number, Asked>()
  readonly #breakers = new Map<NodeId, CircuitBreaker>()
  #calls: ReadCall[] = []
  #bytes = 0
  #to: NodeId | undefined
  #nextId: number
  #sent = 0

  /** `firstId` is drawn anew at each start, so that a late answer to an earlier life finds nobody. */
  constructor(ports: ForwardPorts, maxBytes: number, firstId: number) {
    this.#ports = ports
    this.#maxBytes = maxBytes
    this.#nextId = firstId >>> 0
  }

  /** Reads that were handed to a leader since the start. */
  get sent(): number {
    return this.#sent
  }

  /** Takes a read to the leader; false when that is not possible now. `done` is called once, later. */
  ask(read: PendingRead, done: (outcome: ForwardOutcome) => void): boolean {
    const to = this.#ports.leader()
    const bytes = readCallBytes(read)
    if (to === undefined || bytes > this.#maxBytes) return false
    if (this.#asked.size >= READS_MAX) {
      this.#ports.overloaded()
      return false
    }
    const now = this.#ports.now()
    if (now >= read.deadline || !this.#breakerOf(to).admit(now)) return false
    if (this.#bytes + bytes > this.#maxBytes || (this.#to ?? to) !== to) this.flush()
    this.#collect(to, bytes, read, done, now)
    return true
  }

  /** Sends what was collected in this turn. */
  flush(): void {
    const calls = this.#calls
    const to = this.#to
    if (calls.length === 0 || to === undefined) return
    this.#calls = []
    this.#bytes = 0
    this.#to = undefined
    if (this.#ports.send(to, encodeReadCalls(calls))) return
    for (const { id } of calls) this.#giveBack(id, 'the way to the leader is full or gone')
  }

  /** What a leader answered; nobody waits for what comes late, or from somebody who was not asked. */
  onAnswers(from: NodeId, answers: readonly ReadAnswer[]): void {
    for (const answer of answers) {
      const asked = this.#asked.get(answer.id)
      if (asked?.to !== from) continue
      this.#asked.delete(answer.id)
      this.#breakerOf(from).succeeded()
      asked.done(outcomeOf(answer, asked.read))
    }
  }

  /** Nobody but `leader` will answer. */
  onLeader(leader: NodeId | undefined): void {
    for (const [id, { to }] of this.#asked) {
      if (to !== leader) this.#giveBack(id, 'the leader changed before it answered')
    }
  }

  /** The connection to `node` broke: what it was asked may be lost. */
  onPeerDown(node: NodeId): void {
    for (const [id, { to }] of this.#asked) {
      if (to === node) this.#giveBack(id, 'the connection to the leader broke')
    }
  }

  tick(now: number): void {
    for (const [id, { to, until, isFairTime, read }] of this.#asked) {
      if (!read.abandoned && now < until) continue
      if (isFairTime && now >= until) this.#breakerOf(to).failed(now)
      this.#giveBack(id, 'the leader did not answer in time')
    }
  }

  /** Nobody is asked or answered any more; the reads are ended by their owner. */
  end(): void {
    this.#asked.clear()
    this.#calls = []
    this.#to = undefined
  }

  #collect(to: NodeId, bytes: number, read: PendingRead, done: Asked['done'], now: number): void {
    const id = this.#nextId
    this.#nextId = (id + 1) >>> 0
    const { keys, level, minIndex, minTerm, maxStalenessMs } = read
    const remainingMs = read.deadline - now
    const demand = { level, minIndex, minTerm, maxStalenessMs, remainingMs, keys }
    const until = now + Math.min(ASK_MS, remainingMs)
    this.#asked.set(id, { to, read, until, isFairTime: remainingMs >= ASK_MS, done })
    this.#calls.push({ id, onBehind: 'wait', ...demand })
    this.#bytes += bytes
    this.#to = to
    this.#sent++
    this.#ports.wake()
  }

  #giveBack(id: number, why: string): void {
    const asked = this.#asked.get(id)
    if (asked === undefined) return
    this.#asked.delete(id)
    this.#breakerOf(asked.to).abandoned()
    asked.done({ error: new StoreError('QUORATE_NO_LEADER', why, { retryable: true }) })
  }

  #breakerOf(node: NodeId): CircuitBreaker {
    let breaker = this.#breakers.get(node)
    if (breaker === undefined) {
      breaker = new CircuitBreaker(FAILURES_MAX, REST_MS)
      this.#breakers.set(node, breaker)
    }
    return breaker
  }
}

function outcomeOf(answer: ReadAnswer, read: PendingRead): ForwardOutcome {
  if ('error' in answer) return { error: answer.error }
  const { values, ...served } = answer
  if (values.length === read.keys.length) return { values, served }
  const message = `${values.length} values for ${read.keys.length} keys`
  return { error: new StoreError('QUORATE_FORMAT', message) }
}
