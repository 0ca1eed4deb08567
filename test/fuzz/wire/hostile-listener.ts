/** A hostile side that is dialed: where a member expects its learner, it meets somebody who answers anything. */
import { randomBytes } from 'node:crypto'
import { createServer, type Server, type Socket } from 'node:net'
import { encodePreamble } from '../../../src/wire/frame.js'
import {
  encodeChallenge,
  encodeRefusal,
  FRAME_CHALLENGE,
  FRAME_REFUSED,
  FRAME_WELCOME,
} from '../../../src/wire/handshake.js'
import type { Draws } from '../draws.js'
import { mutated } from './specimen.js'
import { frameOf, type Target } from './stranger.js'

const HELD_MS = 300

/** See the file's comment. */
export class HostileListener {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #draws: Draws
  #identity: Pick<Target, 'clusterId' | 'learner'> | undefined
  #dials = 0

  constructor(draws: Draws) {
    this.#draws = draws
    this.#server = createServer((socket) => this.#answer(socket))
  }

  /** Times that it was dialed. */
  get dials(): number {
    return this.#dials
  }

  /** From now on its challenges name whom the member expects. */
  pretendToBe(identity: Pick<Target, 'clusterId' | 'learner'>): void {
    this.#identity = identity
  }

  listen(port: number): Promise<void> {
    return new Promise((resolve) => this.#server.listen(port, '127.0.0.1', resolve))
  }

  close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    return new Promise((resolve) => this.#server.close(() => resolve()))
  }

  #answer(socket: Socket): void {
    this.#dials++
    this.#sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.#sockets.delete(socket))
    socket.resume()
    for (const bytes of this.#words()) socket.write(bytes)
    const timer = setTimeout(() => socket.destroy(), this.#draws.below(HELD_MS))
    socket.on('close', () => clearTimeout(timer))
  }

  #words(): Buffer[] {
    const draws = this.#draws
    const preamble = Buffer.from(encodePreamble())
    const challenge = this.#challenge()
    switch (draws.below(7)) {
      case 0:
        return []
      case 1:
        return [draws.bytes(100)]
      case 2:
        return [preamble, frameOf(FRAME_REFUSED, encodeRefusal(REFUSAL))]
      case 3: {
        const { body } = mutated({ kind: FRAME_CHALLENGE, body: challenge, fixed: [0, 0] }, draws)
        return [preamble, frameOf(FRAME_CHALLENGE, body)]
      }
      case 4:
        return [preamble, frameOf(FRAME_WELCOME, Buffer.alloc(0))]
      case 5:
        return [
          preamble,
          frameOf(FRAME_CHALLENGE, challenge),
          frameOf(FRAME_WELCOME, draws.bytes(32)),
        ]
      default:
        return [
          ...[
            preamble,
            frameOf(FRAME_CHALLENGE, challenge),
            frameOf(FRAME_WELCOME, Buffer.alloc(0)),
          ],
          frameOf(draws.below(256), draws.bytes(draws.below(200))),
        ]
    }
  }

  #challenge(): Buffer {
    const { clusterId = randomBytes(8), learner } = this.#identity ?? {}
    return encodeChallenge({
      clusterId,
      node: learner?.node ?? 2,
      memberId: learner?.id ?? 'b',
      nonce: randomBytes(16),
      incarnation: learner?.incarnation ?? '0000000000000001',
    })
  }
}

const REFUSAL = { code: 'QUORATE_OVERLOADED', message: 'not today' } as const
