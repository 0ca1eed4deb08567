/**
 * The dialer's half of a connection's beginning: connect, say hello, prove, be welcomed, all before one
 * deadline. Members and clients dial alike.
 */
import { equalBytes } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import type { Connection, Network, TlsOptions } from '../env/network.js'
import type { Random } from '../env/random.js'
import type { Time } from '../env/time.js'
import type { NodeId } from '../raft/types.js'
import {
  type Challenge,
  decodeChallenge,
  decodeRefusal,
  encodeHello,
  FRAME_CHALLENGE,
  FRAME_HELLO,
  FRAME_PROOF,
  FRAME_REFUSED,
  FRAME_WELCOME,
  type Hello,
  NONCE_BYTES,
} from '../wire/handshake.js'
import { Channel } from './channel.js'
import { isProofOf, proofOf, sessionTags, type Transcript } from './session-key.js'

/** Whom a member expects at the other end; a client takes any. */
export interface Expected {
  readonly clusterId: Uint8Array
  readonly nodeId: NodeId
  readonly memberId: string
  /** Hexadecimal; undefined when any is right. */
  readonly incarnation: string | undefined
}

/** Who answers, proven as far as the protection of the connection goes. */
export type Answerer = Omit<Challenge, 'nonce'>

/** What a dial needs to know. */
export interface DialOptions {
  readonly address: string
  readonly tls: TlsOptions | undefined
  readonly secret: Uint8Array | undefined
  readonly timeoutMs: number
  readonly maxFrameBytes: number
  /** Who dials; the nonce is added. */
  readonly hello: Omit<Hello, 'nonce'>
  readonly expected: Expected | undefined
}

/** What the owner of a dial hears. */
export interface DialHandlers {
  /** The other side is proven to be who it says; from now on frames come. */
  up(channel: Channel, answerer: Answerer): void
  frame(kind: number, body: Buffer): void
  /** What was sent on the proven connection in this turn is about to leave. */
  gather(): void
  /** The last call: the dial failed, or what was up broke. */
  ended(error: StoreError): void
}

type Phase = 'connecting' | 'hello' | 'proof' | 'up' | 'ended'

/** One attempt, and the connection that comes of it. */
export class Dial {
  readonly #time: Time
  readonly #options: DialOptions
  readonly #handlers: DialHandlers
  readonly #hello: Buffer
  #phase: Phase = 'connecting'
  #channel: Channel | undefined
  #transcript: Transcript | undefined
  #answerer: Answerer | undefined
  #failure: StoreError | undefined
  readonly #deadline: unknown

