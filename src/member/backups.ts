/**
 * Backups of a running member: those that it writes itself, and states that it holds fast for clients which fetch them
 * piece by piece.
 *
 * Bounded: STATES_MAX states are held for clients, each for IDLE_MS after its last use; a state that is held costs what
 * LevelDB cannot compact away meanwhile, and the shards of the large values that were replaced since. All end with the
 * member.
 */
import { StoreError } from '../base/errors.js'
import type { Disk } from '../env/disk.js'
import type { Env } from '../env/env.js'
import type { Time } from '../env/time.js'
import type { StateMachine } from '../machine/state-machine.js'
import { type BackupOptions, type BackupResult, writeBackup } from '../snapshot/backup.js'
import { Image } from '../snapshot/image.js'
import type { LargeReader } from '../snapshot/large-values.js'
import { LogArchive } from '../snapshot/log-archive.js'
import {
  asBackupCall,
  type BackupBegun,
  type BackupCall,
  type BackupPiece,
} from '../wire/backup-call.js'
import { DecodeError } from '../wire/command.js'
import { type CallResult, callErrorOf } from '../wire/envelope.js'
import { encodeManifest } from '../wire/image.js'
import { decodeManifest } from '../wire/manifest.js'
import type { BackupRequest, Blobs } from './backend.js'
import type { Identity } from './identity.js'
import type { MemberOptions } from './options.js'

const STATES_MAX = 2
const IDLE_MS = 60_000
/** How long a piece of a large value may take that other members have. */
const FETCH_MS = 30_000

/** What backups work with. */
export interface BackupParts {
  readonly disk: Disk
  readonly time: Time
  readonly machine: StateMachine
  /** 8 bytes in hexadecimal. */
  readonly clusterId: string
  /** The most that is answered at once. */
  readonly maxPieceBytes: number
  readonly blobs: BackupBlobs
  /** Resolves when the state is as asked for. */
  reach(request: BackupRequest): Promise<void>
}

/** What is asked of the member's large values. */
export interface BackupBlobs extends Pick<Blobs, 'fetch'> {
  /** Asks all members to delete no shards until the function that it returns is called. */
  hold(): () => void
}

/** A state held for a client. */
interface Held {
  readonly image: Image
  readonly manifest: Buffer
  /** Ends the hold on shards. */
  readonly release: () => void
  /** The chunk asked for last: its pieces are asked for one by one. */
  chunk: { readonly firstKey: Buffer; readonly bytes: Buffer } | undefined
  usedAt: number
  /** Questions that are being answered. */
  inUse: number
}

/** The backups of one member; see the file's comment. */
export class Backups {
  readonly #parts: BackupParts
  readonly #images = new Set<Image>()
  readonly #work = new Set<Promise<unknown>>()
  readonly #held = new Map<number, Held>()
  #beginning = 0
  #nextId = 1
  #isEnded = false

  constructor(parts: BackupParts) {
    this.#parts = parts
  }

  /**
   * Writes the state, as `request` asks for, into `dest`; writes go on meanwhile.
   * @throws {StoreError} as `writeBackup`; QUORATE_NOT_OPEN when the member is closed meanwhile; QUORATE_OVERLOADED
   */
  run(dest: string, options: BackupOptions, request: BackupRequest): Promise<BackupResult> {
    return this.#own(this.#run(dest, options, request))
  }

