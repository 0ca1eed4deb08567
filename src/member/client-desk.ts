/**
 * Serves one client that is connected from another process: its requests go the way of those of a Store here, its
 * reads and asks are answered from this member, and what is ready on one turn leaves together.
 *
 * Invariants:
 *   1. nothing is done for a client that its role does not allow: such a frame ends the connection
 *   2. frames are served in the order in which they came; while OUTPUT_BYTES wait to be sent no further one is begun,
 *      and a client that sends INPUT_BYTES meanwhile is disconnected
 *   3. READS_MAX reads of it wait at most, more are answered QUORATE_OVERLOADED
 */
import { StoreError } from '../base/errors.js'
import type { LogIndex, Role, Term } from '../raft/types.js'
import { mayAct } from '../transport/client-roles.js'
import type { ClientHandlers, ClientPort } from '../transport/served-client.js'
import { ByteWriter } from '../wire/byte-stream.js'
import {
  decodeAsks,
  encodeReset,
  FRAME_ASKS,
  FRAME_NEWS,
  FRAME_REPLIES,
  FRAME_RESET,
} from '../wire/client-ask.js'
import { type ClientNews, type ClientRole, encodeNews } from '../wire/client-news.js'
import { type Reply, writeReply } from '../wire/client-reply.js'
import type { CallResult } from '../wire/envelope.js'
import {
  type Answer,
  decodeRequest,
  encodeAnswers,
  FRAME_ANSWERS,
  FRAME_REQUEST,
} from '../wire/forward.js'
import {
  decodeReadCalls,
  encodeReadAnswers,
  FRAME_READ_ANSWERS,
  FRAME_READS,
  type ReadAnswer,
  type ReadCall,
  readAnswerBytes,
} from '../wire/read-call.js'
import { validateRequest } from '../wire/validate-request.js'
import type {
  Backend,
  LinkAnswer,
  PendingRead,
  RequestLink,
  Served,
  StoredValue,
} from './backend.js'
import { asStoreError, ClientAsks } from './client-asks.js'
import { refusalOfCall } from './client-calls.js'

const READS_MAX = 16_384
const LINKS_MAX = 8
const OUTPUT_BYTES = 4_194_304
const INPUT_BYTES = 16_777_216
/** Frames of answers are cut near this size. */
const ANSWERS_BYTES = 262_144
const RETRY_MS = 100

/** What a desk works on. */
export interface DeskParts {
  readonly backend: Pick<
    Backend,
    'now' | 'openLink' | 'read' | 'openView' | 'watch' | 'awaitApplied'
  >
  readonly maxValueBytes: number
  readonly maxFrameBytes: number
  /** A call that the client's role allows. */
  call(method: string, params: unknown, reply: (result: CallResult) => void): void
  /** What a client of `role` is told. */
  news(role: ClientRole): ClientNews
  /** The client is gone; `ending` resolves when nothing reads from the state for it. */
  closed(desk: ClientDesk, ending: Promise<void>): void
}

/** See the file's comment. */
export class ClientDesk implements ClientHandlers {
  readonly #parts: DeskParts
  readonly #port: ClientPort
  readonly #asks: ClientAsks
  readonly #links = new Map<number, RequestLink>()
  readonly #replies = new ByteWriter()
  #answers: Answer[] = []
  #resets: number[] = []
  #readAnswers: ReadAnswer[] = []
  #reads = 0
  #waiting: { readonly kind: number; readonly body: Buffer }[] = []
  #waitingBytes = 0
  #isClosed = false

  constructor(parts: DeskParts, port: ClientPort) {
    this.#parts = parts
    this.#port = port
    const { backend, maxFrameBytes } = parts
    this.#asks = new ClientAsks(backend, maxFrameBytes, (id, reply) => this.#reply(id, reply))
    this.tell()
  }

