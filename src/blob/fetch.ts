/** Reads bytes of large values: which parts they lie in, in bounded memory, until the caller's time is up. */
import { StoreError } from '../base/errors.js'
import type { Time } from '../env/time.js'
import { DecodeError } from '../wire/command.js'
import { decodeManifest, type Manifest, spansOf } from '../wire/manifest.js'
import type { ByteBudget } from './byte-budget.js'
import { aborted } from './cluster.js'
import type { PartReader } from './part-reader.js'

/** What cannot be had for so long is not waited for, however much time the caller has. */
const PATIENCE_MS = 5_000

/** Bytes of a large value. */
export interface FetchRequest {
  readonly key: Uint8Array
  /** Encoded, as it was read. */
  readonly manifest: Uint8Array
  /** From `start` up to and without `end`. */
  readonly start: number
  readonly end: number
  readonly deadline: number
  readonly signal: AbortSignal | undefined
}

/** One fetch under way. */
class Fetch {
  readonly stopped: Promise<never>
  readonly #call: FetchRequest
  readonly #reject: (error: unknown) => void
  readonly #abort = (): void => this.stop(aborted(this.#call.signal!))
  #error: unknown

  constructor(call: FetchRequest) {
    this.#call = call
    let reject: (error: unknown) => void = () => {}
    this.stopped = new Promise((_, no) => {
      reject = no
    })
    this.#reject = reject
    // Whoever races it hears of it; when nobody does any more, there is nothing to hear.
    this.stopped.catch(() => {})
    call.signal?.addEventListener('abort', this.#abort)
    if (call.signal?.aborted) this.#abort()
  }

  get error(): unknown {
    return this.#error
  }

  get deadline(): number {
    return this.#call.deadline
  }

  stop(error: unknown): void {
    this.#error ??= error
    this.#reject(error)
  }

  end(): void {
    this.#call.signal?.removeEventListener('abort', this.#abort)
  }
}

/** See the file's comment. */
export class Fetches {
  readonly #time: Time
  readonly #reader: PartReader
  readonly #budget: ByteBudget
  readonly #fetches = new Set<Fetch>()
  /** By the bytes as they were handed in: a value is read in many fetches. */
  readonly #manifests = new WeakMap<Uint8Array, Manifest>()

  constructor(time: Time, reader: PartReader, budget: ByteBudget) {
    this.#time = time
    this.#reader = reader
    this.#budget = budget
  }

  get underWay(): number {
    return this.#fetches.size
  }

  /** As Blobs.fetch of the member. */
  async fetch(call: FetchRequest): Promise<Buffer> {
    const fetch = new Fetch(call)
    this.#fetches.add(fetch)
    try {
      return await Promise.race([this.#read(call, fetch), fetch.stopped])
    } finally {
      this.#fetches.delete(fetch)
      fetch.end()
    }
  }

  /** Called with every tick. */
  tick(now: number): void {
    for (const fetch of this.#fetches) {
      if (now >= fetch.deadline) fetch.stop(tooLate())
    }
  }

  /** Nothing is read any more. */
  end(error: unknown): void {
    for (const fetch of this.#fetches) fetch.stop(error)
  }

  async #read(call: FetchRequest, fetch: Fetch): Promise<Buffer> {
    const { key, start } = call
    const manifest = this.#manifestOf(call.manifest)
    const end = Math.min(call.end, manifest.bytes)
    const giveUpAt = Math.min(call.deadline, this.#time.now() + PATIENCE_MS)
    const pieces: Buffer[] = []
    for (const { part, from, to } of spansOf(manifest.parts, { start, end })) {
      const read = () =>
        this.#reader.read(
          { key, manifest, part },
          Math.max(start, from) - from,
          Math.min(end, to) - from,
          { giveUpAt, ended: () => fetch.error },
        )
      pieces.push(await this.#within(part.bytes, fetch, read))
    }
    return Buffer.concat(pieces)
  }

  /** A part is read with room set aside for it. */
  async #within<T>(bytes: number, fetch: Fetch, read: () => Promise<T>): Promise<T> {
    await this.#budget.take(bytes)
    try {
      if (fetch.error !== undefined) throw fetch.error
      return await read()
    } finally {
      this.#budget.give(bytes)
    }
  }

  #manifestOf(bytes: Uint8Array): Manifest {
    const known = this.#manifests.get(bytes)
    if (known !== undefined) return known
    try {
      const manifest = decodeManifest(bytes)
      this.#manifests.set(bytes, manifest)
      return manifest
    } catch (cause) {
      if (!(cause instanceof DecodeError)) throw cause
      const message = `the manifest of a large value: ${cause.message}`
      throw new StoreError('QUORATE_CORRUPTION', message, { cause })
    }
  }
}

function tooLate(): StoreError {
  return new StoreError('QUORATE_TIMEOUT', 'the value was not read in time', { retryable: true })
}
