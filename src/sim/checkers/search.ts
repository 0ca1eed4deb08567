/**
 * The search for a linearization of one partition: Wing and Gong's, with Lowe's memory of where it has been.
 *
 * It looks for an order of the operations that the model allows and in which no operation comes before one that
 * had returned before it was called. Finding one is NP-complete, so the search runs in slices and counts steps and
 * memory; who owns it decides when to give up. Operations that returned are numbered in the order of their returns.
 *
 * A configuration is where the search stands: everything before `frontier` is linearized, the frontier itself is
 * not, `ahead` holds what is linearized beyond it. Only an operation that was called before the frontier returned
 * may come next. Three rules keep the search narrow, none of them loses a linearization:
 *   1. an observer that fits the present state is placed at once: it fits nowhere better, and changes nothing
 *   2. operations of unknown outcome that do the same are interchangeable: the one called first comes first
 *   3. an operation of unknown outcome is not placed where it changes nothing: it may as well come later, or never
 *
 * Sources: Wing and Gong, "Testing and Verifying Concurrent Objects" (1993); Lowe, "Testing for Linearizability"
 * (2017).
 */
import type { Model, ModelState, TimedOperation } from './model.js'

/** How far a search has come. */
export type SearchResult = 'running' | 'ok' | 'violation'

/** The longest order of operations that works, and what cannot follow it. */
export interface PartialLinearization<Operation> {
  readonly linearized: readonly TimedOperation<Operation>[]
  /** What it leaves, in words. */
  readonly state: string
  /** Had to come next, because it had returned before anything else that is left was called, and fits nowhere. */
  readonly misfit: TimedOperation<Operation>
}

interface Configuration {
  readonly parent: Configuration | undefined
  /** What was placed on the way here from the parent, in order. */
  readonly placed: readonly number[]
  readonly frontier: number
  /** Ascending. */
  readonly ahead: readonly number[]
  /** How many of each class of unknown operations are placed. */
  readonly unknowns: readonly number[]
  readonly state: number
  /** The candidate to try next. */
  next: number
}

/** What a set of strings costs per entry beyond its characters, roughly. */
const MEMO_ENTRY_BYTES = 56

/** One search; see the file's comment. */
export class Search<Operation, State extends ModelState> {
  readonly #model: Model<Operation, State>
  /** First those that returned, in order of their returns, then those of unknown outcome, in order of calls. */
  readonly #operations: readonly TimedOperation<Operation>[]
  readonly #isObserver: readonly boolean[]
  readonly #returnedCount: number
  /** Unknown operations that do the same, in order of their calls. */
  readonly #unknownClasses: readonly (readonly number[])[]
  /** What may come next at each frontier, by return; filled as the search gets there. */
  readonly #open: number[][] = []
  readonly #callOrder: readonly number[]
  /** How many of `#callOrder` have entered `#open`. */
  #called = 0
  readonly #states: State[] = []
  readonly #stateIds = new Map<State, number>()
  readonly #transitions = new Map<number, number>()
  readonly #visited = new Set<string>()
  #memoBytes = 0
  #steps = 0
  /** The configuration to go on from; its ancestors are the stack. */
  #top: Configuration | undefined
  #best: Configuration

