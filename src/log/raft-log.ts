/**
 * The durable Raft log: entries, term, vote, commit hint and compaction point of one member, in segments.
 *
 * One writer, one write under way (design D3). Everything appended meanwhile goes into the next write: group
 * commit. A write is one batch in one segment and returns when it is durable.
 *
 * Invariants:
 *   1. no promise of `append` resolves before its entries, term and vote are durable (traps T-5, T-36), and
 *      they resolve in the order of the calls
 *   2. `#index` describes durable batches only, so what `read` gives was written
 *   3. after the first failure nothing is written any more (trap T-31)
 *   4. a file is removed only after the compaction point beyond it is durable (trap T-35)
 */
import { assert } from '../base/assert.js'
import type { Durations } from '../base/durations.js'
import { type Outcome, StoreError } from '../base/errors.js'
import type { Disk } from '../env/disk.js'
import type { Time } from '../env/time.js'
import {
  type Entry,
  type EntryId,
  type HardState,
  type LogIndex,
  NONE,
  type NodeId,
  type Term,
} from '../raft/types.js'
import { ENTRY_DATA_BYTES_MAX, entryFrameBytes, type LogState } from '../wire/log-frame.js'
import { EntryIndex } from './entry-index.js'
import { readEntries, readTail } from './read-entries.js'
import { recover } from './recovery.js'
import { isNoSpace } from './segment.js'
import { type LogPlace, SegmentChain } from './segment-chain.js'

/** Whose log it is. */
export interface LogIdentity {
  /** 8 bytes. */
  readonly clusterId: Uint8Array
  readonly nodeId: NodeId
}

/** Settings of a log; defaults are applied where user options enter. */
export interface LogOptions {
  /** Planned size of a segment, 4 KiB to 1 GiB. The first ones are smaller, so that a small store stays small. */
  readonly segmentBytes: number
  /** Group commit gathers up to this many bytes into one write; a larger single append goes alone. */
  readonly maxWriteBytes: number
  /** Of the newest entries, recovery gives back those that fit in here. */
  readonly tailBytes: number
  /**
   * Free space that a new segment must leave to others; below it appends wait rather than begin one. Absent: nothing
   * is left, and a full disk fails appends.
   */
  readonly reserveBytes?: number
}

/** What a log held when it was opened. */
export interface RecoveredLog {
  readonly hardState: HardState
  /** The last compacted entry; 0/0 when there is none. */
  readonly previous: EntryId
  readonly lastIndex: LogIndex
  /** The first entry of each run of equal terms, ascending. */
  readonly terms: readonly EntryId[]
  /** The newest entries, contiguous up to `lastIndex`. */
  readonly tail: readonly Entry[]
  /** Bytes of a write that never finished, cut off the end and kept in a `.broken` file. */
  readonly tornBytes: number
}

/** One ordered write. The data of entries must not change until it settles. */
export interface LogWrite {
  /** Contiguous; they replace everything from the first one's index on. */
  readonly entries: readonly Entry[]
  readonly hardState: HardState | undefined
  readonly mustSync: boolean
}

/** A log in numbers. */
export interface LogStatus {
  readonly segments: number
  /** In segments, without what is only preallocated. */
  readonly bytes: number
  readonly firstIndex: LogIndex
  readonly lastIndex: LogIndex
  readonly fsyncs: number
  readonly writes: number
  /** `noSpace`: the disk was too full to prepare the next segment; the present one still takes writes. */
  readonly nextSegment: 'none' | 'preparing' | 'noSpace'
  /** Appends wait because the present segment is full and the disk has no room for the next. */
  readonly isWaiting: boolean
}

const GROUP_ENTRIES_MAX = 4_096
/** How often a log that waits for space looks for it. */
const LOOK_FOR_SPACE_MS = 500
const NEW_LOG: LogState = {
  hardState: { term: 0, vote: NONE, commit: 0 },
  previous: { term: 0, index: 0 },
  lastIndex: 0,
}

