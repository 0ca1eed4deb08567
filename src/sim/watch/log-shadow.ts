/**
 * What a member's log must hold: followed from the writes that its core asks for and the ones it was told are
 * durable, and compared with what recovery finds after a crash.
 *
 * Entries are told apart by a hash over everything up to them, so that comparing two logs is comparing two numbers.
 */
import { xxh32 } from '@node-rs/xxhash'
import { assert } from '../../base/assert.js'
import { keyedU32 } from '../../base/prng.js'
import type { RecoveredLog } from '../../log/raft-log.js'
import {
  type AppendTask,
  type Entry,
  type EntryId,
  type HardState,
  type LogIndex,
  NONE,
  type NodeId,
  type Term,
} from '../../raft/types.js'

/** A position with the hash of the log up to it. */
export interface Link {
  readonly term: Term
  readonly hash: number
}

const BEFORE_ALL: Link = { term: 0, hash: 0 }
/** Equal to no entry of any log. */
const UNKNOWN: Link = { term: -1, hash: -1 }

/** What is committed at an index; undefined when nothing is. */
export type CommittedLinks = (index: LogIndex) => Link | undefined

/** The link of `entry` after `previous`. */
export function linkAfter(previous: Link, { term, kind, data }: Entry): Link {
  return { term, hash: keyedU32(previous.hash, term, kind, xxh32(data), data.length) }
}

/** A log and the vote, by hashes. */
export class ShadowLog {
  readonly #links: Link[] = [BEFORE_ALL]
  term: Term = 0
  vote: NodeId = NONE

  get lastIndex(): LogIndex {
    return this.#links.length - 1
  }

  /** Of the last entry. */
  get lastTerm(): Term {
    return this.#links.at(-1)!.term
  }

  at(index: LogIndex): Link | undefined {
    return this.#links[index]
  }

  /** Replaces everything from `entries[0]` on. */
  append(entries: readonly Entry[]): void {
    for (const entry of entries) {
      assert(entry.index <= this.#links.length, 'an append leaves a gap', { index: entry.index })
      this.#links.length = entry.index
      this.#links.push(linkAfter(this.#links[entry.index - 1]!, entry))
    }
  }

  copy(): ShadowLog {
    const copy = new ShadowLog()
    copy.#links.length = 0
    for (const link of this.#links) copy.#links.push(link)
    copy.term = this.term
    copy.vote = this.vote
    return copy
  }

  /** Replaces everything by what is `committed` up to the snapshot. */
  install({ index }: EntryId, committed: CommittedLinks): void {
    this.#links.length = 0
    for (let at = 0; at <= index; at++) this.#links.push(committed(at) ?? UNKNOWN)
  }

  /** Takes a state of others in, which makes the log begin anew unless it leads there. */
  adopt(end: EntryId, committed: CommittedLinks): void {
    if (this.at(end.index)?.term !== end.term) this.install(end, committed)
    if (this.term >= end.term) return
    this.term = end.term
    this.vote = NONE
  }

  take(task: AppendTask, committed: CommittedLinks): void {
    if (task.snapshot !== undefined) this.install(task.snapshot, committed)
    this.append(task.entries)
    this.takeState(task)
  }

  /** The part of a task that comes before its snapshot. */
  takeState({ hardState }: AppendTask): void {
    if (hardState !== undefined) this.#setState(hardState)
  }

  /** Whether `recovered` is this log, as far back as it goes: its terms all, its newest entries in full. */
  matches({ hardState, lastIndex, previous, terms, tail }: RecoveredLog): boolean {
    if (lastIndex !== this.lastIndex) return false
    if (hardState.term !== this.term || hardState.vote !== this.vote) return false
    if (this.at(previous.index)?.term !== previous.term) return false
    for (const [i, { index, term }] of terms.entries()) {
      const end = terms[i + 1]?.index ?? lastIndex + 1
      for (let at = index; at < end; at++) if (this.at(at)?.term !== term) return false
    }
    let link = this.at((tail[0]?.index ?? lastIndex + 1) - 1)!
    for (const entry of tail) {
      link = linkAfter(link, entry)
      if (this.at(entry.index)?.hash !== link.hash) return false
    }
    return true
  }

  #setState({ term, vote }: HardState): void {
    this.term = term
    this.vote = vote
  }
}

/** The log of one member over all its lives. */
export class LogHistory {
  readonly #committed: CommittedLinks
  #durable = new ShadowLog()
  #taken = new ShadowLog()
  #underWay: AppendTask[] = []
  /** The vote that was durable in each term. */
  readonly #votes = new Map<Term, NodeId>()
  #reached: LogIndex = 0

  constructor(committed: CommittedLinks) {
    this.#committed = committed
  }

  /** As the core has it: what it asked for is in here, durable or not. */
  get taken(): ShadowLog {
    return this.#taken
  }

  /** What the member was told is durable. */
  get durable(): ShadowLog {
    return this.#durable
  }

  /** The core asks for a write. */
  take(task: AppendTask): void {
    this.#taken.take(task, this.#committed)
    this.#underWay.push(task)
  }

  /** The core is told that the write `id` is durable; returns what it was. */
  done(id: number): AppendTask {
    const task = this.#underWay.shift()
    assert(task?.id === id, 'writes end in their order', { id, expected: task?.id })
    this.#durable.take(task, this.#committed)
    this.#remember()
    return task
  }

  /** Who durably got this member's vote in `term`; 0 if nobody did. */
  voteIn(term: Term): NodeId {
    return this.#votes.get(term) ?? NONE
  }

  /** The highest index that ever was durable. */
  get reached(): LogIndex {
    return this.#reached
  }

  /**
   * The member was opened again. What was durable must be there, and of the writes under way a prefix may be, of the
   * last one also term and vote before its snapshot, or the snapshot before its entries; false when it is anything
   * else. With a state that came from others the log may begin where that ends, in its term.
   */
  reopen(recovered: RecoveredLog, whose: 'own' | 'others'): boolean {
    const candidate = this.#durable.copy()
    let isExact = candidate.matches(recovered)
    for (const task of this.#underWay) {
      if (isExact) break
      if (task.snapshot !== undefined) {
        candidate.takeState(task)
        isExact = candidate.matches(recovered)
        if (isExact) break
        candidate.install(task.snapshot, this.#committed)
        isExact = candidate.matches(recovered)
        if (isExact) break
      }
      candidate.take(task, this.#committed)
      isExact = candidate.matches(recovered)
    }
    if (!isExact && whose === 'others') {
      candidate.adopt(recovered.previous, this.#committed)
      isExact = candidate.matches(recovered)
    }
    this.#durable = candidate
    this.#taken = candidate.copy()
    this.#underWay = []
    this.#remember()
    return isExact
  }

  #remember(): void {
    const { term, vote, lastIndex } = this.#durable
    if (this.voteIn(term) === NONE) this.#votes.set(term, vote)
    this.#reached = Math.max(this.#reached, lastIndex)
  }
}
