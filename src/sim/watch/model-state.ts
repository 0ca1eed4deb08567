/**
 * What commands should do to the state, written down a second time and as plainly as possible: a map of keys and a map
 * of leases. It shares the byte format of commands with the state machine and nothing else. The bounds on what one
 * entry may clear are not modelled: no simulation comes near them.
 */
import { xxh32 } from '@node-rs/xxhash'
import { keyedU32 } from '../../base/prng.js'
import type { KeyRange } from '../../env/database.js'
import type { LogIndex, Term } from '../../raft/types.js'
import type { Clear, Compare, Expire, Operation, Put, Respread } from '../../wire/command.js'
import { decodeManifest, isSameBlob, type Manifest } from '../../wire/manifest.js'
import type { ReadCommand } from '../../wire/read-command.js'

/** The result of a command of whose large values one may not come into force. */
const UNCOVERED = 5

interface Stored {
  /** Of a coded value its manifest. */
  readonly value: Buffer
  /** What a reader is given: of a coded value what its shards come to. */
  readonly content: Buffer
  readonly manifest: Manifest | undefined
  readonly revision: LogIndex
  readonly hash: number
  /** `ttl`, or a lease's name; undefined: it stays. */
  readonly goesWith: string | undefined
  /** 0 unless it goes with `ttl`. */
  readonly ttlMs: number
}

interface HeldLease {
  /** The entry that granted it or kept it alive last. */
  readonly since: LogIndex
  readonly ttlMs: number
}

/** Something that went because its time was over. */
export interface Expired {
  /** The entry from which its time counts. */
  readonly since: LogIndex
  readonly ttlMs: number
  /** The id of a lease; undefined: it was a key. */
  readonly lease: string | undefined
}

/** A put, or a delete when there is no value; never a manifest. */
export interface RawChange {
  readonly key: Buffer
  readonly value: Buffer | undefined
}

/** Where a command stands, and what its large values are judged by. */
export interface Place {
  readonly index: LogIndex
  readonly term: Term
  /** Whether a manifest may come into force here, as far as members are concerned. */
  isCovered(manifest: Manifest): boolean
  /** A manifest comes into force; what its shards come to. */
  introduce(manifest: Manifest): Buffer
}

/** What a command did. */
export interface Outcome {
  /** Its result byte if it has one. */
  readonly result: number | undefined
  readonly changes: readonly RawChange[]
  readonly expired: readonly Expired[]
}

/**
 * The digest of a state is the sum of this over its keys, so that it can follow changes. Not a CRC: those are blind to
 * bytes that carry their own.
 */
export function digestOf(key: Uint8Array, value: Uint8Array, revision: LogIndex): number {
  return keyedU32(xxh32(value, xxh32(key)), key.length, revision)
}

/** See the file's comment. Names of keys and leases are their bytes as latin1. */
export class ModelState {
  readonly #values = new Map<string, Stored>()
  readonly #leases = new Map<string, HeldLease>()
  #digest = 0
  #changes: RawChange[] = []
  #expired: Expired[] = []

  /** Of all keys and values. */
  get digest(): number {
    return this.#digest
  }