interface AppendTask extends Settlement {
  readonly type: 'append'
  readonly write: LogWrite
  /** Of the entries' frames. */
  readonly bytes: number
}

interface CompactTask extends Settlement {
  readonly type: 'compact'
  readonly previous: EntryId
}

interface Settlement {
  readonly resolve: () => void
  readonly reject: (error: StoreError) => void
}

type Task = AppendTask | CompactTask

/** The log of one member; nobody else may have it open (the member's lock sees to it). */
export class RaftLog {
  readonly recovered: RecoveredLog
  readonly #dir: string
  readonly #time: Time
  readonly #maxWriteBytes: number
  readonly #chain: SegmentChain
  readonly #index: EntryIndex
  /** The newest hard state, and the newest that is on disk: they differ only in `commit`. */
  #hardState: HardState
  #writtenState: HardState
  #previous: EntryId
  /** Bounded by its only caller: the core bounds what is uncommitted, and what a follower is sent. */
  readonly #queue: Task[] = []
  #running: Promise<void> | undefined
  #removing: Promise<void> = Promise.resolve()
  #failed: StoreError | undefined
  /** Ends the wait for space that is under way. */
  #endWait: (() => void) | undefined
  #mayWait: boolean
  #closing: Promise<void> | undefined

  private constructor(
    { dir, time, options }: LogPlace,
    chain: SegmentChain,
    index: EntryIndex,
    recovered: RecoveredLog,
  ) {
    this.#dir = dir
    this.#time = time
    this.#maxWriteBytes = options.maxWriteBytes
    this.#mayWait = options.reserveBytes !== undefined
    this.#chain = chain
    this.#index = index
    this.#hardState = recovered.hardState
    this.#writtenState = recovered.hardState
    this.#previous = recovered.previous
    this.recovered = recovered
  }

  /**
   * Opens the log in `dir`, or begins one when the folder is empty or absent. Reads the whole log once and
   * keeps eight bytes of memory per entry.
   *
   * @throws {StoreError} QUORATE_CORRUPTION when acknowledged bytes are damaged or missing; QUORATE_FORMAT,
   *   QUORATE_WRONG_CLUSTER or QUORATE_WRONG_MEMBER when it is not this member's to open;
   *   QUORATE_NO_SPACE or QUORATE_LOG_FAILED when the disk fails.
   */
  static async open(
    disk: Disk,
    time: Time,
    dir: string,
    identity: LogIdentity,
    options: LogOptions,
  ): Promise<RaftLog> {
    const place: LogPlace = { disk, time, dir, identity, options }
    try {
      const found = await recover(disk, dir, identity)
      const index = found?.index ?? new EntryIndex(0)
      const chain =
        found === undefined
          ? await SegmentChain.create(place, NEW_LOG)
          : await SegmentChain.open(place, found.segments)
      const recovered: RecoveredLog = {
        hardState: found?.hardState ?? NEW_LOG.hardState,
        previous: found?.previous ?? NEW_LOG.previous,
        lastIndex: index.lastIndex,
        terms: [...index.terms],
        tail: await readTail(chain, index, options.tailBytes),
        tornBytes: found?.tornBytes ?? 0,
      }
      return new RaftLog(place, chain, index, recovered)
    } catch (error) {
      throw error instanceof StoreError ? error : storageError(dir, error, 'none')
    }
  }

  /** The first failure; from then on nothing is written and every call is rejected. */
  get failed(): Error | undefined {
    return this.#failed
  }

  /**
   * Appends in the order of the calls; settles in that order, when the entries, term and vote are durable. A
   * write that only moves the commit hint settles at once and reaches the disk with the next write or at close.
   * While the disk has no room for the next segment, appends wait: nothing is begun that cannot be finished.
   *
   * @throws {RangeError} when an entry's data is beyond ENTRY_DATA_BYTES_MAX; the log goes on.
   * @throws {StoreError} QUORATE_NO_SPACE or QUORATE_LOG_FAILED, for this and every later call.
   */
  async append(write: LogWrite): Promise<void> {
    let bytes = 0
    for (const entry of write.entries) {
      if (entry.data.length > ENTRY_DATA_BYTES_MAX) {
        throw new RangeError(`an entry of ${entry.data.length} bytes does not fit into the log`)
      }
      bytes += entryFrameBytes(entry)
    }
    return this.#enqueue((settlement) => ({ type: 'append', write, bytes, ...settlement }))
  }