  constructor(
    network: Network,
    time: Time,
    random: Random,
    options: DialOptions,
    handlers: DialHandlers,
  ) {
    this.#time = time
    this.#options = options
    this.#handlers = handlers
    this.#hello = encodeHello({ ...options.hello, nonce: random.bytes(NONCE_BYTES, 'nonce') })
    this.#deadline = time.after(options.timeoutMs, () => {
      this.#fail(new StoreError('QUORATE_NETWORK', `${options.address} did not answer in time`))
    })
    network.connect(options.address, options.tls).then(
      (connection) => this.#connected(connection),
      (error: unknown) => this.#fail(networkError(options.address, error)),
    )
  }

  /** Ends the attempt or the connection. */
  close(): void {
    this.#fail(new StoreError('QUORATE_NOT_OPEN', 'closed on this side'))
  }

  #connected(connection: Connection): void {
    if (this.#phase === 'ended') {
      connection.destroy()
      return
    }
    this.#phase = 'hello'
    this.#channel = new Channel(connection, this.#time, {
      frame: (kind, body) => this.#frame(kind, body),
      gather: () => {
        if (this.#phase === 'up') this.#handlers.gather()
      },
      closed: (reason, message) => this.#end(this.#failure ?? channelError(reason, message)),
    })
    this.#channel.send(FRAME_HELLO, [this.#hello])
  }

  #frame(kind: number, body: Buffer): void {
    try {
      if (this.#phase === 'up') this.#handlers.frame(kind, body)
      else this.#shakeHands(kind, body)
    } catch (error) {
      if (!(error instanceof StoreError)) throw error
      this.#fail(error)
    }
  }

  #shakeHands(kind: number, body: Buffer): void {
    if (kind === FRAME_REFUSED) {
      const { code, message } = decodeRefusal(body)
      throw new StoreError(code, message)
    }
    if (this.#phase === 'hello' && kind === FRAME_CHALLENGE) this.#prove(body)
    else if (this.#phase === 'proof' && kind === FRAME_WELCOME) this.#welcome(body)
    else throw new StoreError('QUORATE_FORMAT', `frame of kind ${kind} in phase ${this.#phase}`)
  }

  #prove(body: Buffer): void {
    const { expected, secret } = this.#options
    const answerer = decodeChallenge(body)
    if (expected !== undefined) checkAnswerer(expected, answerer)
    checkCertificate(this.#channel!.peerNames, answerer.memberId)
    this.#answerer = { ...answerer, clusterId: Buffer.from(answerer.clusterId) }
    this.#transcript = { hello: this.#hello, challenge: Buffer.from(body) }
    this.#phase = 'proof'
    this.#channel!.send(FRAME_PROOF, [proofOf('dialer', secret, this.#transcript)])
  }

  #welcome(body: Buffer): void {
    const { secret, maxFrameBytes } = this.#options
    const transcript = this.#transcript!
    if (!isProofOf('acceptor', secret, transcript, body)) {
      throw new StoreError('QUORATE_UNAUTHORIZED', 'the other side does not have the shared secret')
    }
    this.#phase = 'up'
    this.#time.cancel(this.#deadline)
    const channel = this.#channel!
    channel.prove(sessionTags('dialer', secret, transcript), maxFrameBytes)
    channel.watch('asks')
    this.#handlers.up(channel, this.#answerer!)
  }

  #fail(error: StoreError): void {
    if (this.#phase === 'ended') return
    this.#failure ??= error
    if (this.#channel === undefined) this.#end(error)
    else this.#channel.close('failed', error.message)
  }

  #end(error: StoreError): void {
    this.#phase = 'ended'
    this.#time.cancel(this.#deadline)
    this.#handlers.ended(error)
  }
}

function checkAnswerer(expected: Expected, found: Challenge): void {
  if (!equalBytes(found.clusterId, expected.clusterId)) {
    throw new StoreError('QUORATE_WRONG_CLUSTER', `member ${found.memberId} is of another cluster`)
  }
  if (found.node !== expected.nodeId || found.memberId !== expected.memberId) {
    const message = `found member ${found.memberId} (node ${found.node}) instead`
    throw new StoreError('QUORATE_WRONG_MEMBER', message)
  }
  if ((expected.incarnation ?? found.incarnation) !== found.incarnation) {
    throw new StoreError('QUORATE_WRONG_MEMBER', wipedMessage(found.memberId))
  }
}

/**
 * A certificate of the authority is not enough to be a member: it has to name the one that its holder says it is.
 * @throws {StoreError} QUORATE_UNAUTHORIZED
 */
export function checkCertificate(names: readonly string[] | undefined, memberId: string): void {
  if (names === undefined || names.includes(memberId)) return
  const message = `the certificate is for ${names.join(', ') || 'nobody'}, not for member ${memberId}`
  throw new StoreError('QUORATE_UNAUTHORIZED', message)
}

/** What is said about a member that comes back without what it knew (trap T-14). */
export function wipedMessage(memberId: string): string {
  return (
    `${memberId} has another folder than the member of this name had: what it acknowledged is gone. ` +
    'Remove it and add it under a new name'
  )
}

function channelError(reason: string, message: string): StoreError {
  const code = reason === 'version' ? 'QUORATE_FORMAT' : 'QUORATE_NETWORK'
  return new StoreError(code, message, { retryable: true })
}

function networkError(address: string, cause: unknown): StoreError {
  const why = cause instanceof Error ? cause.message : String(cause)
  return new StoreError('QUORATE_NETWORK', `cannot connect to ${address}: ${why}`, {
    cause,
    retryable: true,
  })
}