  constructor(model: Model<Operation, State>, operations: readonly TimedOperation<Operation>[]) {
    this.#model = model
    const returned = operations.filter((o) => o.returned !== undefined)
    returned.sort((a, b) => a.returned! - b.returned!)
    const unknown = operations.filter(
      (o) => o.returned === undefined && !model.isObserver(o.operation),
    )
    unknown.sort((a, b) => a.called - b.called)
    this.#operations = [...returned, ...unknown]
    this.#isObserver = this.#operations.map(({ operation }) => model.isObserver(operation))
    this.#returnedCount = returned.length
    this.#callOrder = [...returned.keys()].sort((a, b) => returned[a]!.called - returned[b]!.called)
    this.#unknownClasses = this.#classesOf(unknown)
    this.#best = this.#settle(undefined, [], {
      frontier: 0,
      ahead: [],
      unknowns: this.#unknownClasses.map(() => 0),
      state: this.#idOf(model.initial),
    })
    this.#top = this.#best
  }

  /** Operations tried so far. */
  get steps(): number {
    return this.#steps
  }

  /** An estimate of the memory that grows with the search. */
  get memoBytes(): number {
    return this.#memoBytes
  }

  /** Goes on for about `steps` steps, or until there is a result. */
  run(steps: number): SearchResult {
    const end = this.#steps + steps
    while (this.#steps < end) {
      const top = this.#top
      if (top === undefined) return 'violation'
      if (top.frontier === this.#returnedCount) return 'ok'
      const next = this.#nextFrom(top)
      if (next !== undefined && next.frontier > this.#best.frontier) this.#best = next
      this.#top = next ?? top.parent
    }
    return 'running'
  }

  /** After a violation: the furthest that any order came. */
  best(): PartialLinearization<Operation> {
    const placed: number[][] = []
    let at: Configuration | undefined = this.#best
    for (; at !== undefined; at = at.parent) placed.push([...at.placed])
    return {
      linearized: placed.reverse().flatMap((part) => part.map((o) => this.#operations[o]!)),
      state: this.#model.describeState(this.#states[this.#best.state]!),
      misfit: this.#operations[this.#best.frontier]!,
    }
  }

  #classesOf(unknown: readonly TimedOperation<Operation>[]): number[][] {
    const classes = new Map<string, number[]>()
    unknown.forEach(({ operation }, i) => {
      const words = this.#model.describe(operation)
      const members = classes.get(words)
      if (members === undefined) classes.set(words, [this.#returnedCount + i])
      else members.push(this.#returnedCount + i)
    })
    return [...classes.values()]
  }

  /** The next configuration below `top` that was not seen before; `undefined` when there is none left. */
  #nextFrom(top: Configuration): Configuration | undefined {
    const open = this.#openAt(top.frontier)
    const candidateCount = open.length + this.#unknownClasses.length
    while (top.next < candidateCount) {
      const candidate = top.next++
      this.#steps++
      const next =
        candidate < open.length
          ? this.#place(top, open[candidate]!)
          : this.#placeUnknown(top, candidate - open.length)
      if (next !== undefined && this.#isNew(next)) return next
    }
    return undefined
  }

  #place(from: Configuration, operation: number): Configuration | undefined {
    // An observer that fitted was placed when the state came about.
    if (this.#isObserver[operation]! || from.ahead.includes(operation)) return undefined
    const state = this.#step(from.state, operation)
    if (state === undefined) return undefined
    const ahead = inserted(from.ahead, operation)
    return this.#settle(from, [operation], { ...from, ahead, state })
  }

  #placeUnknown(from: Configuration, index: number): Configuration | undefined {
    const used = from.unknowns[index]!
    const operation = this.#unknownClasses[index]![used]
    if (operation === undefined) return undefined
    if (this.#operations[operation]!.called > this.#operations[from.frontier]!.returned!)
      return undefined
    const state = this.#step(from.state, operation)
    if (state === undefined || state === from.state) return undefined
    const unknowns = from.unknowns.with(index, used + 1)
    return this.#settle(from, [operation], { ...from, unknowns, state })
  }

  /** Places every observer that fits, and moves the frontier over everything linearized. */
  #settle(
    parent: Configuration | undefined,
    placed: number[],
    start: Pick<Configuration, 'frontier' | 'ahead' | 'unknowns' | 'state'>,
  ): Configuration {
    const { unknowns, state } = start
    const ahead = [...start.ahead]
    let frontier = start.frontier
    for (;;) {
      while (ahead.length > 0 && ahead[0] === frontier) {
        ahead.shift()
        frontier++
      }
      if (frontier === this.#returnedCount) break
      const fitting = this.#openAt(frontier).filter(
        (o) => this.#isObserver[o]! && !ahead.includes(o) && this.#step(state, o) !== undefined,
      )
      if (fitting.length === 0) break
      placed.push(...fitting)
      ahead.push(...fitting)
      ahead.sort((a, b) => a - b)
    }
    return { parent, placed, frontier, ahead, unknowns, state, next: 0 }
  }

  /** What is not before `frontier` and was called before it returned, the frontier itself first. */
  #openAt(frontier: number): readonly number[] {
    while (this.#open.length <= frontier) {
      const last = this.#open.length - 1
      const open = (this.#open[last] ?? []).filter((o) => o !== last)
      const returned = this.#operations[last + 1]!.returned!
      for (; this.#called < this.#callOrder.length; this.#called++) {
        const operation = this.#callOrder[this.#called]!
        if (this.#operations[operation]!.called > returned) break
        open.push(operation)
      }
      this.#open.push(open.sort((a, b) => a - b))
    }
    return this.#open[frontier]!
  }

  #isNew({ frontier, ahead, unknowns, state }: Configuration): boolean {
    const key = `${frontier},${state};${ahead.join()};${unknowns.join()}`
    const size = this.#visited.size
    this.#visited.add(key)
    if (this.#visited.size === size) return false
    this.#memoBytes += MEMO_ENTRY_BYTES + key.length
    return true
  }

  #step(state: number, operation: number): number | undefined {
    const transition = state * this.#operations.length + operation
    const known = this.#transitions.get(transition)
    if (known !== undefined) return known === -1 ? undefined : known
    const next = this.#model.step(this.#states[state]!, this.#operations[operation]!.operation)
    const id = next === undefined ? undefined : this.#idOf(next)
    this.#transitions.set(transition, id ?? -1)
    this.#memoBytes += MEMO_ENTRY_BYTES
    return id
  }

  #idOf(state: State): number {
    const known = this.#stateIds.get(state)
    if (known !== undefined) return known
    const id = this.#states.length
    this.#states.push(state)
    this.#stateIds.set(state, id)
    this.#memoBytes += MEMO_ENTRY_BYTES + (typeof state === 'string' ? 2 * state.length : 0)
    return id
  }
}

/** `list`, ascending, with `item` in its place. */
function inserted(list: readonly number[], item: number): number[] {
  let at = list.length
  while (at > 0 && list[at - 1]! > item) at--
  return list.toSpliced(at, 0, item)
}