  /** A client's call. */
  onCall(params: unknown, reply: (result: CallResult) => void): void {
    const answering = this.#answer(params).then(
      (ok) => reply({ ok }),
      (error: unknown) => reply({ error: callErrorOf(asStoreError(error)) }),
    )
    void this.#own(answering)
  }

  /** Lets go of states that no client has asked about for long. */
  tick(now: number): void {
    for (const [id, { usedAt, inUse }] of [...this.#held]) {
      if (inUse === 0 && now - usedAt >= IDLE_MS) void this.#own(this.#release(id))
    }
  }

  /** Ends all that is under way; nothing reads the state any more when it resolves. */
  async end(): Promise<void> {
    this.#isEnded = true
    await Promise.all([...this.#images].map((image) => image.close()))
    for (const { release } of this.#held.values()) release()
    this.#held.clear()
    while (this.#work.size > 0) await Promise.allSettled(this.#work)
  }

  async #run(dest: string, options: BackupOptions, request: BackupRequest): Promise<BackupResult> {
    const { disk, blobs } = this.#parts
    const release = blobs.hold()
    try {
      const image = await this.#open(request)
      try {
        const source = { scan: image.scan.bind(image), fetch: this.#fetch }
        return await writeBackup(disk, source, dest, options)
      } finally {
        await this.#close(image)
      }
    } finally {
      release()
    }
  }

  async #answer(params: unknown): Promise<BackupBegun | BackupPiece | object> {
    const call = asBackupCall(params)
    switch (call.type) {
      case 'begin':
        return this.#begin(call)
      case 'piece':
        return this.#piece(call)
      case 'value':
        return this.#value(call)
      case 'end':
        await this.#release(call.id)
        return {}
    }
  }

  async #begin({ level, timeoutMs }: BackupCall & { type: 'begin' }): Promise<BackupBegun> {
    if (this.#held.size + this.#beginning >= STATES_MAX) {
      throw new StoreError(
        'QUORATE_OVERLOADED',
        `${STATES_MAX} backups are being fetched already`,
        {
          retryable: true,
        },
      )
    }
    this.#beginning++
    const { time, blobs } = this.#parts
    const release = blobs.hold()
    try {
      const deadline = time.now() + timeoutMs
      const image = await this.#open({ level, minIndex: 0, deadline, signal: undefined })
      const manifest = await this.#manifestOf(image)
      const id = this.#nextId++
      const usedAt = time.now()
      this.#held.set(id, { image, manifest, release, chunk: undefined, usedAt, inUse: 0 })
      return { id, manifestBytes: manifest.length }
    } catch (error) {
      release()
      throw error
    } finally {
      this.#beginning--
    }
  }

  async #manifestOf(image: Image): Promise<Buffer> {
    try {
      return encodeManifest(await image.manifest())
    } catch (error) {
      await this.#close(image)
      throw error
    }
  }

  #piece({ id, firstKey, offset }: BackupCall & { type: 'piece' }): Promise<BackupPiece> {
    return this.#using(id, async (held) => {
      const whole = await wholeOf(held, Buffer.from(firstKey))
      const bytes = whole.subarray(offset, offset + this.#parts.maxPieceBytes)
      if (bytes.length === 0) throw new DecodeError('a piece beyond the end')
      return { wholeBytes: whole.length, bytes }
    })
  }

  #value({ id, key, manifest, offset }: BackupCall & { type: 'value' }): Promise<BackupPiece> {
    return this.#using(id, async () => {
      const { bytes: wholeBytes } = decodeManifest(manifest)
      const end = Math.min(wholeBytes, offset + this.#parts.maxPieceBytes)
      if (offset >= end) throw new DecodeError('a piece beyond the end')
      const range = { key, manifest, start: offset, end, signal: undefined }
      return { wholeBytes, bytes: await this.#fetch(range) }
    })
  }

  async #using<T>(id: number, use: (held: Held) => Promise<T>): Promise<T> {
    const held = this.#held.get(id)
    if (held === undefined) {
      throw new StoreError('QUORATE_NOT_READY', 'this backup has ended, or was idle for too long')
    }
    held.inUse++
    try {
      return await use(held)
    } finally {
      held.inUse--
      held.usedAt = this.#parts.time.now()
    }
  }

  readonly #fetch: LargeReader = (range) => {
    const { time, blobs } = this.#parts
    return blobs.fetch({ ...range, deadline: time.now() + FETCH_MS })
  }

  async #release(id: number): Promise<void> {
    const held = this.#held.get(id)
    this.#held.delete(id)
    held?.release()
    if (held !== undefined) await this.#close(held.image)
  }

  /** The state with everything that reads can see now. */
  async #open(request: BackupRequest): Promise<Image> {
    await this.#parts.reach(request)
    const { machine, clusterId } = this.#parts
    const snapshot = await machine.pin(machine.visible.index)
    if (snapshot === undefined) {
      throw new StoreError('QUORATE_OVERLOADED', 'the state could not be held fast for a backup', {
        retryable: true,
      })
    }
    if (this.#isEnded) {
      await snapshot.close()
      throw new StoreError('QUORATE_NOT_OPEN', 'the store was closed')
    }
    const image = new Image(snapshot, clusterId)
    this.#images.add(image)
    return image
  }

  async #close(image: Image): Promise<void> {
    await image.close()
    this.#images.delete(image)
  }

  #own<T>(work: Promise<T>): Promise<T> {
    const settled = work.finally(() => this.#work.delete(settled))
    this.#work.add(settled)
    return settled
  }
}

/** Where this member keeps log entries that its log lets go of. */
export function archiveOf(
  { disk }: Env,
  { storage }: MemberOptions,
  { clusterId, nodeId }: Identity,
): LogArchive | undefined {
  const { archive } = storage
  return archive === undefined ? undefined : new LogArchive(disk, archive, clusterId, nodeId)
}

async function wholeOf(held: Held, firstKey: Buffer): Promise<Buffer> {
  if (firstKey.length === 0) return held.manifest
  if (held.chunk === undefined || Buffer.compare(held.chunk.firstKey, firstKey) !== 0) {
    held.chunk = { firstKey, bytes: await held.image.readChunk(firstKey) }
  }
  return held.chunk.bytes
}

function asStoreError(error: unknown): StoreError {
  if (error instanceof StoreError) return error
  const code = error instanceof DecodeError ? 'QUORATE_FORMAT' : 'QUORATE_STOPPED'
  const message = error instanceof Error ? error.message : String(error)
  return new StoreError(code, `the backup: ${message}`, { cause: error })
}
