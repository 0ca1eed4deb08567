/** A value as a stream of its bytes: what `store.read` gives. */
import { Readable } from 'node:stream'
import { StoreError } from '../base/errors.js'
import { FETCH_BYTES_MAX, type StoredValue } from '../member/backend.js'
import type { FetchSpec, LargeReads } from './large-reads.js'
import { type ByteRange, manifestOf, piecesOf } from './large-value.js'

/** So many pieces of up to 1 MiB are fetched before they are asked for. */
const AHEAD = 4

/**
 * The bytes of a value, or of a range of them. Iterate over it, or `pipe` it; ends by `destroy`, by leaving the loop,
 * or by the signal. It holds a few MiB at most, however long the value is and however slow its reader.
 *
 * All bytes are of one value. One that was replaced is kept for its readers for a while (`erasure.graceMs`); a reader
 * that takes longer is told so: QUORATE_BLOB_GONE.
 */
export class ValueStream extends Readable {
  /** The log index of the key's last change. */
  readonly revision: number
  /** Of the whole value, whatever the range. */
  readonly valueBytes: number
  /** The range that it gives, within the value. */
  readonly start: number
  readonly end: number
  readonly #stored: StoredValue
  readonly #fetch: (piece: ByteRange) => Promise<Buffer>
  readonly #pieces: Iterator<ByteRange>
  readonly #ahead: Promise<Buffer>[] = []
  readonly #ending = new AbortController()
  readonly #signal: AbortSignal | undefined
  readonly #onAbort = (): void => {
    this.destroy(aborted(this.#signal!))
  }

  /** @internal */
  constructor(
    key: Uint8Array,
    stored: StoredValue,
    { start, end }: ByteRange,
    large: LargeReads,
    { timeoutMs, signal }: FetchSpec,
  ) {
    super()
    const manifest = stored.isCoded ? manifestOf(stored.value) : undefined
    this.revision = stored.revision
    this.valueBytes = manifest?.bytes ?? stored.value.length
    this.end = Math.min(end, this.valueBytes)
    this.start = Math.min(start, this.end)
    this.#stored = stored
    const whole = this.start < this.end ? [{ start: this.start, end: this.end }] : []
    this.#pieces =
      manifest === undefined ? whole.values() : piecesOf(manifest, this, FETCH_BYTES_MAX)
    const spec = { timeoutMs, signal: this.#ending.signal }
    this.#fetch = (piece) => large.fetch(key, stored, piece, spec)
    this.#signal = signal
    signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  /** Resolves when the first bytes are there. @internal @throws {StoreError} why they cannot be had */
  async begin(): Promise<void> {
    this.#fill()
    try {
      await this.#ahead[0]
    } catch (error) {
      this.destroy()
      throw error
    }
  }

  /** @internal */
  override _read(): void {
    this.#fill()
    const next = this.#ahead.shift()
    if (next === undefined) this.push(null)
    else
      next.then(
        (bytes) => this.push(bytes),
        (error: Error) => this.destroy(error),
      )
  }

  /** @internal */
  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#signal?.removeEventListener('abort', this.#onAbort)
    this.#ending.abort()
    callback(error)
  }

  #fill(): void {
    while (this.#ahead.length < AHEAD) {
      const { done, value: piece } = this.#pieces.next()
      if (done) return
      const bytes = this.#bytesOf(piece)
      // Whoever comes to it hears of its failure.
      bytes.catch(() => undefined)
      this.#ahead.push(bytes)
    }
  }

  async #bytesOf(piece: ByteRange): Promise<Buffer> {
    const { isCoded, value } = this.#stored
    return isCoded ? this.#fetch(piece) : value.subarray(piece.start, piece.end)
  }
}

function aborted(signal: AbortSignal): StoreError {
  return new StoreError('QUORATE_ABORTED', 'the read was aborted by its caller', {
    cause: signal.reason,
  })
}
