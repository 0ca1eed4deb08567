/**
 * Serves one client that is connected from another process: its requests go the way of those of a Store here, its
 * reads and asks are answered from this member, and what is ready on one turn leaves together.
 *
 * Invariants:
 *   1. nothing is done for a client that its role does not allow: such a frame ends the connection
 *   2. reads and asks are begun in the order in which they came, and only while there is room for their answers
 *      (client-output.ts); a client that lets more than WAITING_MAX of them wait, or INPUT_BYTES, is refused or
 *      disconnected, and one that takes nothing for SLOW_MS is disconnected
 */
import { StoreError } from '../base/errors.js'
import type { Role } from '../raft/types.js'
import { mayAct } from '../transport/client-roles.js'
import type { ClientHandlers, ClientPort } from '../transport/served-client.js'
import { type Ask, decodeAsks, FRAME_ASKS, FRAME_NEWS } from '../wire/client-ask.js'
import { type ClientNews, type ClientRole, encodeNews } from '../wire/client-news.js'
import type { CallResult } from '../wire/envelope.js'
import { decodeRequest, FRAME_REQUEST } from '../wire/forward.js'
import { decodeReadCalls, FRAME_READS, type ReadAnswer, type ReadCall } from '../wire/read-call.js'
import { validateRequest } from '../wire/validate-request.js'
import type { Backend, RequestLink, Served, StoredValue } from './backend.js'
import { asStoreError, ClientAsks } from './client-asks.js'
import { refusalOfCall } from './client-calls.js'
import { ClientOutput } from './client-output.js'
import { DemandedRead } from './demand.js'

const WAITING_MAX = 16_384
const INPUT_BYTES = 16_777_216
const SLOW_MS = 5_000
const LINKS_MAX = 8
const RETRY_MS = 100
/** Asks that store something. */
const WRITING: ReadonlySet<Ask['type']> = new Set(['blobOpen', 'blobWrite', 'blobFinish'])

/** What a desk works on. */
export interface DeskParts {
  readonly backend: Pick<
    Backend,
    'now' | 'openLink' | 'read' | 'openView' | 'watch' | 'awaitApplied' | 'blobs'
  >
  readonly maxValueBytes: number
  readonly maxManifestBytes: number
  readonly maxFrameBytes: number
  /** A call that the client's role allows. */
  call(method: string, params: unknown, reply: (result: CallResult) => void): void
  /** What a client of `role` is told. */
  news(role: ClientRole): ClientNews
  /** The client is gone; `ending` resolves when nothing reads from the state for it. */
  closed(desk: ClientDesk, ending: Promise<void>): void
}

/** What waits for room. */
type Waiting =
  | { readonly read: ClientRead; readonly bytes: number }
  | { readonly id: number; readonly ask: Ask; readonly bytes: number }

/** See the file's comment. */
export class ClientDesk implements ClientHandlers {
  readonly #parts: DeskParts
  readonly #port: ClientPort
  readonly #asks: ClientAsks
  readonly #output: ClientOutput
  readonly #links = new Map<number, RequestLink>()
  #waiting: Waiting[] = []
  #waitingBytes = 0
  /** Reads under way. */
  #reads = 0
  /** When the client last took something, or there was nothing for it. */
  #takenAt: number
  #isClosed = false

  constructor(parts: DeskParts, port: ClientPort) {
    this.#parts = parts
    this.#port = port
    const { backend, maxFrameBytes } = parts
    const output = new ClientOutput(port, maxFrameBytes)
    this.#output = output
    this.#asks = new ClientAsks(backend, maxFrameBytes, (id, reply) => output.reply(id, reply))
    this.#takenAt = backend.now()
    this.tell()
  }

  /** Tells the client how things stand now. */
  tell(): void {
    const { role } = this.#port
    const news = this.#parts.news(role)
    const told = mayAct(role, 'read') ? news : { ...news, leader: undefined, members: [] }
    this.#port.send(FRAME_NEWS, [encodeNews(told)])
  }

