/**
 * A client's connection to one member: calls go out, answers come back in any order.
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
import { CLUSTER_ID_BYTES, FRAME_ANSWER, FRAME_CALL, NO_INCARNATION } from '../wire/handshake.js'
import type { Channel } from './channel.js'
import { Dial } from './dial.js'
import { checkAddress, checkSecret, type Protection } from './protection.js'
import { CALLS_MAX } from './served-client.js'

/** The longest answer that is accepted. */
const ANSWER_BYTES_MAX = 64 * 1_048_576

/** Settings of a client connection. */
export interface ClientOptions extends Protection {
  /** For connecting and proving, both sides together. */
  readonly timeoutMs: number
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
  #dial: Dial | undefined
  #channel: Channel | undefined
  #nextId = 1

  private constructor(time: Time) {
    this.#time = time
  }

  /**
   * Connects to a member.
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
    checkSecret(options.secret)
    checkAddress(address, options)
    const client = new ClientConnection(time)
    await client.#open(network, random, address, options)
    return client
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
      const timer = this.#time.after(timeoutMs, () => this.#timeOut(id, method, timeoutMs))
      this.#pending.set(id, { timer, resolve, reject })
      channel.send(FRAME_CALL, [body])
    })
  }

  /** Closes the connection; calls that wait fail with outcome `unknown`. */
  close(): void {
    this.#dial?.close()
  }

  #open(network: Network, random: Random, address: string, options: ClientOptions): Promise<void> {
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
    const maxFrameBytes = ANSWER_BYTES_MAX
    return new Promise((resolve, reject) => {
      const dial = { address, ...options, maxFrameBytes, hello, expected: undefined }
      this.#dial = new Dial(network, this.#time, random, dial, {
        up: (channel) => {
          this.#channel = channel
          resolve()
        },
        frame: (kind, body) => this.#answer(kind, body),
        ended: (error) => {
          reject(error)
          this.#ended(error)
        },
      })
    })
  }

  #answer(kind: number, body: Buffer): void {
    if (kind !== FRAME_ANSWER) throw new DecodeError(`frame of kind ${kind} to a client`)
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
  }
}
