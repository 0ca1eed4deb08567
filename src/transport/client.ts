/**
 * A client's connection to one member: calls go out, answers come back in any order; other frames go to and come from
 * whoever opened it.
 *
 * Used by the command line and by stores in other processes. It does not reconnect: a call whose connection
 * broke fails with outcome `unknown`, and what to do about that is for the caller.
 */
import { StoreError } from '../base/errors.js'
import type { Network } from '../env/network.js'
import type { Random } from '../env/random.js'
import type { Time, TimerHandle } from '../env/time.js'
import { NONE } from '../raft/types.js'
import { DecodeError } from '../wire/command.js'
import { decodeAnswer, encodeCall, storeErrorOf } from '../wire/envelope.js'
import { TRANSPORT_KIND_MIN } from '../wire/frame.js'
import { CLUSTER_ID_BYTES, FRAME_ANSWER, FRAME_CALL, NO_INCARNATION } from '../wire/handshake.js'
import type { Channel } from './channel.js'
import { type Answerer, Dial } from './dial.js'
import { checkAddress, checkSecret, type Protection } from './protection.js'
import { CALLS_MAX } from './served-client.js'

/** Whom a client says it is: nobody that the members know. */
const hello = {
  role: 'client' as const,
  clusterId: new Uint8Array(CLUSTER_ID_BYTES),
  from: NONE,
  to: NONE,
  memberId: '',
  incarnation: NO_INCARNATION,
  priority: 0,
  address: '',
}

/** The longest answer that is accepted. */
const ANSWER_BYTES_MAX = 64 * 1_048_576

/** No timer runs longer. */
const TIMER_MS_MAX = 2 ** 31 - 1

/** Settings of a client connection. */
export interface ClientOptions extends Protection {
  /** For connecting and proving, both sides together. */
  readonly timeoutMs: number
}

/** What the owner of a client connection hears. */
export interface ClientHandlers {
  /** The member is proven to be who it says; from now on the connection can be used. */
  up(member: Answerer): void
  /** A frame that is no answer to a call; a DecodeError thrown here ends the connection. */
  frame(kind: number, body: Buffer): void
  /** What was sent in this turn is about to leave: the last moment to send something with it. */
  gather(): void
  /** The last call: connecting failed, or what was up broke. */
  ended(error: StoreError): void
}

/** Where, how and as whom to connect. */
export interface ClientWorld {
  readonly network: Network
  readonly time: Time
  readonly random: Random
}

interface PendingCall {
  readonly timer: TimerHandle
  resolve(value: unknown): void
  reject(error: StoreError): void
}

/** One connection to one member. */
export class ClientConnection {
  readonly #time: Time
  readonly #pending = new Map<number, PendingCall>()
  readonly #handlers: ClientHandlers
  readonly #dial: Dial
  #channel: Channel | undefined
  #nextId = 1

