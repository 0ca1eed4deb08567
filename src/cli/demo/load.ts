/**
 * Writes the input through every member at once, and keeps what was acknowledged.
 *
 * A file counts as acknowledged only when a put of it was. A put that fails because its member died or lost
 * its leader is made again through another member: same key, same bytes, so it does not matter if the first
 * one happened too.
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { StoreError } from '../../index.js'
import type { MemberOperations } from '../processes/operations.js'
import { type ProcessCluster, pause } from '../processes/process-cluster.js'
import type { InputFile } from './input.js'

const PUT_TIMEOUT_MS = 5_000
/** A file that no member takes for so long ends the demo. */
const GIVE_UP_AFTER_MS = 60_000
const RETRY_AFTER_MS = 20

/** What a load has come to so far; read by the progress bar while it runs. */
export class Load {
  readonly #cluster: ProcessCluster<MemberOperations>
  readonly #files: readonly InputFile[]
  readonly #digests = new Map<string, string>()
  readonly #latencies: number[] = []
  #bytes = 0
  #retries = 0
  #lastIndex = 0
  #token: string | undefined
  #longestGapMs = 0
  #gapSince: number | undefined

  constructor(cluster: ProcessCluster<MemberOperations>, files: readonly InputFile[]) {
    this.#cluster = cluster
    this.#files = files
  }

  /** SHA-256 by key of what was acknowledged. */
  get acknowledged(): ReadonlyMap<string, string> {
    return this.#digests
  }

  get acknowledgedBytes(): number {
    return this.#bytes
  }

  /** Milliseconds that each acknowledged put took in its member's process. */
  get latencies(): readonly number[] {
    return this.#latencies
  }

  /** Puts that had to be made again. */
  get retries(): number {
    return this.#retries
  }

  /** The last log index that was acknowledged, and the session token that came with it. */
  get position(): { readonly index: number; readonly token: string | undefined } {
    return { index: this.#lastIndex, token: this.#token }
  }

  /** The longest time between two acknowledgements since `watchStall`. */
  get stallMs(): number {
    return this.#longestGapMs
  }

  /** Starts to measure the time between acknowledgements. */
  watchStall(): void {
    this.#gapSince = performance.now()
  }

  /** Writes every file, `inFlight` at a time; `onAcknowledged` is called after each. */
  async run(inFlight: number, onAcknowledged: () => void): Promise<void> {
    let next = 0
    const work = async (worker: number): Promise<void> => {
      while (next < this.#files.length) {
        const file = this.#files[next++]!
        const value = await readFile(file.path)
        await this.#putUntilAcknowledged(worker, file.key, value)
        this.#digests.set(file.key, createHash('sha256').update(value).digest('hex'))
        this.#bytes += value.length
        onAcknowledged()
      }
    }
    await Promise.all(Array.from({ length: inFlight }, (_, worker) => work(worker)))
  }

  async #putUntilAcknowledged(worker: number, key: string, value: Uint8Array): Promise<void> {
    const giveUpAt = performance.now() + GIVE_UP_AFTER_MS
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#put(worker + attempt, key, value)
      } catch (error) {
        const mayRetry = error instanceof StoreError && error.retryable
        if (!mayRetry || performance.now() > giveUpAt) throw error
        this.#retries++
        await pause(RETRY_AFTER_MS)
      }
    }
  }

  async #put(turn: number, key: string, value: Uint8Array): Promise<void> {
    const { living } = this.#cluster
    const seat = living[turn % living.length]
    if (seat === undefined) throw new StoreError('QUORATE_STOPPED', 'no member process is left')
    const request = { key, value, timeoutMs: PUT_TIMEOUT_MS }
    const { index, token, milliseconds } = await seat.child.call('put', request)
    this.#latencies.push(milliseconds)
    if (index > this.#lastIndex) {
      this.#lastIndex = index
      this.#token = token
    }
    if (this.#gapSince === undefined) return
    const now = performance.now()
    this.#longestGapMs = Math.max(this.#longestGapMs, now - this.#gapSince)
    this.#gapSince = now
  }
}