  /** Tells the client how things stand now. */
  tell(): void {
    if (!mayAct(this.#port.role, 'read')) return
    this.#port.send(FRAME_NEWS, [encodeNews(this.#parts.news(this.#port.role))])
  }

  /** The member serves nobody any more. Resolves when nothing reads from the state. */
  end(): Promise<void> {
    this.#port.close('ended', 'the member has ended')
    return this.#asks.end()
  }

  call(method: string, params: unknown, reply: (result: CallResult) => void): void {
    const refusal = refusalOfCall(this.#port, method, params)
    if (refusal === undefined) this.#parts.call(method, params, reply)
    else reply({ error: refusal })
  }

  frame(kind: number, body: Buffer): void {
    if (this.#waiting.length === 0 && this.#port.queuedBytes < OUTPUT_BYTES) {
      this.#serve(kind, body)
      return
    }
    this.#waiting.push({ kind, body })
    this.#waitingBytes += body.length
    if (this.#waitingBytes > INPUT_BYTES) this.#port.close('slow', 'asks more than it reads')
  }

  gather(): void {
    this.#send()
    if (this.#waiting.length === 0) return
    while (this.#waiting.length > 0 && this.#port.queuedBytes < OUTPUT_BYTES && !this.#isClosed) {
      const { kind, body } = this.#waiting.shift()!
      this.#waitingBytes -= body.length
      this.#serve(kind, body)
    }
    this.#send()
  }

  closed(): void {
    this.#isClosed = true
    this.#waiting = []
    for (const link of this.#links.values()) link.close()
    this.#parts.closed(this, this.#asks.end())
  }

  /** @throws {DecodeError} */
  #serve(kind: number, body: Buffer): void {
    const least = kind === FRAME_REQUEST ? 'write' : 'read'
    if (!mayAct(this.#port.role, least)) {
      this.#port.close('forbidden', `a frame of kind ${kind} needs the role ${least}`)
    } else if (kind === FRAME_REQUEST) this.#request(body)
    else if (kind === FRAME_READS) for (const call of decodeReadCalls(body)) this.#read(call)
    else if (kind === FRAME_ASKS)
      for (const { id, ask } of decodeAsks(body)) this.#asks.ask(id, ask)
    else this.#port.close('kind', `frame of kind ${kind} from a client`)
  }

  #request(body: Buffer): void {
    const { link, request } = decodeRequest(body)
    const { seq } = validateRequest(request, this.#parts.maxValueBytes)
    const way = this.#link(link)
    way.send(request, seq)
    // Requests of a turn make one entry, whoever sent them.
    way.wake()
  }

  /** A client has few links; answers to one that it gave up find nobody. */
  #link(number: number): RequestLink {
    const known = this.#links.get(number)
    if (known !== undefined) return known
    const [oldest] = this.#links
    if (this.#links.size >= LINKS_MAX && oldest !== undefined) {
      oldest[1].close()
      this.#links.delete(oldest[0])
    }
    const link = this.#parts.backend.openLink({
      flush: () => undefined,
      answer: (answer) => this.#answer(number, answer),
      reset: () => this.#reset(number),
      tick: () => undefined,
      end: () => this.#port.close('ended', 'the member has ended'),
    })
    this.#links.set(number, link)
    return link
  }

  #answer(link: number, { seq, status, index, term, results }: LinkAnswer): void {
    this.#answers.push({ link, seq, status, index, term, results })
    this.#port.wake()
  }

  #reset(link: number): void {
    if (!this.#resets.includes(link)) this.#resets.push(link)
    this.#port.wake()
  }

  #read(call: ReadCall): void {
    if (this.#reads >= READS_MAX) {
      const message = `${READS_MAX} reads of this client are waiting already`
      const about = { retryable: true, retryAfterMs: RETRY_MS }
      this.#readAnswer({ id: call.id, error: new StoreError('QUORATE_OVERLOADED', message, about) })
      return
    }
    this.#reads++
    const deadline = this.#parts.backend.now() + call.remainingMs
    this.#parts.backend.read(new ClientRead(call, deadline, () => this.#isClosed, this.#onRead))
  }

  readonly #onRead = (answer: ReadAnswer): void => {
    this.#reads--
    this.#readAnswer(answer)
  }

