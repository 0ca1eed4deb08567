/** The program of a member that stores large values for the benchmark; started by ProcessCluster, never by hand. */
import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { Xxh64 } from '@node-rs/xxhash'
import { hostMember } from '../src/cli/processes/host.js'
import { memberOperations } from '../src/cli/processes/member-operations.js'
import type { Store } from '../src/index.js'
import type {
  LargeOperations,
  LargePuts,
  LargePutsResult,
  StreamedResult,
  StreamedValue,
} from './large-operations.js'

/** How far apart values lie in the noise that they are cut out of. */
const SHIFT_BYTES = 4096
const SHIFTS = 256
const CHUNK_BYTES = 65_536
const TIMEOUT_MS = 60_000

/** Bytes that nothing can compress, from which any number of different values are cut. */
class Noise {
  readonly #bytes: Buffer

  constructor(valueBytes: number) {
    this.#bytes = randomBytes(valueBytes + SHIFTS * SHIFT_BYTES)
  }

  /** The value of this number. */
  cut(number: number, bytes: number): Buffer {
    const at = (number % SHIFTS) * SHIFT_BYTES
    return this.#bytes.subarray(at, at + bytes)
  }
}

async function putMany(store: Store, puts: LargePuts): Promise<LargePutsResult> {
  const { prefix, valueBytes, count, inFlight } = puts
  const noise = new Noise(valueBytes)
  const latenciesMs: number[] = []
  let next = 0
  const work = async (): Promise<void> => {
    while (next < count) {
      const number = next++
      const begun = performance.now()
      const options = { timeoutMs: TIMEOUT_MS }
      await store.put(`${prefix}${number}`, noise.cut(number, valueBytes), options)
      latenciesMs.push(performance.now() - begun)
    }
  }
  const begun = performance.now()
  await Promise.all(Array.from({ length: inFlight }, work))
  return { seconds: (performance.now() - begun) / 1000, latenciesMs }
}

async function putStream(store: Store, { key, bytes }: StreamedValue): Promise<StreamedResult> {
  const noise = new Noise(CHUNK_BYTES)
  const hash = new Xxh64()
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (let at = 0, number = 0; at < bytes; at += CHUNK_BYTES, number++) {
      const chunk = noise.cut(number, Math.min(CHUNK_BYTES, bytes - at))
      hash.update(chunk)
      yield chunk
    }
  }
  const begun = performance.now()
  await store.put(key, Readable.from(chunks()), { timeoutMs: TIMEOUT_MS })
  const seconds = (performance.now() - begun) / 1000
  return { seconds, bytes, hash: hash.digest().toString(16) }
}

async function readStream(store: Store, key: string): Promise<StreamedResult> {
  const hash = new Xxh64()
  let bytes = 0
  const begun = performance.now()
  const stream = await store.read(key, { timeoutMs: TIMEOUT_MS })
  if (stream === undefined) throw new Error(`there is no ${key}`)
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    hash.update(chunk)
    bytes += chunk.length
  }
  const seconds = (performance.now() - begun) / 1000
  return { seconds, bytes, hash: hash.digest().toString(16) }
}

const operations: LargeOperations = {
  ...memberOperations,
  putMany,
  putStream,
  readStream: (store, { key }) => readStream(store, key),
  checkpoint: (store) => store.checkpoint(),
  metrics: async (store) => store.metrics(),
  memory: async () => {
    const { rss, arrayBuffers } = process.memoryUsage()
    return { rss, buffers: arrayBuffers }
  },
}

hostMember(operations)