  /**
   * The entries from `from` to `to`, both inclusive, as far as they fit into `maxBytes`; at least one, unless
   * `from` is compacted or beyond the end. Each is checked; the data of all views one buffer.
   *
   * @throws {StoreError} QUORATE_CORRUPTION when bytes fail their check, QUORATE_LOG_FAILED when the disk does:
   *   never to be taken for the end of the log (trap T-41).
   */
  async read(from: LogIndex, to: LogIndex, maxBytes: number): Promise<Entry[]> {
    try {
      return await readEntries(this.#chain, this.#index, { from, to, maxBytes })
    } catch (error) {
      throw error instanceof StoreError ? error : storageError(this.#dir, error, 'none')
    }
  }

  /**
   * Lets go of the entries up to `index`: durably remembers (`index`, `term`) as what comes before the log, then
   * removes segments that hold nothing else. When the log has no such entry, it is emptied: a snapshot
   * replaced it. An index that is compacted already changes nothing.
   */
  async compactTo(index: LogIndex, term: Term): Promise<void> {
    await this.#enqueue((settlement) => ({
      type: 'compact',
      previous: { term, index },
      ...settlement,
    }))
    await this.#removing
    if (this.#failed !== undefined) throw this.#failed
  }

  /** The highest index to compact to that leaves at least `bytes` of log, as far as there is so much. */
  indexBefore(bytes: number): LogIndex {
    return this.#chain.indexBefore(bytes)
  }

  /** How long durable writes took, fsync included. */
  get writeDurations(): Durations {
    return this.#chain.writeDurations
  }

  /** Appends and compactions that wait for the write under way. */
  get queued(): number {
    return this.#queue.length
  }

  status(): LogStatus {
    const { counters, segmentCount, bytes, spareState } = this.#chain
    return {
      segments: segmentCount,
      bytes,
      firstIndex: this.#index.base + 1,
      lastIndex: this.#index.lastIndex,
      ...counters,
      nextSegment: spareState,
      isWaiting: this.#endWait !== undefined,
    }
  }

