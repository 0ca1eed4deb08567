/**
 * Values that fail their checksum, or cannot be read at all, are had from another member and put back (design D10).
 *
 * A read at the state of index i needs what was stored under the key at i. The member asked answers from a state at
 * some j >= i. If what it has was changed last at r <= i, nothing changed between the two, and it is what the read
 * needs. Otherwise the key was changed after i: the read is begun anew once this member has come that far, too, where
 * the damaged bytes are overwritten.
 *
 * The caller has its answer before the bytes are put back, which waits for its turn between two applies. Bounded: reads
 * under repair (REPAIRS_MAX), asks of one repair one after the other, attempts of a read.
 */
import { InvariantError } from '../base/assert.js'
import { StoreError } from '../base/errors.js'
import type { Time } from '../env/time.js'
import type { MachineView } from '../machine/machine-view.js'
import { readStoredValue, type StoredValue } from '../machine/stored-value.js'
import type { LogIndex, NodeId } from '../raft/types.js'
import {
  decodeNeed,
  decodeStored,
  encodeNeed,
  encodeStored,
  FRAME_NEED,
  FRAME_STORED,
  type Stored,
} from '../wire/integrity.js'
import type { PendingRead, ReadPosition, Served } from './backend.js'

/** Reads and scans under repair at once; more fail with what was found. */
const REPAIRS_MAX = 256
/** Before the next member is asked. */
const ANSWER_MS = 1000
/** Before those that were behind are asked again, and how long a scan may wait in all. */
const AGAIN_MS = 50
const SCAN_MS = 5000
/** A read is begun anew so often because its key was changed meanwhile. */
const ATTEMPTS = 5

const NO_BYTES = Buffer.alloc(0)

/** What was put back. */
export interface Repaired {
  readonly key: Uint8Array
  /** Whose bytes they are. */
  readonly from: NodeId
}

/** What repairs work with. */
export interface RepairPorts {
  readonly time: Time
  /** The state as it is now; closed by who asked for it. @throws {StoreError} QUORATE_NOT_READY */
  view(): MachineView
  /** Whether others may have what is here: not while the state is out of use. */
  isSound(): boolean
  /** See StateMachine.heal. */
  heal(key: Uint8Array, damaged: Uint8Array | undefined, stored: Uint8Array): Promise<boolean>
  /** The other members, the one to ask first first; also those that cannot be reached now. */
  sources(): readonly NodeId[]
  /** False when it was dropped. */
  send(to: NodeId, kind: number, parts: readonly Uint8Array[]): boolean
  /** Resolves when `index` is applied. */
  reach(index: LogIndex, deadline: number): Promise<void>
  /** The circumstances of a read that is served from this member's state at `position`. */
  served(position: ReadPosition): Served
  /** Takes charge of work that goes on after this turn and never rejects. */
  own(work: Promise<void>): void
  onRepaired(repaired: Repaired): void
  /** The database cannot be read in some place: it is to be rebuilt. */
  onUnreadable(error: StoreError): void
  /** An invariant is broken: the member ends. */
  fail(error: unknown): void
}

interface Found {
  readonly value: StoredValue
  readonly bytes: Uint8Array
  readonly from: NodeId
}

interface Asking {
  readonly to: NodeId
  readonly until: number
  /** Undefined when there was no answer in time. */
  readonly resolve: (stored: Stored | undefined) => void
}

/** The key was changed after the state that is read: `index` has the change. */
class ChangedSince {
  readonly index: LogIndex

  constructor(index: LogIndex) {
    this.index = index
  }
}

/** Asks for what is damaged here, and answers others that ask; see the file's comment. */
export class ReadRepair {
  readonly #ports: RepairPorts
  readonly #asking = new Map<number, Asking>()
  #nextId: number
  #repairs = 0
  /** Told once the reads that met it are answered: nobody can be asked any more afterwards. */
  #unreadable: StoreError | undefined
  #isEnded = false

  /** `firstId` is drawn anew at each start, so that a late answer to an earlier life finds nobody. */
  constructor(ports: RepairPorts, firstId: number) {
    this.#ports = ports
    this.#nextId = firstId
  }

