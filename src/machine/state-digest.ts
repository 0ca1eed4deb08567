/**
 * A running digest of everything that entries did to the state: the same on every member that applied the same
 * entries alike, and different, for good, on one that did not.
 *
 * Chained word by word over the effects in their order, so that it does not depend on how entries are cut into batches.
 * Each step is a bijection of the 64 bits of state: two digests that differ stay different under equal effects, and
 * effects that differ in a single word never give the same digest. Larger differences are missed once in 2^64. It says
 * that members went apart, and between which entries; it is no defence against anybody who wants it to fit.
 *
 * Values enter by their sealed CRC-32, which stands for key, value and revision: they are not read again here. Of other
 * numbers the lower 32 bits count.
 */
import { crc32 } from 'node:zlib'
import { assert } from '../base/assert.js'
import type { ConfState, LogIndex } from '../raft/types.js'
import type { RequestHeader } from '../wire/request.js'
import type { RequestOutcome, RequestStatus, SessionTable } from './sessions.js'

/** The digest of a state to which nothing was applied. */
export const DIGEST_OF_NOTHING = '0000000000000000'
/** The digests of so many entries are remembered. */
export const DIGESTS_KEPT = 4096

/** Stored in digests: never change. */
const PUT = 1
const DEL = 2
const CONFIGURATION = 3
const RECORD = 4
const STATUS: Readonly<Record<RequestStatus, number>> = {
  applied: 16,
  duplicate: 17,
  gap: 18,
  expired: 19,
  stale: 20,
}

/** The digest after each of the last entries; see the file's comment. */
export class StateDigest {
  #a: number
  #b: number
  #first: LogIndex
  #last: LogIndex
  /** Two words for each entry, at its index modulo DIGESTS_KEPT. */
  readonly #kept: Int32Array = new Int32Array(2 * DIGESTS_KEPT)

  /** @param digest after the entry at `index`, as `at` gives it */
  constructor(index: LogIndex, digest: string) {
    this.#a = Number.parseInt(digest.slice(0, 8), 16) | 0
    this.#b = Number.parseInt(digest.slice(8), 16) | 0
    this.#first = index
    this.#last = index
    this.#keep()
  }

  /** The digest after the entry at `index`, 16 hex digits; undefined when it is not known (any more). */
  at(index: LogIndex): string | undefined {
    if (index < this.#first || index > this.#last) return undefined
    if (index <= this.#last - DIGESTS_KEPT) return undefined
    const slot = 2 * (index % DIGESTS_KEPT)
    return hex(this.#kept[slot]!) + hex(this.#kept[slot + 1]!)
  }

  /** The entry did this to a request. */
  addOutcome(request: RequestHeader, outcome: RequestOutcome): void {
    this.#mix(STATUS[outcome.status])
    this.#mix(request.clientId.readInt32LE(0))
    this.#mix(request.clientId.readInt32LE(4))
    this.#mix(request.seq | 0)
    if (outcome.results.length > 0) this.#mix(crc32(outcome.results))
    // That of any other is the entry's own.
    if (outcome.status !== 'duplicate') return
    this.#mix(outcome.index | 0)
    this.#mix(outcome.term | 0)
  }

  /** A value was stored; `sealed` is what `writeValueHeader` returned. */
  addPut(sealed: number, keyBytes: number, valueBytes: number): void {
    this.#mix(PUT + keyBytes * 4)
    this.#mix(sealed)
    this.#mix(valueBytes)
  }

  /** A key was removed. */
  addDel(key: Buffer): void {
    this.#mix(DEL + key.length * 4)
    this.#mix(crc32(key))
  }

  /** A record that stands for itself was written, or removed when it has no `value`; `key` is that in the database. */
  addRecord(key: Buffer, value: Buffer | undefined): void {
    this.#mix(RECORD + key.length * 4 + (value === undefined ? 0 : 3))
    this.#mix(value === undefined ? crc32(key) : crc32(value, crc32(key)))
  }

  /** Another configuration is in force. */
  addConfiguration(conf: ConfState, members: Uint8Array): void {
    this.#mix(CONFIGURATION)
    this.#mix(conf.autoLeave ? 1 : 0)
    for (const group of [conf.voters, conf.votersOutgoing, conf.learners, conf.learnersNext]) {
      this.#mix(group.length)
      for (const node of group) this.#mix(node | 0)
    }
    this.#mix(crc32(members))
    this.#mix(members.length)
  }

  /** All effects of the entry at `index` are added. */
  endEntry(index: LogIndex, term: number, sessions: SessionTable): void {
    assert(index === this.#last + 1, 'entries are digested without a gap')
    this.#mix(term | 0)
    this.#mix(sessions.size)
    this.#mix(sessions.evictedThrough | 0)
    this.#mix(sessions.touches | 0)
    this.#last = index
    this.#keep()
  }

  #keep(): void {
    const slot = 2 * (this.#last % DIGESTS_KEPT)
    this.#kept[slot] = this.#a
    this.#kept[slot + 1] = this.#b
  }

  /** Every line can be undone when `word` is known: that makes it a bijection. */
  #mix(word: number): void {
    const a = this.#a ^ word
    const mixedA = Math.imul((a << 15) | (a >>> 17), 0x9e3779b1)
    const b = Math.imul((this.#b + 0x165667b1) ^ mixedA, 0x85ebca77)
    const mixedB = (b << 13) | (b >>> 19)
    this.#a = (mixedA + mixedB) | 0
    this.#b = mixedB
  }
}

function hex(word: number): string {
  return (word >>> 0).toString(16).padStart(8, '0')
}
