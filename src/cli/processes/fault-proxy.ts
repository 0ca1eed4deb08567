/**
 * Stands between members that are processes of this machine, and does to their connections what networks do: holds
 * back what goes one way or both, delays it, breaks connections.
 *
 * Each member has one proxy in front of its port; who dials is read from the hello that begins every connection. A
 * cut direction loses nothing by itself: its bytes wait until it is healed, as they do in TCP.
 *
 * Invariants: the bytes of one direction leave in the order in which they came; a direction holds at most
 * HELD_BYTES_MAX and a chunk, then its sender waits.
 */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { FrameReader } from '../../wire/frame.js'
import { decodeHello, FRAME_HELLO, HANDSHAKE_BYTES_MAX } from '../../wire/handshake.js'

const HELD_BYTES_MAX = 4 * 1_048_576

/** Which directions are cut and which are slow, for all proxies of a cluster. */
export class FaultPlan {
  readonly #cuts = new Set<string>()
  readonly #delays = new Map<string, number>()
  #delayMs = 0

  /** Nothing passes from one member to another; the other direction is not touched. */
  cut(from: string, to: string): void {
    this.#cuts.add(nameOf(from, to))
  }

  /** Ends the cut of one direction. */
  mend(from: string, to: string): void {
    this.#cuts.delete(nameOf(from, to))
  }

  /** What goes from one member to another takes so much longer, whatever `slowAll` says. */
  slow(from: string, to: string, ms: number): void {
    this.#delays.set(nameOf(from, to), ms)
  }

  /** Everything takes so much longer in each direction: half of what is added to a round trip. */
  slowAll(ms: number): void {
    this.#delayMs = ms
  }

  /** Ends all cuts, and what was slow by itself. */
  healAll(): void {
    this.#cuts.clear()
    this.#delays.clear()
  }

  isCut(from: string, to: string): boolean {
    return this.#cuts.has(nameOf(from, to))
  }

  delayMs(from: string, to: string): number {
    return this.#delays.get(nameOf(from, to)) ?? this.#delayMs
  }
}

/** A proxied connection. */
interface Passage {
  /** The member that dialed; empty for a client, and until it has said who it is. */
  from: string
  readonly inward: Direction
  readonly outward: Direction
  /** Ends both sides. */
  end(): void
}

/** The proxy in front of one member. */
export class FaultProxy {
  readonly #member: string
  readonly #port: number
  readonly #plan: FaultPlan
  readonly #server: Server
  readonly #passages = new Set<Passage>()

  /** @param port where the member really listens */
  constructor(member: string, port: number, plan: FaultPlan) {
    this.#member = member
    this.#port = port
    this.#plan = plan
    this.#server = createServer({ noDelay: true }, (dialer) => this.#accept(dialer))
  }

  /** Listens on any free port of the loopback; resolves with its number. */
  listen(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(0, '127.0.0.1', () => {
        const address = this.#server.address()
        resolve(typeof address === 'object' && address !== null ? address.port : 0)
      })
    })
  }

  /** Lets through, holds back and delays what the plan says now. */
  apply(): void {
    for (const passage of this.#passages) this.#applyTo(passage)
  }

  /** Breaks the connections that `from` has made to this member, with what is under way. */
  break(from: string): void {
    for (const passage of this.#passages) if (passage.from === from) passage.end()
  }

  close(): Promise<void> {
    for (const passage of this.#passages) passage.end()
    return new Promise((resolve) => this.#server.close(() => resolve()))
  }

  #applyTo({ from, inward, outward }: Passage): void {
    const [plan, to] = [this.#plan, this.#member]
    inward.obey(plan.isCut(from, to), plan.delayMs(from, to))
    outward.obey(plan.isCut(to, from), plan.delayMs(to, from))
  }

  #accept(dialer: Socket): void {
    const target = connect({ port: this.#port, host: '127.0.0.1', noDelay: true })
    const passage: Passage = {
      from: '',
      inward: new Direction(dialer, target),
      outward: new Direction(target, dialer),
      end: () => {
        dialer.destroy()
        target.destroy()
      },
    }
    this.#passages.add(passage)
    this.#applyTo(passage)
    for (const socket of [dialer, target]) {
      // Whatever ends one side ends the other; the error is the member's to notice.
      socket.on('error', passage.end)
      socket.on('close', () => {
        this.#passages.delete(passage)
        passage.end()
      })
    }
    introduce(dialer, (from) => {
      passage.from = from
      this.#applyTo(passage)
    })
  }
}

/** What came and is not yet to leave. */
interface HeldChunk {
  readonly chunk: Buffer
  readonly dueAtMs: number
}

/** The bytes that go one way. */
class Direction {
  readonly #source: Socket
  readonly #sink: Socket
  readonly #held: HeldChunk[] = []
  #heldBytes = 0
  #isCut = false
  #delayMs = 0
  #timer: NodeJS.Timeout | undefined

  constructor(source: Socket, sink: Socket) {
    this.#source = source
    this.#sink = sink
    source.on('data', (chunk) => this.#take(chunk))
    source.on('close', () => clearTimeout(this.#timer))
    sink.on('drain', () => this.#pass())
  }

  obey(isCut: boolean, delayMs: number): void {
    this.#isCut = isCut
    this.#delayMs = delayMs
    this.#pass()
  }

  #take(chunk: Buffer): void {
    this.#held.push({ chunk, dueAtMs: performance.now() + this.#delayMs })
    this.#heldBytes += chunk.length
    this.#pass()
  }

  /** Passes on what is due, and reads on only while that may leave. */
  #pass(): void {
    clearTimeout(this.#timer)
    const now = performance.now()
    while (!this.#isStuck && (this.#held[0]?.dueAtMs ?? Number.POSITIVE_INFINITY) <= now) {
      const { chunk } = this.#held.shift()!
      this.#heldBytes -= chunk.length
      this.#sink.write(chunk)
    }
    const [next] = this.#held
    if (next !== undefined && !this.#isStuck) {
      this.#timer = setTimeout(() => this.#pass(), next.dueAtMs - now)
    }
    if (this.#isStuck || this.#heldBytes > HELD_BYTES_MAX) this.#source.pause()
    else this.#source.resume()
  }

  get #isStuck(): boolean {
    return this.#isCut || this.#sink.writableNeedDrain
  }
}

/** Reads along until the dialer has said who it is. What does not read like that is passed on all the same. */
function introduce(dialer: Socket, onName: (name: string) => void): void {
  const reader = new FrameReader(HANDSHAKE_BYTES_MAX, (kind, body) => {
    reader.stop()
    dialer.off('data', read)
    if (kind === FRAME_HELLO) onName(decodeHello(body).memberId)
  })
  const read = (chunk: Buffer): void => {
    try {
      reader.push(chunk)
    } catch {
      // Not a member: nobody to cut off.
      dialer.off('data', read)
    }
  }
  dialer.on('data', read)
}

function nameOf(from: string, to: string): string {
  return JSON.stringify([from, to])
}