  /** Completes a read that met `error`, a QUORATE_CORRUPTION. */
  serve(read: PendingRead, error: unknown): void {
    if (this.#repairs >= REPAIRS_MAX || this.#isEnded) read.fail(error)
    else this.#ports.own(this.#counted(this.#serve(read, error)))
  }

  /** What a scan finds under `key`, whose `stored` bytes in `view` are damaged. @throws {StoreError} */
  async scanned(view: MachineView, key: Uint8Array, stored: Buffer): Promise<StoredValue> {
    const deadline = this.#ports.time.now() + SCAN_MS
    const found = await this.#counted(this.#find(key, view.appliedIndex, deadline))
    if (found instanceof ChangedSince) throw changedSince(key)
    this.#ports.own(this.#putBack(key, stored, found))
    return found.value
  }

  /** What `view` has under `key`, damaged or not. @throws {StoreError} */
  async valueIn(view: MachineView, key: Uint8Array): Promise<StoredValue | undefined> {
    const deadline = this.#ports.time.now() + SCAN_MS
    const value = await this.#counted(this.#value(view, key, deadline))
    if (value instanceof ChangedSince) throw changedSince(key)
    return value
  }

  /** The database cannot be read in some place. */
  noteUnreadable(error: StoreError): void {
    this.#unreadable ??= error
    if (this.#repairs > 0) return
    const noted = this.#unreadable
    this.#unreadable = undefined
    this.#ports.onUnreadable(noted)
  }

  /** A frame of FRAME_NEED or FRAME_STORED. @throws {DecodeError} */
  onFrame(from: NodeId, kind: number, body: Buffer): void {
    if (kind === FRAME_NEED) this.#onNeed(from, body)
    else this.#onStored(from, decodeStored(body))
  }

  tick(now: number): void {
    for (const [id, { until, resolve }] of this.#asking) {
      if (now < until) continue
      this.#asking.delete(id)
      resolve(undefined)
    }
  }

  /** Nobody is asked any more. */
  end(): void {
    this.#isEnded = true
    for (const { resolve } of this.#asking.values()) resolve(undefined)
    this.#asking.clear()
  }

  async #counted<T>(work: Promise<T>): Promise<T> {
    this.#repairs++
    try {
      return await work
    } finally {
      this.#repairs--
      if (this.#unreadable !== undefined) this.noteUnreadable(this.#unreadable)
    }
  }

  async #serve(read: PendingRead, error: unknown): Promise<void> {
    try {
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const changed = await this.#attempt(read)
        if (changed === undefined) return
        await this.#ports.reach(changed.index, read.deadline)
      }
      read.fail(error)
    } catch (failure) {
      read.fail(failure)
    }
  }

  async #attempt(read: PendingRead): Promise<ChangedSince | undefined> {
    const view = this.#ports.view()
    try {
      const values: (StoredValue | undefined)[] = []
      for (const key of read.keys) {
        const value = await this.#value(view, key, read.deadline)
        if (value instanceof ChangedSince) return value
        values.push(value)
      }
      read.complete(
        values,
        this.#ports.served({ index: view.appliedIndex, term: view.appliedTerm }),
      )
      return undefined
    } finally {
      await view.close()
    }
  }