  private constructor(
    { network, time, random }: ClientWorld,
    address: string,
    options: ClientOptions,
    handlers: ClientHandlers,
  ) {
    this.#time = time
    this.#handlers = handlers
    const dial = {
      address,
      ...options,
      maxFrameBytes: ANSWER_BYTES_MAX,
      hello,
      expected: undefined,
    }
    this.#dial = new Dial(network, time, random, dial, {
      up: (channel, answerer) => {
        this.#channel = channel
        handlers.up(answerer)
      },
      frame: (kind, body) => this.#receive(kind, body),
      gather: () => handlers.gather(),
      ended: (error) => this.#ended(error),
    })
  }

  /**
   * Begins to connect to a member; the handlers say what comes of it.
   * @throws {StoreError} QUORATE_INSECURE for an address beyond this machine without TLS or secret.
   */
  static open(
    world: ClientWorld,
    address: string,
    options: ClientOptions,
    handlers: ClientHandlers,
  ): ClientConnection {
    checkSecret(options.secret)
    checkAddress(address, options)
    return new ClientConnection(world, address, options, handlers)
  }

  /**
   * Connects to a member, for calls only.
   * @throws {StoreError} QUORATE_NETWORK, QUORATE_UNAUTHORIZED, QUORATE_FORMAT or QUORATE_OVERLOADED;
   *   QUORATE_INSECURE for an address beyond this machine without TLS or secret.
   */
  static async connect(
    network: Network,
    time: Time,
    random: Random,
    address: string,
    options: ClientOptions,
  ): Promise<ClientConnection> {
    return new Promise((resolve, reject) => {
      const client = ClientConnection.open({ network, time, random }, address, options, {
        up: () => resolve(client),
        // What a member tells by itself is not listened to.
        frame: () => {},
        gather: () => {},
        ended: reject,
      })
    })
  }

  /** Bytes that were sent here and are not yet with the operating system. */
  get queuedBytes(): number {
    return this.#channel?.queuedBytes ?? 0
  }

  /** Queues a frame; it leaves at the end of this turn, or is lost with the connection. Parts must not change. */
  send(kind: number, parts: readonly Uint8Array[]): void {
    this.#channel?.send(kind, parts)
  }

  /** Asks for `gather` at the end of this turn, or as soon as the connection takes something again. */
  wake(): void {
    this.#channel?.wake()
  }

  /**
   * Makes one call and gives its answer. Parameters and answers are plain data (wire/envelope.ts).
   * @throws {StoreError} the member's own; QUORATE_TIMEOUT or QUORATE_NETWORK with outcome `unknown`;
   *   QUORATE_OVERLOADED when 1,024 calls wait already.
   */
  call(method: string, params: unknown, timeoutMs: number): Promise<unknown> {
    const channel = this.#channel
    if (channel === undefined) {
      return Promise.reject(new StoreError('QUORATE_NOT_OPEN', 'the connection is closed'))
    }
    if (this.#pending.size >= CALLS_MAX) {
      const message = `${CALLS_MAX} calls are waiting already`
      return Promise.reject(new StoreError('QUORATE_OVERLOADED', message, { retryable: true }))
    }
    const id = this.#nextId++
    const body = encodeCall({ id, method, params })
    return new Promise((resolve, reject) => {
      const timer = this.#time.after(Math.min(timeoutMs, TIMER_MS_MAX), () =>
        this.#timeOut(id, method, timeoutMs),
      )
      this.#pending.set(id, { timer, resolve, reject })
      channel.send(FRAME_CALL, [body])
    })
  }

  /** Closes the connection; calls that wait fail with outcome `unknown`. */
  close(): void {
    this.#dial.close()
  }

  #receive(kind: number, body: Buffer): void {
    if (kind === FRAME_ANSWER) this.#answer(body)
    else if (kind < TRANSPORT_KIND_MIN) this.#handlers.frame(kind, body)
    else throw new DecodeError(`frame of kind ${kind} to a client`)
  }

  #answer(body: Buffer): void {
    const { id, result } = decodeAnswer(body)
    const call = this.#take(id)
    // An answer that came after its time was up finds nobody.
    if (call === undefined) return
    if ('ok' in result) call.resolve(result.ok)
    else call.reject(storeErrorOf(result.error))
  }

  #timeOut(id: number, method: string, timeoutMs: number): void {
    const message = `no answer to ${method} within ${timeoutMs} ms`
    this.#take(id)?.reject(
      new StoreError('QUORATE_TIMEOUT', message, { outcome: 'unknown', retryable: true }),
    )
  }

  #take(id: number): PendingCall | undefined {
    const call = this.#pending.get(id)
    if (call === undefined) return undefined
    this.#pending.delete(id)
    this.#time.cancel(call.timer)
    return call
  }

  #ended(cause: StoreError): void {
    this.#channel = undefined
    for (const id of [...this.#pending.keys()]) {
      this.#take(id)?.reject(
        new StoreError('QUORATE_NETWORK', `the connection ended: ${cause.message}`, {
          cause,
          outcome: 'unknown',
          retryable: true,
        }),
      )
    }
    this.#handlers.ended(cause)
  }
}
