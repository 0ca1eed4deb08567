/**
 * Stands between members that are processes of this machine, and does to their connections what networks do.
 *
 * Each member has one proxy in front of its port; who dials is read from the hello that begins every connection. A
 * cut direction loses nothing by itself: its bytes wait until it is healed, as they do in TCP.
 */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { FrameReader } from '../../wire/frame.js'
import { decodeHello, FRAME_HELLO, HANDSHAKE_BYTES_MAX } from '../../wire/handshake.js'

/** A proxied connection, once it is known who dialed. */
interface Passage {
  readonly from: string
  readonly dialer: Socket
  readonly target: Socket
}

/** Which directions are cut, for all proxies of a cluster. */
export class FaultPlan {
  readonly #cuts = new Set<string>()

  /** Nothing passes from one member to another; the other direction is not touched. */
  cut(from: string, to: string): void {
    this.#cuts.add(`${from}>${to}`)
  }

  healAll(): void {
    this.#cuts.clear()
  }

  isCut(from: string, to: string): boolean {
    return this.#cuts.has(`${from}>${to}`)
  }
}

/** The proxy in front of one member. */
export class FaultProxy {
  readonly #member: string
  readonly #port: number
  readonly #plan: FaultPlan
  readonly #server: Server
  readonly #passages = new Set<Passage>()
  readonly #sockets = new Set<Socket>()

  /** @param port where the member really listens */
  constructor(member: string, port: number, plan: FaultPlan) {
    this.#member = member
    this.#port = port
    this.#plan = plan
    this.#server = createServer((dialer) => this.#accept(dialer))
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

  /** Lets through and holds back what the plan says now. */
  apply(): void {
    for (const { from, dialer, target } of this.#passages) {
      hold(dialer, this.#plan.isCut(from, this.#member))
      hold(target, this.#plan.isCut(this.#member, from))
    }
  }

  /** Breaks the connections that `from` has made to this member, with what is under way. */
  break(from: string): void {
    for (const passage of this.#passages) if (passage.from === from) end(passage)
  }

  close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    return new Promise((resolve) => this.#server.close(() => resolve()))
  }

  #accept(dialer: Socket): void {
    const target = connect(this.#port, '127.0.0.1')
    for (const [socket, other] of [
      [dialer, target],
      [target, dialer],
    ] as const) {
      this.#sockets.add(socket)
      // Whatever ends one side ends the other; the error is the member's to notice.
      socket.on('error', () => other.destroy())
      socket.on('close', () => {
        this.#sockets.delete(socket)
        other.destroy()
      })
    }
    this.#introduce(dialer, (from) => {
      const passage = { from, dialer, target }
      this.#passages.add(passage)
      dialer.on('close', () => this.#passages.delete(passage))
      this.apply()
    })
    dialer.on('data', (chunk) => target.write(chunk))
    target.on('data', (chunk) => dialer.write(chunk))
  }

  /** Reads along until the dialer has said who it is. What does not read like that is passed on all the same. */
  #introduce(dialer: Socket, onName: (name: string) => void): void {
    const reader = new FrameReader(HANDSHAKE_BYTES_MAX, (kind, body) => {
      if (kind === FRAME_HELLO) onName(decodeHello(body).memberId)
      reader.stop()
      dialer.off('data', read)
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
}

function hold(socket: Socket, isHeld: boolean): void {
  if (isHeld) socket.pause()
  else socket.resume()
}

function end({ dialer, target }: Passage): void {
  dialer.destroy()
  target.destroy()
}
