/**
 * Serves the reads that somebody else sends: another member, for which this one leads, or a client.
 *
 * Answers of one turn of the event loop travel together. A read whose time is over, or whose asker has gone, is
 * dropped without being served. One desk per asker.
 */
import { StoreError } from '../base/errors.js'
import type { Time } from '../env/time.js'
import type { ReadAnswer, ReadCall } from '../wire/read-call.js'
import { encodeReadAnswers, readAnswerBytes } from '../wire/read-call.js'
import type { OnBehind, PendingRead, Served, StoredValue } from './backend.js'
import { DemandedRead } from './demand.js'

/** How a desk serves, and answers. */
export interface ReadDeskPorts {
  readonly time: Time
  /** Serves `read`, or fails it. */
  read(read: PendingRead): void
  /** Sends a body (wire/read-call.ts); one that is lost is the asker's to notice. */
  send(body: Buffer): void
}

/** See the file's comment. */
export class ReadDesk {
  readonly #ports: ReadDeskPorts
  readonly #maxBodyBytes: number
  readonly #open = new Set<DeskRead>()
  #answers: ReadAnswer[] = []
  #bytes = 0
  #isEnded = false

  /** @param maxBodyBytes a larger answer is sent as a failure; several are cut into bodies no larger than this */
  constructor(ports: ReadDeskPorts, maxBodyBytes: number) {
    this.#ports = ports
    this.#maxBodyBytes = maxBodyBytes
  }

  /** Reads that are not answered yet. */
  get open(): number {
    return this.#open.size
  }

  /** Serves a call. @param onBehind what it does where the state is not new enough; undefined: as it says */
  take(call: ReadCall, onBehind?: OnBehind): void {
    // Its asker has given up: it is dropped before it costs anything.
    if (call.remainingMs <= 0) return
    const deadline = this.#ports.time.now() + call.remainingMs
    const read = new DeskRead(call, onBehind ?? call.onBehind, deadline, (answer) => {
      this.#open.delete(read)
      this.#answer(answer)
    })
    this.#open.add(read)
    this.#ports.read(read)
  }

  /** Answers a call that is not served here. */
  refuse({ id }: ReadCall, error: StoreError): void {
    this.#answer({ id, error })
  }

  /** Answers every open read with `error`. */
  failAll(error: StoreError): void {
    for (const read of [...this.#open]) {
      read.fail(error)
      read.abandoned = true
    }
  }

  /** The asker is gone: nothing is served or sent any more. */
  end(): void {
    this.#isEnded = true
    for (const read of this.#open) read.abandoned = true
    this.#open.clear()
    this.#answers = []
  }

  #answer(answer: ReadAnswer): void {
    if (this.#isEnded) return
    let bytes = readAnswerBytes(answer)
    let fitting = answer
    if (bytes > this.#maxBodyBytes) {
      const message = `the answer takes ${bytes} bytes: more than a frame holds`
      fitting = { id: answer.id, error: new StoreError('QUORATE_OVERLOADED', message) }
      bytes = readAnswerBytes(fitting)
    }
    if (this.#bytes + bytes > this.#maxBodyBytes) this.#flush()
    if (this.#answers.length === 0) this.#ports.time.soon(() => this.#flush())
    this.#answers.push(fitting)
    this.#bytes += bytes
  }

  #flush(): void {
    if (this.#answers.length === 0) return
    const body = encodeReadAnswers(this.#answers)
    this.#answers = []
    this.#bytes = 0
    this.#ports.send(body)
  }
}

/** A read of somebody else. Answered once: what comes after that finds it settled. */
class DeskRead extends DemandedRead {
  abandoned = false
  readonly #id: number
  readonly #answer: (answer: ReadAnswer) => void

  constructor(
    call: ReadCall,
    onBehind: OnBehind,
    deadline: number,
    answer: (answer: ReadAnswer) => void,
  ) {
    super(call.keys, call, deadline, onBehind)
    this.#id = call.id
    this.#answer = answer
  }

  complete(values: readonly (StoredValue | undefined)[], served: Served): void {
    if (this.abandoned) return
    const { index, term, servedBy, role, stalenessMs } = served
    this.#answer({ id: this.#id, index, term, servedBy, role, stalenessMs, values })
  }

  fail(error: unknown): void {
    if (this.abandoned) return
    this.#answer({ id: this.#id, error: asStoreError(error) })
  }
}

/** What is none is a defect here, which the asker can do nothing about; the member ends of it by itself. */
function asStoreError(error: unknown): StoreError {
  if (error instanceof StoreError) return error
  return new StoreError('QUORATE_STOPPED', `the read failed: ${String(error)}`, { cause: error })
}
