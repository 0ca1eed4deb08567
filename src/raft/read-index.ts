/**
 * Linearizable reads without a log entry (thesis §6.4).
 *
 * A leader gathers the reads of one turn into a round, notes the commit index, and sends a heartbeat with a
 * context that was never used before; when a majority has answered that context or a later one, the node was
 * still leader after the reads came in. A follower gathers its reads in the same way and asks the leader once.
 *
 * Why a fresh number per round and not one chosen by the asker: an answer to an earlier round, delayed, must
 * not confirm a later one (trap T-43). Why later answers confirm earlier rounds: they were sent later.
 */
import type { LogIndex, NodeId } from './types.js'

/** Rounds that may wait for answers at once; further reads gather in the open round. */
const ROUNDS_MAX = 64
/** Reads that may gather in the open round; more are refused. */
const OPEN_MAX = 65_536

/** Reads that share one confirmation. */
export interface ReadRound {
  readonly context: number
  readonly index: LogIndex
  readonly tokens: readonly number[]
  /** For each asking node the newest context it asked with: it covers that node's earlier ones. */
  readonly askers: ReadonlyMap<NodeId, number>
}

const NO_ASKERS: ReadonlyMap<NodeId, number> = new Map()

/** The reads of a leader. Contexts rise over the life of the core; answers of another term never get here. */
export class LeaderReads {
  #tokens: number[] = []
  #askers: Map<NodeId, number> = new Map()
  #rounds: ReadRound[] = []
  #lastContext = 0

  /** Adds a read of this node to the open round; false when that is full. */
  add(token: number): boolean {
    return addWithin(this.#tokens, token)
  }

  /** Adds the reads of another node to the open round. */
  addFrom(asker: NodeId, context: number): void {
    this.#askers.set(asker, context)
  }

  /** Whether a round waits to be confirmed and there is room for it. */
  get canSeal(): boolean {
    return (this.#tokens.length > 0 || this.#askers.size > 0) && this.#rounds.length < ROUNDS_MAX
  }

  get lastContext(): number {
    return this.#lastContext
  }

  /** The context that confirms all rounds that wait; 0 when none does. */
  get waitingContext(): number {
    return this.#rounds.at(-1)?.context ?? 0
  }

  /** A context for a heartbeat that confirms leadership as of now. */
  nextContext(): number {
    return ++this.#lastContext
  }

  /** Closes the open round: its reads may be served at `commitIndex` once the context is confirmed. */
  seal(commitIndex: LogIndex): number {
    const context = this.nextContext()
    const askers = this.#askers.size > 0 ? this.#askers : NO_ASKERS
    this.#rounds.push({ context, index: commitIndex, tokens: this.#tokens, askers })
    this.#tokens = []
    if (this.#askers.size > 0) this.#askers = new Map()
    return context
  }

  /** Takes the rounds that a quorum has confirmed by answering `context`. */
  confirmedBy(context: number): readonly ReadRound[] {
    if (this.#rounds.length === 0 || this.#rounds[0]!.context > context) return []
    const pending = this.#rounds.findIndex((round) => round.context > context)
    return this.#rounds.splice(0, pending === -1 ? this.#rounds.length : pending)
  }

  /** Takes the tokens of all reads that wait: the node is no longer leader. */
  takeAll(): readonly number[] {
    const tokens = this.#rounds.flatMap((round) => round.tokens).concat(this.#tokens)
    this.#rounds = []
    this.#tokens = []
    this.#askers.clear()
    return tokens
  }
}

interface Asked {
  readonly context: number
  readonly tokens: readonly number[]
  ageTicks: number
}

/** The reads that a follower forwards. An answer serves all reads that were asked for before it. */
export class ForwardedReads {
  #tokens: number[] = []
  #asked: Asked[] = []
  #lastContext: number

  /** Contexts rise from above `firstContext`, which must differ between starts of this node. */
  constructor(firstContext: number) {
    this.#lastContext = firstContext
  }

  /** Adds a read to the open round; false when that is full. */
  add(token: number): boolean {
    return addWithin(this.#tokens, token)
  }

  get canAsk(): boolean {
    return this.#tokens.length > 0 && this.#asked.length < ROUNDS_MAX
  }

  /** Closes the open round and gives the context to ask the leader with. */
  ask(): number {
    const context = ++this.#lastContext
    this.#asked.push({ context, tokens: this.#tokens, ageTicks: 0 })
    this.#tokens = []
    return context
  }

  /** Takes the tokens that an answer to `context` serves: none when this start of the node did not ask that. */
  answered(context: number): readonly number[] {
    const at = this.#asked.findIndex((asked) => asked.context === context)
    return this.#asked.splice(0, at + 1).flatMap((asked) => asked.tokens)
  }

  /** Ages what was asked by a tick and takes the tokens older than `maxTicks`: question or answer were lost. */
  tick(maxTicks: number): readonly number[] {
    for (const asked of this.#asked) asked.ageTicks++
    const tokens: number[] = []
    while (this.#asked.length > 0 && this.#asked[0]!.ageTicks > maxTicks) {
      tokens.push(...this.#asked.shift()!.tokens)
    }
    return tokens
  }

  /** Takes all tokens: there is another leader, or none. */
  takeAll(): readonly number[] {
    const tokens = this.#asked.flatMap((asked) => asked.tokens).concat(this.#tokens)
    this.#asked = []
    this.#tokens = []
    return tokens
  }
}

function addWithin(tokens: number[], token: number): boolean {
  if (tokens.length >= OPEN_MAX) return false
  tokens.push(token)
  return true
}