  #readAnswer(answer: ReadAnswer): void {
    if (this.#isClosed) return
    this.#readAnswers.push(answer)
    this.#port.wake()
  }

  #reply(id: number, reply: Reply): void {
    const start = this.#replies.length
    writeReply(this.#replies, id, reply)
    const bytes = this.#replies.length - start
    if (bytes > this.#parts.maxFrameBytes) {
      this.#replies.truncate(start)
      writeReply(this.#replies, id, { type: 'error', error: tooLong(bytes) })
    }
    // With room for one more: a reply is never cut in two.
    if (this.#replies.length > ANSWERS_BYTES) this.#sendReplies()
    this.#port.wake()
  }

  /** Everything that is ready leaves; answers before the word that others were lost. */
  #send(): void {
    if (this.#answers.length > 0) {
      this.#port.send(FRAME_ANSWERS, [encodeAnswers(this.#answers)])
      this.#answers = []
    }
    for (const link of this.#resets) this.#port.send(FRAME_RESET, [encodeReset(link)])
    this.#resets = []
    if (this.#readAnswers.length > 0) this.#sendReadAnswers()
    this.#sendReplies()
  }

  #sendReplies(): void {
    if (this.#replies.length > 0) this.#port.send(FRAME_REPLIES, [this.#replies.take()])
  }

  #sendReadAnswers(): void {
    const { maxFrameBytes } = this.#parts
    let [group, bytes]: [ReadAnswer[], number] = [[], 0]
    for (const answer of this.#readAnswers) {
      const size = readAnswerBytes(answer)
      if (bytes > 0 && bytes + size > ANSWERS_BYTES) {
        this.#port.send(FRAME_READ_ANSWERS, [encodeReadAnswers(group)])
        ;[group, bytes] = [[], 0]
      }
      group.push(size > maxFrameBytes ? { id: answer.id, error: tooLong(size) } : answer)
      bytes += size
    }
    this.#port.send(FRAME_READ_ANSWERS, [encodeReadAnswers(group)])
    this.#readAnswers = []
  }
}

/** A client's read on its way through this member. */
class ClientRead implements PendingRead {
  readonly keys: readonly Uint8Array[]
  readonly level: ReadCall['level']
  readonly onBehind: ReadCall['onBehind']
  readonly minIndex: LogIndex
  readonly minTerm: Term
  readonly maxStalenessMs: number
  readonly deadline: number
  readonly #id: number
  readonly #isGivenUp: () => boolean
  readonly #answer: (answer: ReadAnswer) => void

  constructor(
    call: ReadCall,
    deadline: number,
    isGivenUp: () => boolean,
    answer: (answer: ReadAnswer) => void,
  ) {
    this.#id = call.id
    this.keys = call.keys
    this.level = call.level
    this.onBehind = call.onBehind
    this.minIndex = call.minIndex
    this.minTerm = call.minTerm
    this.maxStalenessMs = call.maxStalenessMs
    this.deadline = deadline
    this.#isGivenUp = isGivenUp
    this.#answer = answer
  }

  get abandoned(): boolean {
    return this.#isGivenUp()
  }

  /** The circumstances are looked at now: they may not be true any more when the answer leaves. */
  complete(values: readonly (StoredValue | undefined)[], served: Served): void {
    const { index, term, servedBy, stalenessMs } = served
    const role: Role = served.role
    this.#answer({ id: this.#id, index, term, servedBy, role, stalenessMs, values })
  }

  fail(error: unknown): void {
    this.#answer({ id: this.#id, error: asStoreError(error) })
  }
}

function tooLong(bytes: number): StoreError {
  const message = `an answer of ${bytes} bytes is too long to send: ask for fewer keys at once`
  return new StoreError('QUORATE_TOO_LARGE', message)
}