  async #value(
    view: MachineView,
    key: Uint8Array,
    deadline: number,
  ): Promise<StoredValue | ChangedSince | undefined> {
    const bytes = this.#storedIn(view, key)
    if (bytes === undefined) return undefined
    const value = bytes === 'unreadable' ? undefined : intact(key, bytes)
    if (value !== undefined) return value
    const found = await this.#find(key, view.appliedIndex, deadline)
    if (found instanceof ChangedSince) return found
    this.#ports.own(this.#putBack(key, bytes === 'unreadable' ? undefined : bytes, found))
    return found.value
  }

  #storedIn(view: MachineView, key: Uint8Array): Buffer | 'unreadable' | undefined {
    try {
      return view.stored(key)
    } catch (error) {
      if (!isCorruption(error)) throw error
      this.noteUnreadable(error)
      return 'unreadable'
    }
  }

  /** Asks one member after the other, until one has it, all have said that they have not, or it is too late. */
  async #find(key: Uint8Array, atLeast: LogIndex, deadline: number): Promise<Found | ChangedSince> {
    const { time } = this.#ports
    let isWorthAnother = true
    while (isWorthAnother && !this.#isEnded && time.now() < deadline) {
      isWorthAnother = false
      for (const from of this.#ports.sources()) {
        const answer = await this.#ask(from, key, atLeast, deadline)
        const found = answer && judged(key, atLeast, answer, from)
        if (answer === undefined || found === 'behind') isWorthAnother = true
        else if (found !== undefined) return found
      }
      if (isWorthAnother) await new Promise<void>((resolve) => time.after(AGAIN_MS, resolve))
    }
    const message = `${damaged(key)}, and no other member that could be reached has it`
    throw new StoreError('QUORATE_CORRUPTION', message)
  }

  #ask(
    to: NodeId,
    key: Uint8Array,
    atLeast: LogIndex,
    deadline: number,
  ): Promise<Stored | undefined> {
    const id = this.#nextId++ >>> 0
    const need = encodeNeed({ id, atLeast, key: Buffer.from(key) })
    if (this.#isEnded || !this.#ports.send(to, FRAME_NEED, [need])) {
      return Promise.resolve(undefined)
    }
    const until = Math.min(deadline, this.#ports.time.now() + ANSWER_MS)
    return new Promise((resolve) => {
      this.#asking.set(id, { to, until, resolve })
    })
  }

  #onStored(from: NodeId, stored: Stored): void {
    const asking = this.#asking.get(stored.id)
    if (asking?.to !== from) return
    this.#asking.delete(stored.id)
    asking.resolve(stored)
  }

  #onNeed(from: NodeId, body: Buffer): void {
    const { id, atLeast, key } = decodeNeed(body)
    const answer = this.#lookUp(key, atLeast)
    this.#ports.send(from, FRAME_STORED, encodeStored({ id, ...answer }))
  }

  #lookUp(key: Buffer, atLeast: LogIndex): Omit<Stored, 'id'> {
    let view: MachineView
    try {
      if (!this.#ports.isSound()) return { status: 'damaged', index: 0, bytes: NO_BYTES }
      view = this.#ports.view()
    } catch (error) {
      if (!isStateGone(error)) throw error
      return { status: 'behind', index: 0, bytes: NO_BYTES }
    }
    const index = view.appliedIndex
    const bytes = index < atLeast ? undefined : this.#storedIn(view, key)
    this.#ports.own(view.close())
    if (index < atLeast) return { status: 'behind', index, bytes: NO_BYTES }
    if (bytes === undefined) return { status: 'absent', index, bytes: NO_BYTES }
    const isIntact = bytes !== 'unreadable' && intact(key, bytes) !== undefined
    return isIntact
      ? { status: 'found', index, bytes }
      : { status: 'damaged', index, bytes: NO_BYTES }
  }

  async #putBack(key: Uint8Array, before: Buffer | undefined, found: Found): Promise<void> {
    try {
      if (!(await this.#ports.heal(key, before, found.bytes))) return
    } catch (error) {
      if (error instanceof InvariantError) this.#ports.fail(error)
      if (isCorruption(error)) this.noteUnreadable(error)
      // Else another state has come, or the database refuses to be written, which the next apply deals with. What is
      // not put back is had from others again by the next read.
      return
    }
    this.#ports.onRepaired({ key: Buffer.from(key), from: found.from })
  }
}

/** What an answer is worth to a read at the state of `atLeast`. */
function judged(
  key: Uint8Array,
  atLeast: LogIndex,
  { status, index, bytes }: Stored,
  from: NodeId,
): Found | ChangedSince | 'behind' | undefined {
  switch (status) {
    case 'found': {
      const value = intact(key, Buffer.from(bytes))
      if (value === undefined || index < atLeast) return undefined
      return value.revision <= atLeast ? { value, bytes, from } : new ChangedSince(index)
    }
    case 'absent':
      return index < atLeast ? undefined : new ChangedSince(index)
    case 'behind':
      return 'behind'
    case 'damaged':
      return undefined
  }
}

/** The value, or undefined when the bytes fail their checksum. @throws {StoreError} QUORATE_FORMAT */
function intact(key: Uint8Array, bytes: Buffer): StoredValue | undefined {
  try {
    return readStoredValue(key, bytes)
  } catch (error) {
    if (isCorruption(error)) return undefined
    throw error
  }
}

/** Whether `error` says that stored bytes are damaged. */
export function isCorruption(error: unknown): error is StoreError {
  return error instanceof StoreError && error.code === 'QUORATE_CORRUPTION'
}

/** Whether the state was closed, or is not to be had for the moment. */
function isStateGone(error: unknown): boolean {
  if (!(error instanceof StoreError)) return false
  return error.code === 'QUORATE_NOT_READY' || error.code === 'QUORATE_STOPPED'
}

function changedSince(key: Uint8Array): StoreError {
  const message = `${damaged(key)}, and it was changed since this state: begin anew`
  return new StoreError('QUORATE_CORRUPTION', message, { retryable: true })
}

function damaged(key: Uint8Array): string {
  return `the value under key 0x${Buffer.from(key.subarray(0, 64)).toString('hex')} is damaged here`
}
