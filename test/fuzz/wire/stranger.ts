/** Somebody who speaks to a member byte by byte: says what it likes, hears what comes back, and may prove itself. */
import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { proofOf, type SessionTags, sessionTags } from '../../../src/transport/session-key.js'
import {
  encodePreamble,
  FRAME_HEADER_BYTES,
  FrameReader,
  plainTag,
} from '../../../src/wire/frame.js'
import {
  encodeHello,
  FRAME_CHALLENGE,
  FRAME_HELLO,
  FRAME_PROOF,
  FRAME_WELCOME,
  type Hello,
  NO_INCARNATION,
  NONCE_BYTES,
} from '../../../src/wire/handshake.js'

/** Where a stranger goes and what it knows. */
export interface Target {
  readonly port: number
  readonly secret: Buffer | undefined
  readonly clusterId: Buffer
  /** The member's number in the cluster. */
  readonly node: number
  /** The name, number and incarnation of a learner as whom a stranger may prove itself. */
  readonly learner: { readonly id: string; readonly node: number; readonly incarnation: string }
}

const CONNECT_MS = 5_000
const HEARD_MAX = 64
const FRAME_BYTES_MAX = 8 * 1_048_576

/** One frame as bytes, with a plain or a keyed tag. */
export function frameOf(kind: number, body: Uint8Array, tags?: SessionTags): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + body.length)
  frame.writeUInt32LE(body.length, 8)
  frame.writeUInt32LE(kind, 12)
  frame.set(body, FRAME_HEADER_BYTES)
  const tag = tags?.send ?? plainTag
  frame.writeBigUInt64LE(tag([frame.subarray(8)]), 0)
  return frame
}

/** A hello as a client. */
export function clientHello(): Hello {
  return {
    role: 'client',
    clusterId: Buffer.alloc(8),
    from: 0,
    to: 0,
    memberId: '',
    nonce: randomBytes(NONCE_BYTES),
    incarnation: NO_INCARNATION,
    priority: 0,
    address: '',
  }
}

/** A hello as the learner of `target`. */
export function learnerHello({ clusterId, node, learner }: Target): Hello {
  return {
    ...clientHello(),
    role: 'member',
    clusterId,
    from: learner.node,
    to: node,
    memberId: learner.id,
    incarnation: learner.incarnation,
  }
}

/** One connection of a stranger. */
export class Stranger {
  readonly #socket: Socket
  readonly #reader: FrameReader
  readonly #heard: { readonly kind: number; readonly body: Buffer }[] = []
  #isClosed = false
  #onChange: (() => void) | undefined

  /** Resolves when connected, or when that failed: then it is closed. */
  static async connect({ port }: Pick<Target, 'port'>): Promise<Stranger> {
    const stranger = new Stranger(connect({ port, host: '127.0.0.1', noDelay: true }))
    await stranger.#until(() => stranger.#isClosed || !stranger.#socket.connecting, CONNECT_MS)
    return stranger
  }

  private constructor(socket: Socket) {
    this.#socket = socket
    this.#reader = new FrameReader(FRAME_BYTES_MAX, (kind, body) => {
      if (this.#heard.length < HEARD_MAX) this.#heard.push({ kind, body: Buffer.from(body) })
    })
    socket.on('connect', () => this.#changed())
    socket.on('drain', () => this.#changed())
    socket.on('data', (chunk) => {
      try {
        this.#reader.push(chunk)
      } catch {
        // Answers under a tag of their own are not read, only counted as heard.
        this.#reader.stop()
      }
      this.#changed()
    })
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      this.#isClosed = true
      this.#changed()
    })
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Resolves when it is on its way, or the connection is closed. */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.#isClosed || this.#socket.write(bytes)) return
    await this.#until(() => this.#isClosed || !this.#socket.writableNeedDrain, CONNECT_MS)
  }

  /** Reads nothing any more. */
  deafen(): void {
    this.#socket.pause()
  }

  /** Waits until the other side closes the connection, at most so long. */
  closed(withinMs: number): Promise<boolean> {
    return this.#until(() => this.#isClosed, withinMs)
  }

  /** Goes through the handshake; undefined when it was turned away. */
  async prove(hello: Hello, secret: Uint8Array | undefined): Promise<SessionTags | undefined> {
    const body = encodeHello(hello)
    await this.write(Buffer.concat([encodePreamble(), frameOf(FRAME_HELLO, body)]))
    const challenge = await this.#frame(FRAME_CHALLENGE)
    if (challenge === undefined) return undefined
    const transcript = { hello: body, challenge }
    await this.write(frameOf(FRAME_PROOF, proofOf('dialer', secret, transcript)))
    if ((await this.#frame(FRAME_WELCOME)) === undefined) return undefined
    const tags = sessionTags('dialer', secret, transcript)
    this.#reader.use(tags.receive, FRAME_BYTES_MAX)
    return tags
  }

  end(): void {
    this.#socket.destroy()
  }

  async #frame(kind: number): Promise<Buffer | undefined> {
    await this.#until(() => this.#isClosed || this.#heard.length > 0, CONNECT_MS)
    const frame = this.#heard.shift()
    return frame?.kind === kind ? frame.body : undefined
  }

  /** Whether `condition` came to hold in time. One waits at a time. */
  #until(condition: () => boolean, withinMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const end = (result: boolean): void => {
        clearTimeout(timer)
        this.#onChange = undefined
        resolve(result)
      }
      const timer = setTimeout(() => end(false), withinMs)
      this.#onChange = () => {
        if (condition()) end(true)
      }
      this.#onChange()
    })
  }

  #changed(): void {
    this.#onChange?.()
  }
}
