/**
 * The process that the hot-path benchmark measures: the load generator runs beside the store, as the code of
 * an application that embeds it does.
 */
import { ClassicLevel } from 'classic-level'
import { unreachable } from '../src/base/assert.js'
import { hostMember } from '../src/cli/processes/host.js'
import { memberOperations } from '../src/cli/processes/member-operations.js'
import type { ReadLevel, Store } from '../src/index.js'
import type { HotPathOperations, Operation } from './hot-path-operations.js'
import { type Measurement, measure, measureSync } from './measure.js'

const KEY_COUNT = 20_000
const VALUE_BYTES = 128
const FILL_BATCH = 500
const LEVEL_BATCH = 1_000

const keys = Array.from({ length: KEY_COUNT }, (_, i) => `key:${String(i).padStart(12, '0')}`)
const value = Buffer.alloc(VALUE_BYTES, 'v')
let level: ClassicLevel<string, Buffer> | undefined
let draw = 1

/** A key that follows no order; cheap, because it is part of what is measured. */
function anyKey(): string {
  draw = (Math.imul(draw, 1_664_525) + 1_013_904_223) >>> 0
  return keys[draw % KEY_COUNT]!
}

function openLevel(): ClassicLevel<string, Buffer> {
  if (level === undefined) throw new Error('no classic-level database in this process')
  return level
}

async function fill(store: Store, levelDir: string | undefined): Promise<void> {
  if (levelDir !== undefined) {
    level = new ClassicLevel(levelDir, { valueEncoding: 'buffer' })
    await level.open()
  }
  for (let at = 0; at < KEY_COUNT; at += FILL_BATCH) {
    const group = keys.slice(at, at + FILL_BATCH)
    const puts = group.map((key) => ({ type: 'put' as const, key, value }))
    await store.batch(puts)
    await level?.batch(puts)
  }
}

async function run(
  store: Store,
  operation: Operation,
  inFlight: number,
  ms: number,
): Promise<Measurement> {
  switch (operation.kind) {
    case 'put':
      return measure(inFlight, ms, 1, () => store.put(anyKey(), value))
    case 'get': {
      const options = { consistency: operation.level }
      return measure(inFlight, ms, 1, () => store.get(anyKey(), options))
    }
    case 'view get': {
      const view = store.view({ consistency: operation.level })
      return measure(inFlight, ms, 1, () => view.get(anyKey()))
    }
    case 'scan':
      return measure(inFlight, ms, KEY_COUNT, () => scan(store, operation.level))
    case 'level put': {
      const db = openLevel()
      return measure(inFlight, ms, 1, () => db.put(anyKey(), value, { sync: true }))
    }
    case 'level get': {
      const db = openLevel()
      return measure(inFlight, ms, 1, () => db.get(anyKey()))
    }
    case 'level getSync': {
      const db = openLevel()
      return measureSync(ms, () => db.getSync(anyKey()))
    }
    case 'level scan':
      return measure(inFlight, ms, KEY_COUNT, () => scanLevel(openLevel()))
    case 'level batch':
      return measure(inFlight, ms, LEVEL_BATCH, () => writeBatch(openLevel()))
    default:
      return unreachable(operation)
  }
}

async function scan(store: Store, consistency: ReadLevel): Promise<void> {
  let left = KEY_COUNT
  for await (const _ of store.scan({ consistency })) left--
  if (left !== 0) throw new Error(`a scan gave ${KEY_COUNT - left} keys`)
}

/** In blocks, which is the fastest way that classic-level has. */
async function scanLevel(db: ClassicLevel<string, Buffer>): Promise<void> {
  const iterator = db.iterator()
  let left = KEY_COUNT
  for (;;) {
    const block = await iterator.nextv(LEVEL_BATCH)
    if (block.length === 0) break
    left -= block.length
  }
  await iterator.close()
  if (left !== 0) throw new Error(`a scan gave ${KEY_COUNT - left} keys`)
}

function writeBatch(db: ClassicLevel<string, Buffer>): Promise<void> {
  const batch = db.batch()
  for (let i = 0; i < LEVEL_BATCH; i++) batch.put(anyKey(), value)
  return batch.write()
}

const operations: HotPathOperations = {
  ...memberOperations,
  fill: (store, { levelDir }) => fill(store, levelDir),
  measure: (store, { operation, inFlight, ms }) => run(store, operation, inFlight, ms),
}

hostMember(operations)
