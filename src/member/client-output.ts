/**
 * What is ready for a client and not sent: it leaves as fast as the client takes it, and is not piled up in the socket.
 *
 * While WINDOW_BYTES are queued there, the rest is held here; how much that may become is decided by whoever begins the
 * work (`room`): an estimate of what the reads under way will bring counts as if it was there already.
 */
import { StoreError } from '../base/errors.js'
import type { ClientPort } from '../transport/served-client.js'
import { ByteWriter } from '../wire/byte-stream.js'
import { encodeReset, FRAME_REPLIES, FRAME_RESET } from '../wire/client-ask.js'
import { type Reply, writeReply } from '../wire/client-reply.js'
import { type Answer, encodeAnswers, FRAME_ANSWERS } from '../wire/forward.js'
import {
  encodeReadAnswers,
  FRAME_READ_ANSWERS,
  type ReadAnswer,
  readAnswerBytes,
} from '../wire/read-call.js'

const WINDOW_BYTES = 4_194_304
/** Frames are cut near this size. */
const FRAME_BYTES = 262_144
/** What an answer is taken for before there was one, and the weight of the next one after that. */
const FIRST_ANSWER_BYTES = 16_384
const NEWEST = 0.05

/** See the file's comment. */
export class ClientOutput {
  readonly #port: ClientPort
  readonly #maxFrameBytes: number
  #answers: Answer[] = []
  #resets: number[] = []
  #reads: ReadAnswer[] = []
  #readBytes = 0
  readonly #replies = new ByteWriter()
  #bodies: Buffer[] = []
  #bodyBytes = 0
  #meanBytes = FIRST_ANSWER_BYTES

  constructor(port: ClientPort, maxFrameBytes: number) {
    this.#port = port
    this.#maxFrameBytes = maxFrameBytes
  }

  /** Whether anything waits to be sent. */
  get isHeld(): boolean {
    return this.#reads.length > 0 || this.#bodies.length > 0
  }

  /** Whether more may be begun while `reads` are under way. */
  hasRoom(reads: number): boolean {
    const held = this.#readBytes + this.#bodyBytes + this.#replies.length
    return held + this.#port.queuedBytes + reads * this.#meanBytes < WINDOW_BYTES
  }

  answer(answer: Answer): void {
    this.#answers.push(answer)
    this.#port.wake()
  }

  reset(link: number): void {
    if (!this.#resets.includes(link)) this.#resets.push(link)
    this.#port.wake()
  }

  read(answer: ReadAnswer): void {
    const bytes = readAnswerBytes(answer)
    this.#meanBytes = Math.max(bytes, this.#meanBytes + NEWEST * (bytes - this.#meanBytes))
    const isTooLong = bytes > this.#maxFrameBytes
    this.#reads.push(isTooLong ? { id: answer.id, error: tooLong(bytes) } : answer)
    this.#readBytes += isTooLong ? 0 : bytes
    this.#port.wake()
  }

  reply(id: number, reply: Reply): void {
    const start = this.#replies.length
    writeReply(this.#replies, id, reply)
    const bytes = this.#replies.length - start
    if (bytes > this.#maxFrameBytes) {
      this.#replies.truncate(start)
      writeReply(this.#replies, id, { type: 'error', error: tooLong(bytes) })
    } else if (start > 0 && this.#replies.length > this.#maxFrameBytes) {
      this.#replies.truncate(start)
      this.#cut()
      writeReply(this.#replies, id, reply)
    }
    if (this.#replies.length > FRAME_BYTES) this.#cut()
    this.#port.wake()
  }

  /** Sends what there is room for; answers before the word that others were lost. */
  send(): void {
    if (this.#answers.length > 0) {
      this.#port.send(FRAME_ANSWERS, [encodeAnswers(this.#answers)])
      this.#answers = []
    }
    for (const link of this.#resets) this.#port.send(FRAME_RESET, [encodeReset(link)])
    this.#resets = []
    if (this.#replies.length > 0) this.#cut()
    this.#sendReads()
    this.#sendBodies()
  }

  #cut(): void {
    const body = this.#replies.take()
    this.#bodies.push(body)
    this.#bodyBytes += body.length
  }

  #sendReads(): void {
    let sent = 0
    while (sent < this.#reads.length && this.#port.queuedBytes < WINDOW_BYTES) {
      const start = sent
      let bytes = 0
      while (sent < this.#reads.length) {
        const size = readAnswerBytes(this.#reads[sent]!)
        if (bytes > 0 && bytes + size > FRAME_BYTES) break
        bytes += size
        sent++
      }
      const group = this.#reads.slice(start, sent)
      this.#port.send(FRAME_READ_ANSWERS, [encodeReadAnswers(group)])
      this.#readBytes = Math.max(0, this.#readBytes - bytes)
    }
    if (sent > 0) this.#reads = this.#reads.slice(sent)
    if (this.#reads.length === 0) this.#readBytes = 0
  }

  #sendBodies(): void {
    let sent = 0
    while (sent < this.#bodies.length && this.#port.queuedBytes < WINDOW_BYTES) {
      const body = this.#bodies[sent++]!
      this.#bodyBytes -= body.length
      this.#port.send(FRAME_REPLIES, [body])
    }
    if (sent > 0) this.#bodies = this.#bodies.slice(sent)
  }
}

function tooLong(bytes: number): StoreError {
  const message = `an answer of ${bytes} bytes is too long to send: ask for fewer keys at once`
  return new StoreError('QUORATE_TOO_LARGE', message)
}