  tick(now: number): void {
    if (!this.#output.isHeld && this.#port.queuedBytes === 0) this.#takenAt = now
    else if (now - this.#takenAt >= SLOW_MS) this.#port.close('slow', 'takes no answers')
    this.#serve()
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

  /** @throws {DecodeError} */
  frame(kind: number, body: Buffer): void {
    const least = kind === FRAME_REQUEST ? 'write' : 'read'
    if (!mayAct(this.#port.role, least)) {
      this.#port.close('forbidden', `a frame of kind ${kind} needs the role ${least}`)
    } else if (kind === FRAME_REQUEST) this.#request(body)
    else if (kind === FRAME_READS) this.#takeReads(body)
    else if (kind === FRAME_ASKS) this.#takeAsks(body)
    else this.#port.close('kind', `frame of kind ${kind} from a client`)
  }

  gather(): void {
    this.#takenAt = this.#parts.backend.now()
    this.#output.send()
    if (this.#waiting.length === 0) return
    this.#serve()
    this.#output.send()
  }

  closed(): void {
    this.#isClosed = true
    this.#waiting = []
    for (const link of this.#links.values()) link.close()
    this.#parts.closed(this, this.#asks.end())
  }

  #request(body: Buffer): void {
    const { link, request } = decodeRequest(body)
    const { maxValueBytes, maxManifestBytes } = this.#parts
    const { seq } = validateRequest(request, maxValueBytes, maxManifestBytes)
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
      answer: ({ seq, status, index, term, results }) =>
        this.#output.answer({ link: number, seq, status, index, term, results }),
      reset: () => this.#output.reset(number),
      tick: () => undefined,
      end: () => this.#port.close('ended', 'the member has ended'),
    })
    this.#links.set(number, link)
    return link
  }

  #takeReads(body: Buffer): void {
    const now = this.#parts.backend.now()
    const calls = decodeReadCalls(body)
    const bytes = body.length / calls.length
    for (const call of calls) {
      if (this.#waiting.length + this.#reads >= WAITING_MAX) {
        this.#output.read({ id: call.id, error: overloaded() })
      } else {
        const read = new ClientRead(call, now + call.remainingMs, this.#isGone, this.#onRead)
        this.#take({ read, bytes })
      }
    }
  }

  #takeAsks(body: Buffer): void {
    const asks = decodeAsks(body)
    const bytes = body.length / asks.length
    for (const { id, ask } of asks) {
      if (WRITING.has(ask.type) && !mayAct(this.#port.role, 'write')) {
        this.#port.close('forbidden', `${ask.type} needs the role write`)
        return
      }
      if (this.#waiting.length >= WAITING_MAX && ask.type !== 'end') {
        this.#output.reply(id, { type: 'error', error: overloaded() })
      } else if (ask.type === 'view') {
        // At once: it may have to be registered before the next request is proposed.
        this.#asks.ask(id, ask)
      } else this.#take({ id, ask, bytes })
    }
  }

  #take(waiting: Waiting): void {
    if (this.#waiting.length === 0 && this.#hasRoom()) {
      this.#begin(waiting)
      return
    }
    this.#waiting.push(waiting)
    this.#waitingBytes += waiting.bytes
    if (this.#waitingBytes > INPUT_BYTES) this.#port.close('slow', 'asks more than it takes')
  }

  #hasRoom(): boolean {
    return this.#asks.hasRoom && this.#output.hasRoom(this.#reads)
  }

  /** Begins what there is room for. */
  #serve(): void {
    let begun = 0
    while (begun < this.#waiting.length && this.#hasRoom() && !this.#isClosed) {
      const next = this.#waiting[begun++]!
      this.#waitingBytes -= next.bytes
      this.#begin(next)
    }
    if (begun > 0) this.#waiting = this.#waiting.slice(begun)
  }

  #begin(next: Waiting): void {
    if ('ask' in next) {
      this.#asks.ask(next.id, next.ask)
      return
    }
    this.#reads++
    const { read } = next
    // Whoever asked has stopped waiting: it costs nothing any more.
    if (this.#parts.backend.now() >= read.deadline) read.fail(tooLate())
    else this.#parts.backend.read(read)
  }

  readonly #isGone = (): boolean => this.#isClosed

  readonly #onRead = (answer: ReadAnswer): void => {
    this.#reads--
    if (!this.#isClosed) this.#output.read(answer)
  }
}

/** A client's read on its way through this member. */
class ClientRead extends DemandedRead {
  readonly #id: number
  readonly #isGone: () => boolean
  readonly #answer: (answer: ReadAnswer) => void

  constructor(
    call: ReadCall,
    deadline: number,
    isGone: () => boolean,
    answer: (answer: ReadAnswer) => void,
  ) {
    super(call.keys, call, deadline)
    this.#id = call.id
    this.#isGone = isGone
    this.#answer = answer
  }

  get abandoned(): boolean {
    return this.#isGone()
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

function overloaded(): StoreError {
  const message = `${WAITING_MAX} reads and asks of this client are waiting already`
  const about = { retryable: true, retryAfterMs: RETRY_MS }
  return new StoreError('QUORATE_OVERLOADED', message, about)
}

function tooLate(): StoreError {
  return new StoreError('QUORATE_TIMEOUT', 'the time of the read was up before it was begun', {
    retryable: true,
  })
}
