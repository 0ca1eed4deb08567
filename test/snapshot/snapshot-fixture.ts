/** A small state as records of a database, written in any order, and a host whose databases hold it. */
import { crc32 } from 'node:zlib'
import type { Database } from '../../src/env/database.js'
import {
  DATA_PREFIX,
  MEMBERS_KEY,
  META_KEY,
  prefixed,
  SESSION_PREFIX,
} from '../../src/machine/key-space.js'
import { encodeStateRecord, type StateRecord } from '../../src/machine/state-record.js'
import { VALUE_HEADER_BYTES, writeValueHeader } from '../../src/machine/stored-value.js'
import { SimDatabases } from '../../src/sim/sim-database.js'
import { SimDisk } from '../../src/sim/sim-disk.js'
import { SimWorld } from '../../src/sim/world.js'
import { Image } from '../../src/snapshot/image.js'

export const CLUSTER = '0102030405060708'

export const STATE: StateRecord = {
  appliedIndex: 9,
  appliedTerm: 2,
  conf: { voters: [1, 2], votersOutgoing: [], learners: [7], learnersNext: [], autoLeave: false },
  evictedThrough: 3,
  touches: 4,
  sessions: 1,
  digest: '00112233445566ff',
}

export type DbRecord = readonly [key: Buffer, value: Buffer]

/** What the state machine would store under `key`: `bytes` bytes that depend on `salt`. */
export function valueRecord(name: string, bytes: number, salt = 0): DbRecord {
  const key = Buffer.from(name)
  const stored = Buffer.alloc(VALUE_HEADER_BYTES + bytes, salt)
  writeValueHeader(stored, crc32(stored.subarray(VALUE_HEADER_BYTES), crc32(key)), 5)
  return [prefixed(DATA_PREFIX, key), stored]
}

/** State record, members, one session, and `data`; `state` overrides fields of STATE. */
export function records(data: readonly DbRecord[], state: Partial<StateRecord> = {}): DbRecord[] {
  return [
    [META_KEY, encodeStateRecord({ ...STATE, ...state })],
    [MEMBERS_KEY, Buffer.from('the members')],
    ...data,
    [prefixed(SESSION_PREFIX, Buffer.from('client 8')), Buffer.from('a session')],
  ]
}

/** `count` values of `bytes` bytes under `k0000`, `k0001`, … */
export function values(count: number, bytes: number): DbRecord[] {
  return Array.from({ length: count }, (_, i) =>
    valueRecord(`k${String(i).padStart(4, '0')}`, bytes, i % 251),
  )
}

/** A machine with a disk and databases on virtual time. */
export class SnapshotHost {
  readonly world: SimWorld
  readonly disk: SimDisk
  readonly databases: SimDatabases

  constructor(seed = 1) {
    this.world = new SimWorld(seed)
    this.disk = new SimDisk(this.world, 'a', {})
    this.databases = new SimDatabases(this.world, 'a')
  }

  run<T>(promise: Promise<T>): Promise<T> {
    return this.world.complete(promise, 3_600_000)
  }

  /** A database that holds `content`, written `perBatch` records at a time. */
  async filled(dir: string, content: readonly DbRecord[], perBatch = 7): Promise<Database> {
    const database = await this.run(this.databases.open(dir))
    for (let i = 0; i < content.length; i += perBatch) {
      const batch = database.batch()
      for (const [key, value] of content.slice(i, i + perBatch)) batch.put(key, value)
      await this.run(batch.write())
    }
    return database
  }

  /** An image of a new database with `content`. */
  async image(dir: string, content: readonly DbRecord[]): Promise<Image> {
    return new Image((await this.filled(dir, content)).snapshot(), CLUSTER)
  }

  /** Every record, byte for byte. */
  dump(dir: string): string[] {
    return [...this.databases.contents(dir)].map(([key, value]) => `${hex(key)} ${hex(value)}`)
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
