/**
 * The clock by which things expire: that of the leader alone. It proposes to let go what is due, and every member lets
 * it go where the log says so.
 *
 * Invariants:
 *   1. only a leader that has applied an entry of its own term proposes anything, and only while it leads
 *   2. whatever it finds when it begins to lead has its full time from then on: another leader may prolong a time, and
 *      never shortens one. So does a state that was replaced, and a loop that stood still: a step of the clock counts
 *      at most STEP_MS, because nobody could be heard meanwhile
 *   3. what is proposed says which state of the thing was due; whatever was written or kept alive before the proposal
 *      stands in the log wins (machine/interpreter.ts)
 *
 * Bounded: one proposal in PACE_MS, with ITEMS_MAX items; in memory a small record for each key with a time to live and
 * each lease (due-times.ts). What a lease lists without need, because its keys were written without it, is looked for
 * all the time, a few at a time; and so are keys that are listed as large values and are none any more.
 */
import { StoreError } from '../base/errors.js'
import type { Time } from '../env/time.js'
import type { ExpiryNote } from '../machine/expiry-note.js'
import type { MachineView } from '../machine/machine-view.js'
import type { AppliedEntry, StateMachine } from '../machine/state-machine.js'
import type { Role, Term } from '../raft/types.js'
import type { Attachment, DueKey, DueLease } from '../wire/command.js'
import { OWN_CLIENT, RequestWriter } from '../wire/request.js'
import { DueTimes } from './due-times.js'

const PACE_MS = 100
/** What is not settled after so long is proposed again. */
const AGAIN_MS = 3000
const ITEMS_MAX = 1000
const BYTES_MAX = 262_144
const STEP_MS = 500
/** From the end of one look through all attachments, or through all large values, to the next. */
const SWEEP_EVERY_MS = 60_000
/** So many large values are looked at together. */
const CODED_AT_ONCE = 64

/** What it asks of the member. */
export interface ExpiryPorts {
  /** Proposes a request of the leader itself, which may be lost. */
  propose(request: Buffer): void
  /** Whether the state here is in use. */
  isSound(): boolean
  /** The state turned out damaged. */
  damaged(error: StoreError): void
  /** Takes charge of work that goes on after this turn; it never rejects. */
  own(work: Promise<void>): void
  /** Something failed that cannot be lived with. */
  fail(error: unknown): void
}

/** How far a look through a list is that never ends. */
interface Sweep {
  /** Undefined: it begins anew. */
  from: Uint8Array | undefined
  /** Not before this. */
  at: number
}

/** See the file's comment. */
export class Expiry {
  readonly #time: Time
  readonly #machine: StateMachine
  readonly #ports: ExpiryPorts
  readonly #due = new DueTimes()
  /** `waiting`: it leads, and does not know yet what there is. */
  #phase: 'off' | 'waiting' | 'loading' | 'on' = 'off'
  #term: Term = 0
  /** What begins when a new round of leading, or of loading, does; work of an older one counts no more. */
  #round = 0
  /** The time that counts: of leaders it goes on, only slower. */
  #elapsed = 0
  #lastAt: number
  #proposeAt = 0
  #attachments: Sweep = { from: undefined, at: 0 }
  #coded: Sweep = { from: undefined, at: 0 }
  #isSweeping = false
  #detached: readonly Attachment[] = []
  /** Keys that are large values no more. */
  #stale: readonly Uint8Array[] = []

  constructor(time: Time, machine: StateMachine, ports: ExpiryPorts) {
    this.#time = time
    this.#machine = machine
    this.#ports = ports
    this.#lastAt = time.now()
  }

  /** Things that will be due; 0 unless this member leads. */
  get size(): number {
    return this.#due.size
  }

