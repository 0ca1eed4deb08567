/**
 * One connection that speaks frames: it gathers the frames of a turn into one write, cuts frames out of what
 * comes in, notices silence, and ends at the first thing that is wrong.
 *
 * Invariants: `closed` is the last call and comes once; after `close` no frame comes any more; the reason of
 * the end is the first one given.
 */
import { asBuffer } from '../base/bytes.js'
import type { Connection } from '../env/network.js'
import type { Time, TimerHandle } from '../env/time.js'
import { DecodeError } from '../wire/command.js'
import { encodePreamble, FrameError, FrameReader, FrameWriter } from '../wire/frame.js'
import { FRAME_PING, FRAME_PONG, HANDSHAKE_BYTES_MAX } from '../wire/handshake.js'
import type { SessionTags } from './session-key.js'

/** The dialer asks this often whether the other side is still there. */
const PING_MS = 2_000
/** So many looks in a row without a byte, and the connection is given up: `PING_MS` each. */
const SILENT_LOOKS_MAX = 3
/** So long the last word of a connection has to arrive before it is closed. */
const LINGER_MS = 1_000

/** What the owner of a channel hears. */
export interface ChannelHandlers {
  /** A frame; a DecodeError thrown here ends the channel as `malformed`. */
  frame(kind: number, body: Buffer): void
  /** What was sent in this turn is about to leave: the last moment to send something with it. */
  gather(): void
  /** The connection is gone; the last call. `reason` is a word to count under, `message` for people. */
  closed(reason: string, message: string): void
}

/** A connection of frames. */
export class Channel {
  readonly remote: string
  /** The names in the other side's verified certificate; undefined without TLS. */
  readonly peerNames: readonly string[] | undefined
  readonly #connection: Connection
  readonly #time: Time
  readonly #handlers: ChannelHandlers
  readonly #writer = new FrameWriter()
  readonly #reader: FrameReader
  #end: { readonly reason: string; readonly message: string } | undefined
  #isFlushDue = false
  #isBlocked = false
  #isPreambleSent = false
  #isProven = false
  #hasHeard = false
  #silentLooks = 0
  #lookTimer: TimerHandle | undefined

  /** Bodies are bounded to those of a handshake until `prove`. */
  constructor(connection: Connection, time: Time, handlers: ChannelHandlers) {
    this.remote = connection.remote
    this.peerNames = connection.peerNames
    this.#connection = connection
    this.#time = time
    this.#handlers = handlers
    this.#reader = new FrameReader(HANDSHAKE_BYTES_MAX, (kind, body) => this.#receive(kind, body))
    connection.setHandlers({
      data: (bytes) => this.#read(bytes),
      drain: () => {
        this.#isBlocked = false
        this.#flush()
      },
      close: (error) => this.#closed(error),
    })
  }

  /** Bytes that were sent here and are not yet with the operating system. */
  get queuedBytes(): number {
    return this.#writer.queuedBytes + this.#connection.queuedBytes
  }

  /** Queues a frame; it leaves at the end of this turn. Parts must not change until then and after. */
  send(kind: number, parts: readonly Uint8Array[]): void {
    if (this.#end !== undefined) return
    this.#writer.push(kind, parts)
    this.wake()
  }

  /** Asks for `gather` at the end of this turn, or as soon as the connection takes something again. */
  wake(): void {
    if (this.#isFlushDue || this.#isBlocked || this.#end !== undefined) return
    this.#isFlushDue = true
    this.#time.soon(() => this.#flush())
  }

  /** The handshake is over: frames carry the session's tags and may be as long as `maxBodyBytes`. */
  prove(tags: SessionTags, maxBodyBytes: number): void {
    this.#isProven = true
    this.#writer.useTag(tags.send)
    this.#reader.use(tags.receive, maxBodyBytes)
  }

  /** Gives the connection up when nothing is heard for long; `asks` sends what the other side answers. */
  watch(part: 'asks' | 'answers'): void {
    this.#lookTimer = this.#time.after(PING_MS, () => {
      this.#silentLooks = this.#hasHeard ? 0 : this.#silentLooks + 1
      this.#hasHeard = false
      // Looks are counted, not time: after a pause of this process what was missed may be waiting unread.
      if (this.#silentLooks >= SILENT_LOOKS_MAX) return this.close('silent', 'nothing was heard')
      if (part === 'asks') this.send(FRAME_PING, [])
      this.watch(part)
    })
  }

  /** Ends the connection; what is queued may be lost. `closed` follows. */
  close(reason: string, message: string): void {
    if (this.#end !== undefined) return
    this.#stop(reason, message)
    this.#connection.destroy()
  }

  /** Sends what is queued as the last word, reads nothing more, and leaves the closing to the other side. */
  finish(reason: string, message: string): void {
    if (this.#end !== undefined) return
    this.#flush()
    this.#stop(reason, message)
    this.#lookTimer = this.#time.after(LINGER_MS, () => this.#connection.destroy())
  }

  #stop(reason: string, message: string): void {
    this.#end = { reason, message }
    this.#reader.stop()
    if (this.#lookTimer !== undefined) this.#time.cancel(this.#lookTimer)
  }

  #read(bytes: Uint8Array): void {
    this.#hasHeard = true
    try {
      this.#reader.push(asBuffer(bytes))
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      const reason = error instanceof FrameError ? error.fault : 'malformed'
      // The own preamble tells the other side which version it meets, when that is all it understands.
      if (reason === 'version' && !this.#isPreambleSent) this.finish(reason, error.message)
      else this.close(reason, error.message)
    }
  }

  #receive(kind: number, body: Buffer): void {
    if (!this.#isProven) this.#handlers.frame(kind, body)
    else if (kind === FRAME_PING) this.send(FRAME_PONG, [])
    else if (kind !== FRAME_PONG) this.#handlers.frame(kind, body)
  }

  #flush(): void {
    // Due until all is gathered: what is sent meanwhile leaves with the rest.
    this.#isFlushDue = true
    if (this.#end === undefined && !this.#isBlocked) this.#handlers.gather()
    this.#isFlushDue = false
    if (this.#end !== undefined || this.#isBlocked) return
    const parts = this.#writer.take()
    if (!this.#isPreambleSent) {
      this.#isPreambleSent = true
      parts.unshift(encodePreamble())
    }
    if (parts.length > 0) this.#isBlocked = !this.#connection.write(parts)
  }

  #closed(error: Error | undefined): void {
    if (this.#end === undefined) {
      this.#stop('broken', error?.message ?? 'the other side closed the connection')
    }
    if (this.#lookTimer !== undefined) this.#time.cancel(this.#lookTimer)
    const end = this.#end!
    this.#handlers.closed(end.reason, end.message)
  }
}