  /** Keys and values, bytes as latin1. */
  entries(): Map<string, string> {
    return new Map([...this.#values].map(([key, { content }]) => [key, content.toString('latin1')]))
  }

  /** Of the coded values. */
  get manifests(): readonly Manifest[] {
    return [...this.#values.values()].flatMap(({ manifest }) => manifest ?? [])
  }

  /** Keys with a time to live, and leases. */
  get expiring(): number {
    const keys = [...this.#values.values()].filter(({ ttlMs }) => ttlMs > 0)
    return keys.length + this.#leases.size
  }

  /** Carries out `command`. */
  run(command: ReadCommand, place: Place): Outcome {
    this.#changes = []
    this.#expired = []
    const result = this.#run(command, place)
    return { result, changes: this.#changes, expired: this.#expired }
  }

  #run(command: ReadCommand, place: Place): number | undefined {
    const { index } = place
    switch (command.type) {
      case 'write':
        return this.#write(command.operations, place)
      case 'txn': {
        const holds = command.compares.every((compare) => this.#holds(compare))
        const branch = holds ? command.then : command.else
        if (!this.#hasLeases(branch)) return 2
        if (!areCovered(branch, place)) return UNCOVERED
        this.#write(branch, place)
        return holds ? 1 : 0
      }
      case 'grant':
        if (this.#leases.has(nameOf(command.lease))) return 0
        this.#leases.set(nameOf(command.lease), { since: index, ttlMs: command.ttlMs })
        return 1
      case 'keepAlive': {
        const held = this.#leases.get(nameOf(command.lease))
        if (held === undefined) return 0
        this.#leases.set(nameOf(command.lease), { ...held, since: index })
        return 1
      }
      case 'revoke':
        return this.#end(nameOf(command.lease)) ? 1 : 0
      case 'expire':
        this.#expire(command)
        return undefined
      case 'respread':
        this.#respread(command, place)
        return undefined
      case 'forget':
      case 'retain':
      case 'retained':
        return undefined
    }
  }

  #write(operations: readonly Operation[], place: Place): number | undefined {
    if (!this.#hasLeases(operations)) return 0
    if (!areCovered(operations, place)) return UNCOVERED
    let result: number | undefined
    for (const operation of operations) {
      switch (operation.type) {
        case 'put': {
          const { key, value, expiry, coded } = operation
          const isLeased = expiry?.type === 'lease'
          if (isLeased || coded) result = 1
          const goesWith = isLeased ? nameOf(expiry.lease) : expiry?.type
          const ttlMs = expiry?.type === 'ttl' ? expiry.ttlMs : 0
          const stored = { revision: place.index, goesWith, ttlMs }
          const whole = { ...this.#contentOf(operation, place), ...stored }
          this.#put(Buffer.from(key), Buffer.from(value), whole)
          this.#changes.push({ key: Buffer.from(key), value: whole.content })
          break
        }
        case 'del':
          this.#del(nameOf(operation.key))
          break
        case 'clear':
          result = this.#clear(operation) && operations.length === 1 ? 2 : 1
      }
    }
    return result
  }

  #contentOf({ value, coded }: Put, place: Place): Pick<Stored, 'content' | 'manifest'> {
    if (!coded) return { content: Buffer.from(value), manifest: undefined }
    const manifest = decodeManifest(value)
    return { manifest, content: place.introduce(manifest) }
  }

  /** Other shards of the same value: it keeps everything else. */
  #respread({ expected, put }: Respread, place: Place): void {
    const stored = this.#values.get(nameOf(put.key))
    if (stored?.manifest === undefined || !areCovered([put], place)) return
    const [before, manifest] = [stored.manifest, decodeManifest(put.value)]
    const isExpected = isSameBlob(before.id, expected) || isSameBlob(before.id, manifest.id)
    const isSame = before.bytes === manifest.bytes && before.isStream === manifest.isStream
    if (!isExpected || !isSame) return
    const content = place.introduce(manifest)
    this.#put(Buffer.from(put.key), Buffer.from(put.value), { ...stored, content, manifest })
  }

  #hasLeases(operations: readonly Operation[]): boolean {
    return operations.every((operation) => {
      if (operation.type !== 'put' || operation.expiry?.type !== 'lease') return true
      return this.#leases.has(nameOf(operation.expiry.lease))
    })
  }

  /** Whether the limit was reached. */
  #clear({ range, reverse, limit }: Clear): boolean {
    const names = this.#namesIn(range)
    if (reverse) names.reverse()
    const gone = names.slice(0, limit)
    for (const name of gone) this.#del(name)
    return gone.length === limit
  }

  #end(lease: string): boolean {
    if (!this.#leases.delete(lease)) return false
    const attached = [...this.#values].filter(([, { goesWith }]) => goesWith === lease)
    for (const name of attached.map(([each]) => each).sort()) this.#del(name)
    return true
  }

  #expire({ keys, leases }: Expire): void {
    for (const { key, revision } of keys) {
      const stored = this.#values.get(nameOf(key))
      if (stored?.goesWith !== 'ttl' || stored.revision !== revision) continue
      this.#del(nameOf(key))
      this.#expired.push({ since: revision, ttlMs: stored.ttlMs, lease: undefined })
    }
    for (const { lease, generation } of leases) {
      const held = this.#leases.get(nameOf(lease))
      if (held?.since !== generation) continue
      this.#end(nameOf(lease))
      this.#expired.push({ ...held, lease: Buffer.from(lease).toString('hex') })
    }
  }

  #holds(compare: Compare): boolean {
    if (compare.type === 'empty') return this.#namesIn(compare.range).length === 0
    const stored = this.#values.get(nameOf(compare.key))
    switch (compare.type) {
      case 'revision':
        return (stored?.revision ?? 0) === compare.revision
      case 'exists':
        return stored !== undefined
      case 'absent':
        return stored === undefined
      case 'value':
        return stored?.manifest === undefined && stored?.value.equals(compare.value) === true
    }
  }

  #put(key: Buffer, value: Buffer, rest: Omit<Stored, 'value' | 'hash'>): void {
    const name = nameOf(key)
    const hash = digestOf(key, value, rest.revision)
    this.#digest = (this.#digest - (this.#values.get(name)?.hash ?? 0) + hash) >>> 0
    this.#values.set(name, { ...rest, value, hash })
  }

  #del(name: string): void {
    this.#digest = (this.#digest - (this.#values.get(name)?.hash ?? 0)) >>> 0
    this.#values.delete(name)
    this.#changes.push({ key: Buffer.from(name, 'latin1'), value: undefined })
  }

  #namesIn({ gt, gte, lt, lte }: KeyRange): string[] {
    const isIn = (name: string): boolean => {
      if (gt !== undefined && name <= nameOf(gt)) return false
      if (gte !== undefined && name < nameOf(gte)) return false
      if (lt !== undefined && name >= nameOf(lt)) return false
      return lte === undefined || name <= nameOf(lte)
    }
    return [...this.#values.keys()].filter(isIn).sort()
  }
}

/** Whether every coded value among `operations` may come into force: in the term of its blob, with enough shards. */
function areCovered(operations: readonly Operation[], place: Place): boolean {
  return operations.every((operation) => {
    if (operation.type !== 'put' || !operation.coded) return true
    const manifest = decodeManifest(operation.value)
    return manifest.id.term === place.term && place.isCovered(manifest)
  })
}

function nameOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
}