  onSoft(role: Role, term: Term): void {
    if (role === 'leader' && this.#phase !== 'off' && term === this.#term) return
    this.#term = term
    this.#begin(role === 'leader' ? 'waiting' : 'off')
  }

  /** The state is another one, or has come so far without telling of each entry. */
  onReplaced(): void {
    if (this.#phase !== 'off') this.#begin('waiting')
  }

  onApplied(applied: readonly AppliedEntry[]): void {
    if (this.#phase === 'off') return
    for (const { expiry } of applied) {
      if (expiry.length === 0) continue
      this.#advance()
      for (const note of expiry) this.#take(note)
    }
  }

  /** Called with every tick of the member. */
  tick(): void {
    this.#advance()
    if (this.#phase === 'off' || !this.#ports.isSound()) return
    if (this.#phase === 'waiting') {
      if (this.#machine.appliedTerm === this.#term) this.#ports.own(this.#load(this.#round))
      return
    }
    if (this.#phase !== 'on' || this.#elapsed < this.#proposeAt) return
    this.#proposeAt = this.#elapsed + PACE_MS
    this.#propose()
    if (this.#isSweeping) return
    const areLeasesDue = this.#due.size > 0 && this.#elapsed >= this.#attachments.at
    if (areLeasesDue) this.#ports.own(this.#sweep(this.#round, this.#sweepAttachments))
    else if (this.#elapsed >= this.#coded.at)
      this.#ports.own(this.#sweep(this.#round, this.#sweepCoded))
  }

  #begin(phase: 'off' | 'waiting'): void {
    this.#phase = phase
    this.#round++
    this.#due.clear()
    this.#detached = []
    this.#stale = []
    this.#attachments.from = undefined
    this.#coded.from = undefined
  }

  #advance(): void {
    const now = this.#time.now()
    this.#elapsed += Math.min(now - this.#lastAt, STEP_MS)
    this.#lastAt = now
  }

  #take(note: ExpiryNote): void {
    switch (note.type) {
      case 'key':
        this.#due.set(nameOfKey(note.key), note.revision, this.#elapsed + note.ttlMs)
        return
      case 'lease': {
        const time = note.isEnding ? this.#elapsed : this.#elapsed + note.ttlMs
        this.#due.set(nameOfLease(note.lease), note.generation, time)
        return
      }
      case 'settledKey':
        this.#due.settle(nameOfKey(note.key), note.revision)
        return
      case 'settledLease':
        this.#due.settle(nameOfLease(note.lease), Number.POSITIVE_INFINITY)
    }
  }

  /** Takes in everything that was there before; what is applied meanwhile is newer and counts. */
  async #load(round: number): Promise<void> {
    this.#phase = 'loading'
    const isRead = await this.#reading(round, async (view) => {
      for await (const notes of view.expiring()) {
        if (round !== this.#round) return
        this.#advance()
        for (const note of notes) this.#take(note)
      }
    })
    if (round !== this.#round) return
    if (!isRead) {
      this.#begin('waiting')
      return
    }
    this.#phase = 'on'
    this.#attachments.at = this.#elapsed + SWEEP_EVERY_MS
    this.#coded.at = this.#elapsed + SWEEP_EVERY_MS
  }

  async #sweep(round: number, look: (view: MachineView, round: number) => Promise<void>) {
    this.#isSweeping = true
    await this.#reading(round, (view) => look(view, round))
    this.#isSweeping = false
  }

  /** Looks at some of what is attached to leases. */
  readonly #sweepAttachments = async (view: MachineView, round: number): Promise<void> => {
    const { detached, next } = await view.sweep(this.#attachments.from)
    if (round !== this.#round) return
    this.#detached = detached
    this.#goOn(this.#attachments, next)
  }

  /** Looks at some of what is listed as large values. */
  readonly #sweepCoded = async (view: MachineView, round: number): Promise<void> => {
    const { stale, next } = await view.codedKeys(this.#coded.from, CODED_AT_ONCE)
    if (round !== this.#round) return
    this.#stale = stale
    this.#goOn(this.#coded, next)
  }

  #goOn(sweep: Sweep, next: Uint8Array | undefined): void {
    sweep.from = next
    if (next === undefined) sweep.at = this.#elapsed + SWEEP_EVERY_MS
  }

  /** Whether `read` could read; it never rejects. */
  async #reading(round: number, read: (view: MachineView) => Promise<void>): Promise<boolean> {
    try {
      const view = this.#machine.view()
      try {
        await read(view)
      } finally {
        await view.close()
      }
      return true
    } catch (error) {
      if (!(error instanceof StoreError)) this.#ports.fail(error)
      // Any other error of the state: it is being opened again, or was closed; the next tick tries it once more.
      else if (error.code === 'QUORATE_CORRUPTION' && round === this.#round) {
        this.#ports.damaged(error)
      }
      return false
    }
  }

  #propose(): void {
    const keys: DueKey[] = []
    const leases: DueLease[] = []
    let bytes = 0
    while (keys.length + leases.length < ITEMS_MAX && bytes < BYTES_MAX) {
      const due = this.#due.next(this.#elapsed, this.#elapsed + AGAIN_MS)
      if (due === undefined) break
      const { name, version } = due
      const id = Buffer.from(name.slice(1), 'latin1')
      if (name.startsWith(KEY)) keys.push({ key: id, revision: version })
      else leases.push({ lease: id, generation: version })
      bytes += id.length
    }
    const [detached, stale] = [this.#detached, this.#stale]
    this.#detached = []
    this.#stale = []
    const isAnyDue = keys.length + leases.length + detached.length > 0
    if (!isAnyDue && stale.length === 0) return
    const writer = new RequestWriter(bytes)
    if (isAnyDue) writer.add({ type: 'expire', keys, leases, detached })
    if (stale.length > 0) writer.add({ type: 'forget', keys: stale })
    this.#ports.propose(writer.finish(OWN_CLIENT, 1, 1, 0))
  }
}

const KEY = 'k'
const LEASE = 'l'

function nameOfKey(key: Uint8Array): string {
  return KEY + latin1(key)
}

function nameOfLease(lease: Uint8Array): string {
  return LEASE + latin1(lease)
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
}