  /** Tries again to prepare the next segment, for which there was no space. */
  prepareNext(): void {
    if (this.#failed === undefined && this.#closing === undefined) this.#chain.prepareAgain()
  }

  /** From now on nothing waits for space: what does, or would have to, fails with QUORATE_NO_SPACE. */
  stopWaiting(): void {
    this.#mayWait = false
    this.#endWait?.()
  }

  /** Completes what was appended unless it waits for space, then ends; later calls are a QUORATE_NOT_OPEN. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.stopWaiting()
    await this.#running
    await this.#removing
    try {
      if (this.#failed === undefined && !isSameState(this.#hardState, this.#writtenState)) {
        const before = this.#stateBefore()
        await this.#chain.write(before, before, [], 0)
      }
    } catch (error) {
      throw this.#fail(error)
    } finally {
      await (this.#failed === undefined ? this.#chain.close() : this.#chain.abandon())
    }
  }

  #enqueue(task: (settlement: Settlement) => Task): Promise<void> {
    if (this.#failed !== undefined) return Promise.reject(this.#refusal(this.#failed))
    if (this.#closing !== undefined) {
      return Promise.reject(new StoreError('QUORATE_NOT_OPEN', 'the log is closed'))
    }
    return new Promise((resolve, reject) => {
      const added = task({ resolve, reject })
      this.#queue.push(added)
      if (added.type === 'compact') this.#endWait?.()
      this.#running ??= this.#run()
    })
  }

  /** Carries out what is queued until nothing is left; never rejects. */
  async #run(): Promise<void> {
    // Calls of the same turn join the first group.
    await Promise.resolve()
    while (this.#queue.length > 0 && this.#failed === undefined) {
      const group = this.#takeGroup()
      try {
        if (!(await this.#hasRoomFor(group))) {
          this.#queue.unshift(...group)
          await this.#makeSpace()
          continue
        }
        await this.#carryOut(group)
        if (this.#failed !== undefined) throw this.#failed
        for (const task of group) task.resolve()
      } catch (error) {
        const failed = this.#fail(error)
        for (const task of group) task.reject(failed)
      }
    }
    this.#running = undefined
  }

  async #hasRoomFor(group: readonly Task[]): Promise<boolean> {
    let bytes = 0
    for (const task of group) if (task.type === 'append') bytes += task.bytes
    if (bytes === 0 && this.#chain.hasRoomForState) return true
    return this.#chain.makeRoom(bytes)
  }

  /** A compaction that waits goes first; without one the log waits for the disk. @throws {StoreError} */
  async #makeSpace(): Promise<void> {
    const at = this.#queue.findIndex((task) => this.#mayOvertake(task))
    const [compaction] = at === -1 ? [] : this.#queue.splice(at, 1)
    if (compaction?.type === 'compact') {
      try {
        await this.#compact(compaction.previous)
        compaction.resolve()
      } catch (error) {
        compaction.reject(this.#fail(error))
      }
      await this.#removing
      return
    }
    if (!this.#mayWait) {
      this.#fail(new StoreError('QUORATE_NO_SPACE', 'nothing was written: the disk is full'))
      return
    }
    await new Promise<void>((resolve) => {
      const timer = this.#time.after(LOOK_FOR_SPACE_MS, resolve)
      this.#endWait = () => {
        this.#time.cancel(timer)
        resolve()
      }
    })
    this.#endWait = undefined
  }

  /** Whether `task` lets go of entries that are in the log already: then what is appended after them is the same. */
  #mayOvertake(task: Task): boolean {
    if (task.type === 'append' || !this.#chain.hasRoomForState) return false
    return this.#index.termAt(task.previous.index) === task.previous.term
  }

  /** One compaction, or the appends that go into the next write together. */
  #takeGroup(): Task[] {
    const queue = this.#queue
    let [count, bytes, entryCount] = [0, 0, 0]
    for (const task of queue) {
      if (task.type === 'compact') break
      bytes += task.bytes
      entryCount += task.write.entries.length
      const isFull = bytes > this.#maxWriteBytes || entryCount > GROUP_ENTRIES_MAX
      if (count > 0 && isFull) break
      count++
    }
    return queue.splice(0, Math.max(1, count))
  }

