/**
 * The serving side of a client connection: calls come in, answers go back in whatever order they are ready; other
 * frames go to and come from whoever serves the client.
 *
 * Bounds: `CALLS_MAX` calls wait at once, more are answered QUORATE_OVERLOADED; a client that does not read what it is
 * sent is disconnected when `maxQueuedBytes` of it wait.
 */
import { assert } from '../base/assert.js'
import type { ClientRole } from '../wire/client-news.js'
import { type CallResult, decodeCall, encodeAnswer } from '../wire/envelope.js'
import { FRAME_ANSWER } from '../wire/handshake.js'
import type { Channel } from './channel.js'

/** Calls of one client that may wait for their answers. */
export const CALLS_MAX = 1_024
/** When a client that met a bound may try again. */
const RETRY_MS = 100

/** What a connected client looks like to who serves it. */
export interface ClientPort {
  readonly role: ClientRole
  /** The names in its verified certificate; undefined without TLS. */
  readonly names: readonly string[] | undefined
  /** Bytes that were sent and are not yet with the operating system. */
  readonly queuedBytes: number
  /** Queues a frame; ends a client that lets too much wait. Parts must not change afterwards. */
  send(kind: number, parts: readonly Uint8Array[]): void
  /** Asks for `gather` at the end of this turn, or as soon as the connection takes something again. */
  wake(): void
  /** Ends the connection; it is counted under `reason`. */
  close(reason: string, message: string): void
}

/** Whoever serves one client. */
export interface ClientHandlers {
  /** Answers one call; `reply` is called exactly once, now or later. */
  call(method: string, params: unknown, reply: (result: CallResult) => void): void
  /** A frame that is no call; a DecodeError thrown here ends the connection. */
  frame(kind: number, body: Buffer): void
  /** What was sent in this turn is about to leave: the last moment to send something with it. */
  gather(): void
  /** The connection is gone; the last call. */
  closed(): void
}

/** Begins to serve a client that has proven who it is. */
export type ClientHost = (port: ClientPort) => ClientHandlers

/** Serves calls, and nothing else. */
export function onlyCalls(call: ClientHandlers['call']): ClientHost {
  return (port) => ({
    call,
    frame: (kind) => port.close('kind', `frame of kind ${kind} where only calls are served`),
    gather: () => undefined,
    closed: () => undefined,
  })
}

/** The bounds of a client connection. */
export interface ServedClientOptions {
  readonly maxFrameBytes: number
  readonly maxQueuedBytes: number
}

/** One client that is connected here. */
export class ServedClient implements ClientPort {
  readonly role: ClientRole
  readonly #channel: Channel
  readonly #options: ServedClientOptions
  readonly #handlers: ClientHandlers
  #waiting = 0

  constructor(channel: Channel, role: ClientRole, options: ServedClientOptions, host: ClientHost) {
    this.role = role
    this.#channel = channel
    this.#options = options
    this.#handlers = host(this)
  }

  get names(): readonly string[] | undefined {
    return this.#channel.peerNames
  }

  get queuedBytes(): number {
    return this.#channel.queuedBytes
  }

  send(kind: number, parts: readonly Uint8Array[]): void {
    let bytes = 0
    for (const part of parts) bytes += part.length
    if (this.#channel.queuedBytes + bytes > this.#options.maxQueuedBytes) {
      this.#channel.close('slow', 'the client does not read its answers')
    } else {
      this.#channel.send(kind, parts)
    }
  }

  wake(): void {
    this.#channel.wake()
  }

  close(reason: string, message: string): void {
    this.#channel.close(reason, message)
  }

  frame(kind: number, body: Buffer): void {
    this.#handlers.frame(kind, body)
  }

  gather(): void {
    this.#handlers.gather()
  }

  closed(): void {
    this.#handlers.closed()
  }

  /** @throws {DecodeError} when the body is not a call. */
  call(body: Buffer): void {
    const { id, method, params } = decodeCall(body)
    if (this.#waiting >= CALLS_MAX) {
      this.#answer(id, overloaded(`${CALLS_MAX} calls of this client are waiting already`))
      return
    }
    this.#waiting++
    let isAnswered = false
    this.#handlers.call(method, params, (result) => {
      assert(!isAnswered, 'a call was answered twice', { method })
      isAnswered = true
      this.#waiting--
      this.#answer(id, result)
    })
  }

  #answer(id: number, result: CallResult): void {
    let body = encodeAnswer(id, result)
    if (body.length > this.#options.maxFrameBytes) {
      body = encodeAnswer(id, overloaded(`an answer of ${body.length} bytes is too long to send`))
    }
    this.send(FRAME_ANSWER, [body])
  }
}

function overloaded(message: string): CallResult {
  const about = { outcome: 'none', retryable: true, retryAfterMs: RETRY_MS } as const
  return { error: { code: 'QUORATE_OVERLOADED', message, ...about } }
}
