/**
 * The way to one other member: one connection that this side dialed, kept up for as long as the link lives.
 *
 * After a loss it dials again at once; after a failure it waits, longer each time (50 ms to 2 s) and never
 * two members in step. A refusal (another cluster, another member, another format, a wrong secret) will not
 * pass soon: it is reported in `status` and tried again slowly. Where the other member is said to be besides the
 * address on record, it is looked for after a failure, in turn with that one.
 */
import type { StoreError, StoreErrorCode } from '../base/errors.js'
import type { Network } from '../env/network.js'
import type { Random } from '../env/random.js'
import type { Time, TimerHandle } from '../env/time.js'
import { FRAME_HEADER_BYTES } from '../wire/frame.js'
import type { Channel } from './channel.js'
import { Dial, type DialOptions, type Expected } from './dial.js'

const RETRY_MS_MIN = 50
const RETRY_MS_MAX = 2_000
const RETRY_STEPS_MAX = 6
/** A connection that lived shorter than this counts as a failure: something ends it again and again. */
const STABLE_MS = 1_000

/** What the owner of a link hears. */
export interface LinkHandlers {
  up(): void
  /** A link that was up is not any more. */
  down(): void
}

/** A link as plain data. */
export interface LinkStatus {
  readonly up: boolean
  /** Where it is connected, or dialed last. */
  readonly address: string
  readonly queuedBytes: number
  readonly sentFrames: number
  readonly sentBytes: number
  readonly dropped: number
  readonly connects: number
  /** Why the last attempt failed; undefined while the link is up or before the first failure. */
  readonly lastError: { readonly code: StoreErrorCode; readonly message: string } | undefined
}

/** Whom a link leads to, and how. */
export interface LinkOptions extends DialOptions {
  readonly expected: Expected
}

/** The outgoing link to one member. */
export class Link {
  readonly #network: Network
  readonly #time: Time
  readonly #random: Random
  readonly #options: LinkOptions
  readonly #maxQueuedBytes: number
  readonly #handlers: LinkHandlers
  #dial: Dial | undefined
  #channel: Channel | undefined
  #expected: Expected
  /** On record, and where it is connected or dialed last. */
  #home: string
  #address: string
  #incarnation: string | undefined
  #otherAddress: string | undefined
  #retryTimer: TimerHandle | undefined
  #isClosed = false
  #failures = 0
  #upSinceMs = 0
  #sentFrames = 0
  #sentBytes = 0
  #dropped = 0
  #connects = 0
  #lastError: StoreError | undefined

  constructor(
    network: Network,
    time: Time,
    random: Random,
    options: LinkOptions,
    maxQueuedBytes: number,
    handlers: LinkHandlers,
  ) {
    this.#network = network
    this.#time = time
    this.#random = random
    this.#options = options
    this.#maxQueuedBytes = maxQueuedBytes
    this.#handlers = handlers
    this.#expected = options.expected
    this.#home = options.address
    this.#address = options.address
    this.#connect()
  }

  get isUp(): boolean {
    return this.#channel !== undefined
  }

  /** Queues a frame; false when there is no connection or too much is queued already. */
  send(kind: number, parts: readonly Uint8Array[]): boolean {
    const channel = this.#channel
    let bytes = FRAME_HEADER_BYTES
    for (const part of parts) bytes += part.length
    if (channel === undefined || channel.queuedBytes + bytes > this.#maxQueuedBytes) {
      this.#dropped++
      return false
    }
    channel.send(kind, parts)
    this.#sentFrames++
    this.#sentBytes += bytes
    return true
  }

  /** Where the link is connected; undefined while it is not. */
  get connectedAddress(): string | undefined {
    return this.#channel === undefined ? undefined : this.#address
  }

  /** The address on record is another one: what is connected stays, a failed attempt is made anew at once. */
  moveTo(address: string): void {
    if (address === this.#home) return
    this.#home = address
    this.hurry()
  }

  /** The other side is said to be at `address`, too. */
  suggest(address: string): void {
    this.#otherAddress = address
  }

  /** From now on the other side has to be of `incarnation`; a connection to another one ends. */
  expect(incarnation: string | undefined): void {
    this.#expected = { ...this.#expected, incarnation }
    const isOther = this.#incarnation !== undefined && this.#incarnation !== incarnation
    if (incarnation !== undefined && isOther) this.#dial?.close()
  }

  /** The other side has just been heard of: there is no point in waiting. */
  hurry(): void {
    if (this.#retryTimer !== undefined) this.#connect()
  }

  close(): void {
    this.#isClosed = true
    this.#stopWaiting()
    this.#dial?.close()
  }

  status(): LinkStatus {
    const error = this.#lastError
    return {
      up: this.isUp,
      address: this.#address,
      queuedBytes: this.#channel?.queuedBytes ?? 0,
      sentFrames: this.#sentFrames,
      sentBytes: this.#sentBytes,
      dropped: this.#dropped,
      connects: this.#connects,
      lastError: error === undefined ? undefined : { code: error.code, message: error.message },
    }
  }

  #connect(): void {
    this.#stopWaiting()
    this.#address = this.#nextAddress()
    const options = { ...this.#options, address: this.#address, expected: this.#expected }
    this.#dial = new Dial(this.#network, this.#time, this.#random, options, {
      up: (channel, { incarnation }) => this.#up(channel, incarnation),
      gather: () => {},
      // Members speak on the connections they dialed; on this one the other side only answers pings.
      frame: (kind) => this.#channel?.close('kind', `frame of kind ${kind} on an outgoing link`),
      ended: (error) => this.#ended(error),
    })
  }

  #nextAddress(): string {
    return this.#failures % 2 === 0 ? this.#home : (this.#otherAddress ?? this.#home)
  }

  #up(channel: Channel, incarnation: string): void {
    this.#channel = channel
    this.#incarnation = incarnation
    this.#connects++
    this.#lastError = undefined
    this.#upSinceMs = this.#time.now()
    this.#handlers.up()
  }

  #ended(error: StoreError): void {
    this.#dial = undefined
    const wasUp = this.#channel !== undefined
    this.#channel = undefined
    this.#incarnation = undefined
    if (!this.#isClosed) this.#lastError = error
    if (wasUp && this.#time.now() - this.#upSinceMs >= STABLE_MS) this.#failures = 0
    if (!this.#isClosed) this.#retry(error)
    if (wasUp) this.#handlers.down()
  }

  #retry(error: StoreError): void {
    const isRefused = error.code !== 'QUORATE_NETWORK'
    const failures = this.#failures++
    const isFirst = failures === 0 && !isRefused
    const steps = isRefused ? RETRY_STEPS_MAX : Math.min(failures - 1, RETRY_STEPS_MAX)
    const limit = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** steps)
    this.#wait(isFirst ? 0 : limit / 2 + (this.#random.u32('retry') % 1_000) * (limit / 2_000))
  }

  #wait(ms: number): void {
    this.#retryTimer = this.#time.after(ms, () => this.#connect())
  }

  #stopWaiting(): void {
    if (this.#retryTimer !== undefined) this.#time.cancel(this.#retryTimer)
    this.#retryTimer = undefined
  }
}