  #carryOut(group: readonly Task[]): Promise<void> {
    const [first] = group
    return first?.type === 'compact'
      ? this.#compact(first.previous)
      : this.#append(group.filter((task) => task.type === 'append'))
  }

  async #append(tasks: readonly AppendTask[]): Promise<void> {
    const entries = tasks.length === 1 ? tasks[0]!.write.entries : tasks.flatMap(entriesOf)
    const bytes = tasks.reduce((sum, task) => sum + task.bytes, 0)
    let isUrgent = entries.length > 0
    let hardState = this.#hardState
    for (const { write } of tasks) {
      if (write.hardState === undefined) continue
      checkSuccession(hardState, write.hardState)
      // Term and vote are written whatever the caller says: a vote that is not durable is given twice.
      isUrgent ||= write.mustSync || !isSameVote(hardState, write.hardState)
      // A compaction may have raised the hint beyond what the core had when it made this write.
      const commit = Math.max(hardState.commit, write.hardState.commit)
      hardState = { ...write.hardState, commit }
    }
    if (!isUrgent) {
      this.#hardState = hardState
      return
    }
    checkContiguous(tasks, this.#previous.index, this.#index.lastIndex)
    const before = this.#stateBefore()
    const state = isSameState(hardState, this.#writtenState) ? undefined : { ...before, hardState }
    if (state === undefined && entries.length === 0) return
    const lastIndex = entries.at(-1)?.index ?? before.lastIndex
    assert(hardState.commit <= lastIndex, 'more is committed than there is', { lastIndex })
    const written = await this.#chain.write(before, state, entries, bytes)
    this.#hardState = hardState
    this.#writtenState = hardState
    for (const [i, entry] of entries.entries()) {
      const position = written.positions[i]!
      const place = { segment: written.segment, position, bytes: entryFrameBytes(entry) }
      this.#index.append(entry, place)
    }
  }

  async #compact(previous: EntryId): Promise<void> {
    if (previous.index <= this.#previous.index) return
    const isOurs = this.#index.termAt(previous.index) === previous.term
    const lastIndex = isOurs ? this.#index.lastIndex : previous.index
    // What is compacted was committed, whatever the last hint said.
    const commit = Math.max(this.#hardState.commit, previous.index)
    const hardState = { ...this.#hardState, commit }
    await this.#chain.write(this.#stateBefore(), { hardState, previous, lastIndex }, [], 0)
    this.#hardState = hardState
    this.#writtenState = hardState
    this.#previous = previous
    this.#index.compactTo(previous.index)
    this.#index.truncateAfter(lastIndex)
    this.#removing = this.#removing.then(() => this.#removeCompacted())
  }

  /** Beside the writes, which need not wait for it; never rejects. */
  async #removeCompacted(): Promise<void> {
    if (this.#failed !== undefined) return
    try {
      await this.#chain.removeCompacted(this.#index)
    } catch (error) {
      this.#fail(error)
    }
  }

  #stateBefore(): LogState {
    const { lastIndex } = this.#index
    return { hardState: this.#hardState, previous: this.#previous, lastIndex }
  }

  /** Poisons the log: the first failure stands, and whatever waits is refused (trap T-31). */
  #fail(error: unknown): StoreError {
    this.#failed ??= error instanceof StoreError ? error : storageError(this.#dir, error, 'unknown')
    for (const task of this.#queue.splice(0)) task.reject(this.#refusal(this.#failed))
    return this.#failed
  }

  #refusal(failed: StoreError): StoreError {
    const message = `nothing was written: ${failed.message}`
    return new StoreError(failed.code, message, { cause: failed.cause })
  }
}

function entriesOf(task: AppendTask): readonly Entry[] {
  return task.write.entries
}

function isSameVote(a: HardState, b: HardState): boolean {
  return a.term === b.term && a.vote === b.vote
}

function isSameState(a: HardState, b: HardState): boolean {
  return isSameVote(a, b) && a.commit === b.commit
}

/** One vote a term, and terms only rise (Raft §5.2; trap T-3). */
function checkSuccession(from: HardState, to: HardState): void {
  assert(to.term >= from.term, 'the term went back', { from, to })
  const isVoteKept = to.term > from.term || from.vote === NONE || to.vote === from.vote
  assert(isVoteKept, 'the vote changed within a term', { from, to })
}

function checkContiguous(
  tasks: readonly AppendTask[],
  compacted: LogIndex,
  lastIndex: LogIndex,
): void {
  let last = lastIndex
  for (const { write } of tasks) {
    const [first] = write.entries
    if (first === undefined) continue
    assert(first.index > compacted, 'an append reaches into what is compacted')
    assert(first.index <= last + 1, 'an append leaves a gap', { index: first.index, last })
    for (const [i, entry] of write.entries.entries()) {
      assert(entry.index === first.index + i, 'the entries of an append are not contiguous')
    }
    last = first.index + write.entries.length - 1
  }
}

function storageError(dir: string, error: unknown, outcome: Outcome): StoreError {
  const code = isNoSpace(error) ? 'QUORATE_NO_SPACE' : 'QUORATE_LOG_FAILED'
  const reason = error instanceof Error ? error.message : String(error)
  return new StoreError(code, `the log in ${dir} failed: ${reason}`, {
    outcome,
    cause: error,
  })
}
