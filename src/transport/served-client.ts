/**
 * The serving side of a client connection: calls come in, answers go back in whatever order they are ready.
 *
 * Bounds: `CALLS_MAX` calls wait at once, more are answered QUORATE_OVERLOADED; a client that does not read
 * its answers is disconnected when `maxQueuedBytes` of them wait.
 */
import { assert } from '../base/assert.js'
import { type CallResult, decodeCall, encodeAnswer } from '../wire/envelope.js'
import { FRAME_ANSWER } from '../wire/handshake.js'
import type { Channel } from './channel.js'

/** Calls of one client that may wait for their answers. */
export const CALLS_MAX = 1_024

/** Answers one call; `reply` is called exactly once, now or later. */
export type CallHandler = (
  method: string,
  params: unknown,
  reply: (result: CallResult) => void,
) => void

/** The bounds of a client connection. */
export interface ServedClientOptions {
  readonly maxFrameBytes: number
  readonly maxQueuedBytes: number
}

/** One client that is connected here. */
export class ServedClient {
  readonly #channel: Channel
  readonly #options: ServedClientOptions
  readonly #handler: CallHandler
  #waiting = 0

  constructor(channel: Channel, options: ServedClientOptions, handler: CallHandler) {
    this.#channel = channel
    this.#options = options
    this.#handler = handler
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
    this.#handler(method, params, (result) => {
      assert(!isAnswered, 'a call was answered twice', { method })
      isAnswered = true
      this.#waiting--
      this.#answer(id, result)
    })
  }

  #answer(id: number, result: CallResult): void {
    const { maxFrameBytes, maxQueuedBytes } = this.#options
    let body = encodeAnswer(id, result)
    if (body.length > maxFrameBytes) {
      body = encodeAnswer(id, overloaded(`an answer of ${body.length} bytes is too long to send`))
    }
    if (this.#channel.queuedBytes + body.length > maxQueuedBytes) {
      this.#channel.close('slow', 'the client does not read its answers')
    } else {
      this.#channel.send(FRAME_ANSWER, [body])
    }
  }
}

function overloaded(message: string): CallResult {
  return { error: { code: 'QUORATE_OVERLOADED', message, outcome: 'none', retryable: true } }
}
