/**
 * The state of a running member, fetched by a client for a backup: chunk by chunk, each checked against the manifest,
 * and only those that are wanted.
 */
import { StoreError } from '../base/errors.js'
import type { BackupSource } from '../snapshot/backup.js'
import { abortedBy, type ChunkVisitor } from '../snapshot/image.js'
import type { LargeRange } from '../snapshot/large-values.js'
import {
  asBackupBegun,
  asBackupPiece,
  type BackupCall,
  type BackupLevel,
} from '../wire/backup-call.js'
import { DecodeError } from '../wire/command.js'
import { decodeManifest, type ImageManifest } from '../wire/image.js'

/** A state for which the member reads everything once before it answers. */
const BEGIN_MS = 3_600_000
const PIECE_MS = 60_000
const WHOLE_BYTES_MAX = 512 * 1024 * 1024
const NO_KEY = new Uint8Array(0)

/** Makes calls to one member: a ClientConnection, or the like. */
export interface Caller {
  call(method: string, params: unknown, timeoutMs: number): Promise<unknown>
}

/** What a running member holds for this client from `scan` to `end`. */
export class RemoteState implements BackupSource {
  readonly #connection: Caller
  readonly #level: BackupLevel
  readonly #timeoutMs: number
  /** Of what is held. */
  #id: number | undefined

  /** @param timeoutMs how long the member may take to reach a state of `level` */
  constructor(connection: Caller, level: BackupLevel, timeoutMs: number) {
    this.#connection = connection
    this.#level = level
    this.#timeoutMs = timeoutMs
  }

  /** @throws {StoreError} the member's own; QUORATE_ABORTED; QUORATE_NETWORK, QUORATE_TIMEOUT */
  async scan(visit: ChunkVisitor, signal?: AbortSignal): Promise<ImageManifest> {
    const begin = { type: 'begin', level: this.#level, timeoutMs: this.#timeoutMs } as const
    const begun = await this.#call(begin, BEGIN_MS, signal)
    const { id, manifestBytes } = understood(() => asBackupBegun(begun))
    this.#id = id
    const bytes = await this.#fetch(id, NO_KEY, manifestBytes, signal)
    const manifest = understood(() => decodeManifest(bytes))
    for (const chunk of manifest.chunks) {
      await visit(chunk, () => this.#fetch(id, chunk.firstKey, chunk.bytes, signal))
    }
    return manifest
  }

  /** A piece of a large value of the state that was scanned. @throws as `scan` */
  readonly fetch = async (range: LargeRange): Promise<Uint8Array> => {
    const { key, manifest, start: offset, end, signal } = range
    const call = { type: 'value', id: this.#id!, key, manifest, offset } as const
    const answer = await this.#call(call, PIECE_MS, signal)
    const { bytes } = understood(() => asBackupPiece(answer))
    return bytes.subarray(0, end - offset)
  }

  async end(): Promise<void> {
    const id = this.#id
    this.#id = undefined
    // If it does not hear that, it lets go by itself.
    if (id !== undefined) await this.#call({ type: 'end', id }, PIECE_MS).catch(() => undefined)
  }

  async #fetch(
    id: number,
    firstKey: Uint8Array,
    bytes: number,
    signal: AbortSignal | undefined,
  ): Promise<Buffer> {
    if (bytes > WHOLE_BYTES_MAX) throw misfit()
    const whole = Buffer.allocUnsafe(bytes)
    for (let offset = 0; offset < bytes; ) {
      const call = { type: 'piece', id, firstKey, offset } as const
      const answer = await this.#call(call, PIECE_MS, signal)
      const piece = understood(() => asBackupPiece(answer))
      if (piece.wholeBytes !== bytes || offset + piece.bytes.length > bytes) throw misfit()
      whole.set(piece.bytes, offset)
      offset += piece.bytes.length
    }
    return whole
  }

  async #call(call: BackupCall, timeoutMs: number, signal?: AbortSignal): Promise<unknown> {
    if (signal?.aborted === true) throw abortedBy(signal)
    const answer = this.#connection.call('backup', call, timeoutMs)
    if (signal === undefined) return answer
    let onAbort = (): void => {}
    const aborted = new Promise<never>((_, reject) => {
      onAbort = () => reject(abortedBy(signal))
    })
    signal.addEventListener('abort', onAbort)
    try {
      return await Promise.race([answer, aborted])
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }
}

/** What `decode` makes of an answer. @throws {StoreError} QUORATE_FORMAT when it is not understood */
export function understood<T>(decode: () => T): T {
  try {
    return decode()
  } catch (cause) {
    if (!(cause instanceof DecodeError)) throw cause
    throw new StoreError('QUORATE_FORMAT', `the member's answer: ${cause.message}`, { cause })
  }
}

function misfit(): StoreError {
  return new StoreError('QUORATE_FORMAT', 'the member sends another state than it announced')
}
