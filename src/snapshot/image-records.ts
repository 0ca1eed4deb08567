/**
 * The records of an image from its chunks, proven on the way.
 *
 * Nothing is believed: chunks must have the hashes and first keys of the manifest and follow each other in key order,
 * the manifest must have its root, and the state record, the members and the number of sessions inside must be those
 * of the manifest. Records that were given out before something turned out wrong are good for nothing.
 */
import { compareBytes, equalBytes } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import { MEMBERS_KEY, META_KEY, SESSION_PREFIX } from '../machine/key-space.js'
import { decodeStateRecord } from '../machine/state-record.js'
import type { ConfState } from '../raft/types.js'
import { DecodeError } from '../wire/command.js'
import { type ImageManifest, isSealed } from '../wire/image.js'
import { chunkEntries, hashOf, type ImageChunk } from '../wire/image-chunk.js'

/** Brings the bytes of a chunk. */
export type ChunkReader = (chunk: ImageChunk) => Promise<Buffer>

/** Is given each record, whose bytes hold until its promise settles. */
export type RecordVisitor = (key: Buffer, value: Buffer) => Promise<void> | undefined

/**
 * Gives every record of the image to `visit`, in key order; one chunk is in memory at a time.
 * @throws {StoreError} QUORATE_CORRUPTION when anything is not as the manifest says; what `read` and `visit` throw
 */
export async function visitRecords(
  manifest: ImageManifest,
  read: ChunkReader,
  visit: RecordVisitor,
): Promise<void> {
  if (!isSealed(manifest)) throw wrong('the manifest is not the one that was sealed')
  const proof = new Proof(manifest)
  for (const chunk of manifest.chunks) {
    const bytes = await read(chunk)
    try {
      await visitChunk(proof, chunk, bytes, visit)
    } catch (error) {
      throw error instanceof DecodeError ? wrong(error.message, error) : error
    }
  }
  proof.finish()
}

async function visitChunk(
  proof: Proof,
  chunk: ImageChunk,
  bytes: Buffer,
  visit: RecordVisitor,
): Promise<void> {
  if (bytes.length !== chunk.bytes || hashOf(bytes) !== chunk.hash) {
    throw wrong(`chunk ${chunk.hash} fails its hash`)
  }
  let entries = 0
  let lastKey: Buffer | undefined
  for (const [key, value] of chunkEntries(bytes)) {
    if (entries === 0) proof.begin(chunk, key)
    proof.note(key, value)
    const visiting = visit(key, value)
    if (visiting !== undefined) await visiting
    entries++
    lastKey = key
  }
  if (lastKey === undefined || entries !== chunk.entries) {
    throw wrong(`chunk ${chunk.hash} has ${entries} records, not ${chunk.entries}`)
  }
  proof.end(lastKey)
}

/** What has been seen so far, held against the manifest. */
class Proof {
  readonly #manifest: ImageManifest
  /** Of the chunk before. */
  #lastKey: Buffer | undefined
  #sessions = 0
  #state: Buffer | undefined
  #members: Buffer | undefined

  constructor(manifest: ImageManifest) {
    this.#manifest = manifest
  }

  begin(chunk: ImageChunk, key: Buffer): void {
    if (!equalBytes(key, chunk.firstKey)) {
      throw wrong(`chunk ${chunk.hash} does not begin where the manifest says`)
    }
    if (this.#lastKey !== undefined && compareBytes(this.#lastKey, key) >= 0) {
      throw wrong('its chunks are out of order')
    }
  }

  note(key: Buffer, value: Buffer): void {
    if (key[0] === SESSION_PREFIX) this.#sessions++
    else if (equalBytes(key, META_KEY)) this.#state = Buffer.from(value)
    else if (equalBytes(key, MEMBERS_KEY)) this.#members = Buffer.from(value)
  }

  end(lastKey: Buffer): void {
    // A copy: the chunk's memory is free when it is done.
    this.#lastKey = Buffer.from(lastKey)
  }

  finish(): void {
    const { index, term, digest, sessions, members, conf } = this.#manifest
    if (this.#state === undefined || this.#members === undefined) {
      throw wrong('it has no state record or no members')
    }
    const state = decodeStateRecord(this.#state)
    const isSame =
      state.appliedIndex === index &&
      state.appliedTerm === term &&
      state.digest === digest &&
      state.sessions === sessions &&
      listed(state.conf) === listed(conf)
    if (!isSame) throw wrong('its state record is not that of the manifest')
    if (!equalBytes(this.#members, members))
      throw wrong('its members are not those of the manifest')
    // A session that is missing would let a write of its client be applied twice (trap T-67).
    if (this.#sessions !== sessions) {
      throw wrong(`it has ${this.#sessions} sessions, its state record counts ${sessions}`)
    }
  }
}

function listed(conf: ConfState): string {
  const { voters, votersOutgoing, learners, learnersNext, autoLeave } = conf
  return [voters, votersOutgoing, learners, learnersNext, [autoLeave]].join(' | ')
}

function wrong(what: string, cause?: unknown): StoreError {
  return new StoreError('QUORATE_CORRUPTION', `the image is damaged: ${what}`, { cause })
}
