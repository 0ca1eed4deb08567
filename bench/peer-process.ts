/**
 * The program of a process that holds one of the other systems, or a client of it, with its load beside it; or measures
 * what this disk and an empty folder cost. Started by the comparison, never by hand.
 */
import { fdatasync, fdatasyncSync, mkdirSync, openSync, write, writeSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { unreachable } from '../src/base/assert.js'
import { Store } from '../src/index.js'
import { serveParent } from './child.js'
import { type Measurement, measure, measureSync } from './measure.js'
import {
  connectEtcd,
  connectRedis,
  fillPeer,
  openClassicLevel,
  openLmdb,
  type PeerSystem,
} from './peer-systems.js'
import type { PeerName } from './peers.js'
import { keyOf, makeValue } from './workload.js'

/** How a system is opened. */
export interface PeerOpening {
  readonly peer: PeerName
  /** For those that live in this process. */
  readonly dir: string
  /** For those that are servers. */
  readonly ports: readonly number[]
  readonly keyCount: number
  readonly valueBytes: number
}

/** What can be measured of one. */
export type PeerOperation = 'put' | 'get' | 'serializable get' | 'batch of 1,000' | 'scan'

/** How fdatasync is measured. */
export interface SyncRequest {
  readonly dir: string
  readonly ms: number
  /** `pool`: in Node's pool of threads, as a program does whose event loop must not stand still. */
  readonly from: 'this thread' | 'pool'
}

/** What this process does for its parent. */
export interface PeerOperations {
  open(request: PeerOpening): Promise<void>
  measure(request: {
    readonly operation: PeerOperation
    readonly inFlight: number
    readonly ms: number
  }): Promise<Measurement>
  /** One fdatasync after the other, of 512 bytes each, into space that is written already. */
  fdatasync(request: SyncRequest): Promise<Measurement>
  /** Milliseconds from `Store.open` on a folder that does not exist to the first acknowledged put. */
  firstPut(request: { readonly dir: string }): Promise<number>
}

const BATCH = 1000
const SYNC_BYTES = 512
const PREALLOCATED_BYTES = 16 * 1024 * 1024
const writeInPool = promisify(write)
const syncInPool = promisify(fdatasync)

let system: PeerSystem | undefined
let keys: readonly string[] = []
let value: Buffer = Buffer.alloc(0)
let draw = 1

function anyKey(): string {
  draw = (Math.imul(draw, 1_664_525) + 1_013_904_223) >>> 0
  return keys[Math.floor((draw / 0x1_0000_0000) * keys.length)]!
}

async function open({ peer, dir, ports, keyCount, valueBytes }: PeerOpening): Promise<void> {
  keys = Array.from({ length: keyCount }, (_, i) => keyOf(i))
  value = makeValue(valueBytes, 1)
  system = await openSystem(peer, dir, ports)
  await fillPeer(system, keyCount, valueBytes)
}

function openSystem(peer: PeerName, dir: string, ports: readonly number[]): Promise<PeerSystem> {
  switch (peer) {
    case 'classic-level':
      return openClassicLevel(dir)
    case 'lmdb':
      return openLmdb(dir)
    case 'redis':
      return connectRedis(ports[0]!)
    case 'etcd':
      return connectEtcd(ports.map((port) => `127.0.0.1:${port}`))
    default:
      return unreachable(peer)
  }
}

function run(operation: PeerOperation, inFlight: number, ms: number): Promise<Measurement> {
  const on = system!
  switch (operation) {
    case 'put':
      return measure(inFlight, ms, 1, () => on.put(anyKey(), value))
    case 'get':
      return measure(inFlight, ms, 1, () => on.get(anyKey()))
    case 'serializable get':
      return measure(inFlight, ms, 1, () => on.serializableGet(anyKey()))
    case 'batch of 1,000':
      return measure(inFlight, ms, BATCH, () =>
        on.batchUnsynced!(Array.from({ length: BATCH }, anyKey), value),
      )
    case 'scan':
      return measure(inFlight, ms, keys.length, () => on.scanAll!())
    default:
      return unreachable(operation)
  }
}

async function measureFdatasync({ dir, ms, from }: SyncRequest): Promise<Measurement> {
  mkdirSync(dir, { recursive: true })
  const file = openSync(join(dir, 'preallocated'), 'w')
  writeSync(file, Buffer.alloc(PREALLOCATED_BYTES))
  fdatasyncSync(file)
  const bytes = Buffer.alloc(SYNC_BYTES, 1)
  let at = 0
  const next = (): number => {
    at = (at + SYNC_BYTES) % PREALLOCATED_BYTES
    return at
  }
  if (from === 'this thread') {
    return measureSync(ms, () => {
      writeSync(file, bytes, 0, SYNC_BYTES, next())
      fdatasyncSync(file)
    })
  }
  return measure(1, ms, 1, async () => {
    await writeInPool(file, bytes, 0, SYNC_BYTES, next())
    await syncInPool(file)
  })
}

async function firstPut(dir: string): Promise<number> {
  const begun = performance.now()
  const store = await Store.open({ dir })
  await store.put('first', 1)
  const ms = performance.now() - begun
  await store.close()
  return ms
}

const operations: PeerOperations = {
  open,
  measure: ({ operation, inFlight, ms }) => run(operation, inFlight, ms),
  fdatasync: measureFdatasync,
  firstPut: ({ dir }) => firstPut(dir),
}

serveParent({ ...operations })
