/**
 * What clients ask this member about retained checkpoints: to have one made, and for what is here of the durable one.
 * Bounded by what a connection may have under way; nothing is held for a client between its calls.
 */
import { StoreError } from '../base/errors.js'
import type { FetchRequest } from '../blob/fetch.js'
import type { ShardStore } from '../blob/shard-store.js'
import type { Time } from '../env/time.js'
import type { RetainedFile } from '../snapshot/retained-file.js'
import type { BackupPiece } from '../wire/backup-call.js'
import { DecodeError } from '../wire/command.js'
import { decodeManifest } from '../wire/manifest.js'
import { retainedBlob } from '../wire/retained.js'
import {
  asRetainedCall,
  type RetainedCall,
  type RetainedDescription,
} from '../wire/retained-call.js'
import type { RetainedCheckpoint, RetainRequest } from './backend.js'

/** How long a piece of a large value may take that other members have. */
const FETCH_MS = 30_000

/** What answers are made of. */
export interface RetainedCallParts {
  readonly time: Time
  readonly store: ShardStore
  /** The most that is answered at once. */
  readonly maxPieceBytes: number
  /** The description of the durable one; undefined when it is not whole here. */
  servable(): RetainedFile | undefined
  slot(): number | undefined
  retain(request: RetainRequest): Promise<RetainedCheckpoint>
  fetch(request: FetchRequest): Promise<Buffer>
}

/** See the file's comment. */
export class RetainedCalls {
  readonly #parts: RetainedCallParts

  constructor(parts: RetainedCallParts) {
    this.#parts = parts
  }

  /** @throws {StoreError} QUORATE_NOT_READY when it is not here; QUORATE_FORMAT; as `retain` and `fetch` */
  async answer(params: unknown): Promise<RetainedCheckpoint | RetainedDescription | BackupPiece> {
    try {
      return await this.#answer(asRetainedCall(params))
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      throw new StoreError('QUORATE_FORMAT', error.message, { cause: error })
    }
  }

  async #answer(
    call: RetainedCall,
  ): Promise<RetainedCheckpoint | RetainedDescription | BackupPiece> {
    const { time, servable, slot, retain } = this.#parts
    switch (call.type) {
      case 'retain':
        return retain({ deadline: time.now() + call.timeoutMs, signal: undefined })
      case 'describe': {
        const [file, index] = [servable(), slot()]
        if (file === undefined || index === undefined) throw notHere()
        return {
          index: file.index,
          root: file.manifest.root,
          slot: index,
          bytes: file.bytes.length,
        }
      }
      case 'file':
        return this.#piece(this.#fileAt(call.index).bytes, call.offset)
      case 'shard':
        return this.#piece(await this.#shard(call), call.offset)
      case 'value':
        return this.#value(call)
    }
  }

  #fileAt(index: number): RetainedFile {
    const file = this.#parts.servable()
    if (file?.index !== index) throw notHere()
    return file
  }

  async #shard({ index, part }: RetainedCall & { type: 'shard' }): Promise<Buffer> {
    const id = retainedBlob(this.#fileAt(index))
    const slot = this.#parts.slot()
    const bytes =
      slot === undefined ? undefined : await this.#parts.store.readWhole({ id, part, index: slot })
    if (bytes === undefined) throw notHere()
    return bytes
  }

  async #value({ key, manifest, offset }: RetainedCall & { type: 'value' }): Promise<BackupPiece> {
    const { time, maxPieceBytes, fetch } = this.#parts
    const { bytes: wholeBytes } = decodeManifest(manifest)
    const end = Math.min(wholeBytes, offset + maxPieceBytes)
    if (offset >= end) throw new DecodeError('a piece beyond the end')
    const range = { key, manifest, start: offset, end, signal: undefined }
    return { wholeBytes, bytes: await fetch({ ...range, deadline: time.now() + FETCH_MS }) }
  }

  #piece(whole: Buffer, offset: number): BackupPiece {
    const bytes = whole.subarray(offset, offset + this.#parts.maxPieceBytes)
    if (bytes.length === 0) throw new DecodeError('a piece beyond the end')
    return { wholeBytes: whole.length, bytes }
  }
}

function notHere(): StoreError {
  const message =
    'the member asked has no retained checkpoint, or not all of its shards, or a newer one'
  return new StoreError('QUORATE_NOT_READY', message, { retryable: true })
}
