/**
 * What a member has shown or acknowledged as applied, it has for as long as its process lives.
 *
 *   went-back     a member serves no read from a lower index than it had before the read was called
 *   not-applied   a write with the ack `applied` is applied where it was called, one with `all` everywhere, one with
 *                 `{ members: n }` at n members: no more than the others serve reads without it
 *
 * What a member "had" is the index of a read, answered before, that it served; one that was forwarded counts for who
 * served it. Reads of every level are bound, since none is served from anything but an applied state. After a crash a
 * member may know less of what was committed, and begins a new life.
 */
import {
  type Call,
  type History,
  isWrite,
  type Read,
  type Write,
  type WriteAck,
} from '../history.js'
import { type Answered, acknowledgedWrites, answeredReads, indexOf } from './answered.js'
import { describeCall, eventsOf } from './describe.js'
import type { Verdict } from './verdict.js'

/** The process of a member ended. */
export interface Death {
  readonly node: string
  /** As the number of an event: calls begun before it were of this life. */
  readonly i: number
}

/** The members that can be read from, and the ends of their processes. */
export interface Lives {
  readonly members: number
  /** In order. */
  readonly deaths: readonly Death[]
}

/** What was looked at. */
export interface AppliedObserved {
  /** Reads that say who served them and at which index. */
  readonly reads: number
  /** Writes that were acknowledged as applied here, everywhere, or at so many members. */
  readonly acks: number
}

interface AppliedFault {
  readonly rule: 'went-back' | 'not-applied'
  readonly counterexample: string
  readonly events: readonly number[]
}

/** Whether members kept what they had. O(n log n), times members for acks. */
export function checkApplied(history: History, lives: Lives): Verdict<AppliedObserved> {
  const served = new Map<string, ServedReads>()
  let reads = 0
  for (const read of answeredReads(history.calls)) {
    const { node, index } = read.outcome.result
    if (node === undefined || index === undefined) continue
    let ofNode = served.get(node)
    if (ofNode === undefined) {
      ofNode = new ServedReads(lives.deaths.filter((death) => death.node === node))
      served.set(node, ofNode)
    }
    ofNode.add(read)
    reads++
  }
  const acks = acknowledgedWrites(history.calls).filter(
    ({ operation }) => operation.ack !== 'quorum',
  )
  const observed = { reads, acks: acks.length }
  const fault = firstGoneBack(served) ?? firstNotApplied(acks, served, lives.members)
  return fault === undefined
    ? { verdict: 'ok', observed }
    : { verdict: 'violation', ...fault, observed }
}

/** The reads that one member served, by its lives. */
class ServedReads {
  readonly #deaths: readonly Death[]
  readonly #lives = new Map<number, Answered<Read>[]>()
  /** Of a life, at each place the read with the lowest index from there on. */
  readonly #lowest = new Map<number, readonly Answered<Read>[]>()

  constructor(deaths: readonly Death[]) {
    this.#deaths = deaths
  }

  get all(): readonly Answered<Read>[] {
    return [...this.#lives.values()].flat()
  }

  /** Reads come in the order of their calls. */
  add(read: Answered<Read>): void {
    const life = this.#lifeAt(read.invoked.i)
    const reads = this.#lives.get(life)
    if (reads === undefined) this.#lives.set(life, [read])
    else reads.push(read)
  }

  /** A read from below `index` that was called after `earlier` was answered, in the life in which that was called. */
  below(index: number, earlier: Answered<Read> | Answered<Write>): Answered<Read> | undefined {
    const life = this.#lifeAt(earlier.invoked.i)
    const reads = this.#lives.get(life) ?? []
    const from = countUpTo(reads, earlier.outcome.at.i)
    const lowest = this.#lowestFrom(life, reads)[from]
    return lowest !== undefined && indexOf(lowest)! < index ? lowest : undefined
  }

  #lifeAt(i: number): number {
    return this.#deaths.filter((death) => death.i < i).length
  }

  #lowestFrom(life: number, reads: readonly Answered<Read>[]): readonly Answered<Read>[] {
    const known = this.#lowest.get(life)
    if (known !== undefined) return known
    const lowest = [...reads]
    for (let at = lowest.length - 2; at >= 0; at--) {
      if (indexOf(lowest[at + 1]!)! < indexOf(lowest[at]!)!) lowest[at] = lowest[at + 1]!
    }
    this.#lowest.set(life, lowest)
    return lowest
  }
}

/** How many of `reads` were called up to event `i`. */
function countUpTo(reads: readonly Answered<Read>[], i: number): number {
  let [low, high] = [0, reads.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (reads[middle]!.invoked.i <= i) low = middle + 1
    else high = middle
  }
  return low
}

function firstGoneBack(served: ReadonlyMap<string, ServedReads>): AppliedFault | undefined {
  for (const reads of served.values()) {
    for (const read of reads.all) {
      const lower = reads.below(indexOf(read)!, read)
      if (lower !== undefined) return told('went-back', read, [lower])
    }
  }
  return undefined
}

function firstNotApplied(
  acks: readonly Answered<Write>[],
  served: ReadonlyMap<string, ServedReads>,
  members: number,
): AppliedFault | undefined {
  for (const write of acks) {
    const index = indexOf(write)
    if (index === undefined) continue
    const lagging = [...served].flatMap(([node, reads]) => {
      const isMeant = write.operation.ack !== 'applied' || node === write.node
      return isMeant ? (reads.below(index, write) ?? []) : []
    })
    if (lagging.length > laggardsMax(write.operation.ack, members)) {
      return told('not-applied', write, lagging)
    }
  }
  return undefined
}

/** How many members may lack a write after such an acknowledgement. */
function laggardsMax(ack: WriteAck, members: number): number {
  if (typeof ack === 'object') return Math.max(0, members - ack.members)
  return ack === 'all' || ack === 'applied' ? 0 : members
}

function told(
  rule: AppliedFault['rule'],
  earlier: Call,
  reads: readonly Answered<Read>[],
): AppliedFault {
  const [first] = reads
  const more = reads.length > 1 ? `, and ${reads.length - 1} other members too` : ''
  const what = isWrite(earlier.operation) ? 'acknowledged' : 'served'
  return {
    rule,
    counterexample: `${describeCall(first!)}${more}; but ${what} before it: ${describeCall(earlier)}`,
    events: [...eventsOf(earlier), ...reads.flatMap(eventsOf)],
  }
}
