/**
 * Simulated connections: two sides, and a pipe in each direction.
 *
 * Invariants: chunks arrive in the order they were pushed, the end after all of them; a side hears nothing
 * after `close`; every call to an owner comes from an event of the world, through its process's gate.
 */
import type { Connection, ConnectionHandlers } from '../env/network.js'
import type { SimTime } from './sim-time.js'
import type { SimWorld } from './world.js'

/** Bytes that the operating system takes without a word; they count as taken until they have arrived. */
const SOCKET_BUFFER_BYTES = 65_536
/** With more than this queued beyond the socket's buffer, `write` returns false. */
const HIGH_WATER_BYTES = 16_384

/** What a pipe asks the network about its link. */
export interface SimLink {
  /** When bytes may pass: in the past, in the future, or not before somebody calls `Pipe.retry` (Infinity). */
  openAt(): number
  /** Draws how long the next chunk travels. */
  delayMs(): number
  /** Draws where a chunk of `bytes` is split; `bytes` when it is not. */
  splitAt(bytes: number): number
  /** Draws whether what is under way when a connection ends still arrives. */
  keepsTail(): boolean
}

/** A chunk, or the end of a direction. */
type Arrival = Uint8Array | 'end'

/** One direction of a connection: chunks in order, then perhaps the end. */
export class Pipe {
  readonly #world: SimWorld
  readonly #link: SimLink
  readonly #arrive: (arrival: Arrival) => void
  readonly #queue: { readonly arrival: Arrival; readonly dueAt: number }[] = []
  #queuedBytes = 0
  #isScheduled = false

  constructor(world: SimWorld, link: SimLink, arrive: (arrival: Arrival) => void) {
    this.#world = world
    this.#link = link
    this.#arrive = arrive
  }

  /** Bytes under way. */
  get queuedBytes(): number {
    return this.#queuedBytes
  }

  get isEmpty(): boolean {
    return this.#queue.length === 0
  }

  write(bytes: Uint8Array): void {
    const split = this.#link.splitAt(bytes.length)
    this.#push(bytes.subarray(0, split))
    if (split < bytes.length) this.#push(bytes.subarray(split))
  }

  /** Nothing comes after what is under way, and perhaps not even that arrives. */
  end(): void {
    if (!this.#link.keepsTail()) this.clear()
    this.#push('end')
  }

  /** Nothing of what is under way arrives. */
  clear(): void {
    this.#queue.length = 0
    this.#queuedBytes = 0
  }

  /** The link may have been opened. */
  retry(): void {
    const head = this.#queue[0]
    const openAt = this.#link.openAt()
    if (head === undefined || this.#isScheduled || openAt === Number.POSITIVE_INFINITY) return
    this.#isScheduled = true
    this.#world.schedule(Math.max(head.dueAt, openAt) - this.#world.now, () => this.#moveOne())
  }

  #push(arrival: Arrival): void {
    this.#queue.push({ arrival, dueAt: this.#world.now + this.#link.delayMs() })
    if (arrival !== 'end') this.#queuedBytes += arrival.length
    this.retry()
  }

  #moveOne(): void {
    this.#isScheduled = false
    const head = this.#queue[0]
    const isDue = head !== undefined && head.dueAt <= this.#world.now
    if (isDue && this.#link.openAt() <= this.#world.now) {
      this.#queue.shift()
      if (head.arrival !== 'end') this.#queuedBytes -= head.arrival.length
      this.#arrive(head.arrival)
    }
    this.retry()
  }
}

/** One side of a connection. */
export class SimConnection implements Connection {
  readonly host: string
  readonly remote: string
  readonly peerNames: undefined
  readonly out: Pipe
  readonly #world: SimWorld
  readonly #time: SimTime
  #peer: SimConnection | undefined
  #handlers: ConnectionHandlers | undefined
  /** What came before there were handlers. */
  #backlog: ((handlers: ConnectionHandlers) => void)[] = []
  #state: 'open' | 'closed' | 'vanished' = 'open'
  #wantsDrain = false

  constructor(world: SimWorld, link: SimLink, host: string, time: SimTime, remote: string) {
    this.#world = world
    this.#time = time
    this.host = host
    this.remote = remote
    this.out = new Pipe(world, link, (arrival) => {
      this.#peer!.#receive(arrival)
      this.#drain()
    })
  }

  /** Makes two sides one connection. */
  static join(a: SimConnection, b: SimConnection): void {
    a.#peer = b
    b.#peer = a
  }

  get peerHost(): string {
    return this.#peer!.host
  }

  get isOpen(): boolean {
    return this.#state === 'open'
  }

  /** Nobody will hear of this side any more. */
  get isSettled(): boolean {
    const mayAnswer = this.#state === 'vanished' && this.#peer!.isOpen
    return !this.isOpen && !mayAnswer && this.out.isEmpty
  }

  get queuedBytes(): number {
    return Math.max(0, this.out.queuedBytes - SOCKET_BUFFER_BYTES)
  }

  setHandlers(handlers: ConnectionHandlers): void {
    this.#later(() => {
      this.#handlers = handlers
      const backlog = this.#backlog
      this.#backlog = []
      for (const call of backlog) call(handlers)
    })
  }

  write(parts: readonly Uint8Array[]): boolean {
    if (this.#state !== 'open') return false
    // Copied, as a network does: whoever shares memory by accident must not get away with it here.
    this.out.write(Buffer.concat(parts))
    this.#wantsDrain = this.queuedBytes > HIGH_WATER_BYTES
    return !this.#wantsDrain
  }

  destroy(): void {
    if (this.#state !== 'open') return
    this.out.end()
    this.#close(undefined)
  }

  /** The connection dies, with what was under way from here. */
  reset(): void {
    if (this.#state !== 'open') return
    this.out.clear()
    this.#close(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }))
  }

  /** The machine of this side loses its power: the other side hears nothing, not even an end. */
  vanish(): void {
    this.#state = 'vanished'
    this.out.clear()
  }

  #close(error: Error | undefined): void {
    this.#state = 'closed'
    this.#backlog = []
    this.#later(() => this.#tell((handlers) => handlers.close(error)))
  }

  #receive(arrival: Arrival): void {
    // Power is back, and nobody here knows of this connection: the answer is a reset.
    if (this.#state === 'vanished' && arrival !== 'end') this.out.end()
    if (this.#state !== 'open') return
    this.#time.deliver(() => {
      if (this.#state !== 'open') return
      if (arrival !== 'end') {
        this.#tell((handlers) => handlers.data(arrival))
        return
      }
      this.#state = 'closed'
      this.out.clear()
      this.#tell((handlers) => handlers.close(undefined))
    })
  }

  #drain(): void {
    if (!this.#wantsDrain || this.queuedBytes > 0) return
    this.#wantsDrain = false
    this.#time.deliver(() => {
      if (this.#state === 'open') this.#handlers?.drain()
    })
  }

  #tell(call: (handlers: ConnectionHandlers) => void): void {
    if (this.#handlers === undefined) this.#backlog.push(call)
    else call(this.#handlers)
  }

  #later(callback: () => void): void {
    this.#world.schedule(0, () => this.#time.deliver(callback))
  }
}
