/** What the torture test of large values asks of its members. Values are made and judged where they are. */
import { Readable } from 'node:stream'
import type { Store } from '../../../src/index.js'
import { type LevelOperations, levelOperations } from '../levels/operations.js'
import { type Found, identify, largeValue } from './value.js'

/** A write of one large value. */
export interface LargePut {
  readonly seed: number
  readonly key: string
  readonly round: number
  readonly as: 'bytes' | 'stream' | 'batch'
  readonly timeoutMs: number
}

/** A strong read of one. */
export interface LargeGet {
  readonly seed: number
  readonly key: string
  readonly as: 'bytes' | 'stream'
  readonly timeoutMs: number
}

/** The operations of large/member-process.ts. */
export interface LargeTortureOperations extends LevelOperations {
  putLarge(store: Store, request: LargePut): Promise<void>
  getLarge(store: Store, request: LargeGet): Promise<Found>
}

/** Pieces of streams. */
const CHUNK_BYTES = 50_000

/** One member's side. */
export function largeOperations(): LargeTortureOperations {
  return { ...levelOperations(), putLarge, getLarge }
}

async function putLarge(store: Store, put: LargePut): Promise<void> {
  const { key, as, timeoutMs } = put
  const value = largeValue(put.seed, key, put.round)
  switch (as) {
    case 'bytes':
      await store.put(key, value, { timeoutMs })
      return
    case 'batch':
      await store.batch(
        [
          { type: 'put', key, value },
          { type: 'put', key: markOf(key), value: Buffer.from(String(put.round)) },
        ],
        { timeoutMs },
      )
      return
    case 'stream':
      await store.put(key, Readable.from(chunksOf(value)), { timeoutMs })
  }
}

async function getLarge(store: Store, get: LargeGet): Promise<Found> {
  const { seed, key, timeoutMs } = get
  if (get.as === 'bytes') return identify(seed, key, await store.get(key, { timeoutMs }))
  const stream = await store.read(key, { timeoutMs })
  if (stream === undefined) return { type: 'nothing' }
  const chunks: Uint8Array[] = []
  for await (const chunk of stream as AsyncIterable<Uint8Array>) chunks.push(chunk)
  return identify(seed, key, Buffer.concat(chunks))
}

/** A small value that stands beside the large one in the same batch. */
function markOf(key: string): string {
  return `mark/${key}`
}

function* chunksOf(value: Buffer): Generator<Buffer> {
  for (let at = 0; at < value.length; at += CHUNK_BYTES) {
    yield value.subarray(at, at + CHUNK_BYTES)
  }
}
