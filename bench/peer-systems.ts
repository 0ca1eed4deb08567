/**
 * Other systems under one interface: 16-byte keys, binary values, and each with the durability that it would be run
 * with where acknowledged data must not be lost.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { ClassicLevel } from 'classic-level'
import { loadPackage } from './peers.js'
import { keyOf, makeValue } from './workload.js'

/** Of the peer's reads, where it has several. */
export type PeerRead = 'get' | 'serializable get'

/** A system under load. */
export interface PeerSystem {
  put(key: string, value: Buffer): Promise<unknown>
  get(key: string): Promise<unknown>
  /** A read that may be old; where the system has only one kind, the same as `get`. */
  serializableGet(key: string): Promise<unknown>
  /** Writes them at once, without waiting until they are durable; only where it has that. */
  batchUnsynced?(keys: readonly string[], value: Buffer): Promise<unknown>
  /** Reads everything in blocks; resolves with the number of entries. Only where it has that. */
  scanAll?(): Promise<number>
  close(): Promise<void>
}

const FILL_BATCH = 500
const SCAN_BLOCK = 1000

/** Puts `keyCount` keys into a system, so many at a time. */
export async function fillPeer(
  system: PeerSystem,
  keyCount: number,
  valueBytes: number,
): Promise<void> {
  const value = makeValue(valueBytes, 0)
  for (let at = 0; at < keyCount; at += FILL_BATCH) {
    const keys = Array.from({ length: Math.min(FILL_BATCH, keyCount - at) }, (_, i) =>
      keyOf(at + i),
    )
    if (system.batchUnsynced !== undefined) await system.batchUnsynced(keys, value)
    else await Promise.all(keys.map((key) => system.put(key, value)))
  }
}

/** LevelDB alone; a put waits for its fsync. */
export async function openClassicLevel(dir: string): Promise<PeerSystem> {
  const level = new ClassicLevel<string, Buffer>(dir, { valueEncoding: 'buffer' })
  await level.open()
  const get = (key: string): Promise<unknown> => level.get(key)
  return {
    put: (key, value) => level.put(key, value, { sync: true }),
    get,
    serializableGet: get,
    batchUnsynced: (keys, value) => {
      const batch = level.batch()
      for (const key of keys) batch.put(key, value)
      return batch.write()
    },
    scanAll: async () => {
      const iterator = level.iterator()
      let found = 0
      for (;;) {
        const block = await iterator.nextv(SCAN_BLOCK)
        if (block.length === 0) break
        found += block.length
      }
      await iterator.close()
      return found
    },
    close: () => level.close(),
  }
}

interface Lmdb {
  open(options: { readonly path: string; readonly encoding: 'binary' }): {
    put(key: string, value: Buffer): Promise<boolean>
    getBinary(key: string): Buffer | undefined
    getRange(options: object): Iterable<unknown>
    /** Resolves when all that was put is on the disk. */
    readonly flushed: Promise<unknown>
    close(): Promise<void>
  }
}

/** LMDB through lmdb-js; a put waits until it is on the disk, which it shares with others of its time. */
export async function openLmdb(dir: string): Promise<PeerSystem> {
  const { open } = (await loadPackage('lmdb')) as Lmdb
  const db = open({ path: dir, encoding: 'binary' })
  const get = async (key: string): Promise<unknown> => db.getBinary(key)
  return {
    put: async (key, value) => {
      await db.put(key, value)
      await db.flushed
    },
    get,
    serializableGet: get,
    scanAll: async () => {
      let found = 0
      for (const _ of db.getRange({})) found++
      return found
    },
    close: () => db.close(),
  }
}

interface EtcdModule {
  readonly Etcd3: new (
    options: object,
  ) => {
    put(key: string): { value(value: Buffer): PromiseLike<unknown> }
    get(key: string): PromiseLike<unknown> & { serializable(): PromiseLike<unknown> }
    close(): void
  }
}

/** etcd through the client that Node users have; the servers run already. */
export async function connectEtcd(hosts: readonly string[]): Promise<PeerSystem> {
  const { Etcd3 } = (await loadPackage('etcd3')) as EtcdModule
  const client = new Etcd3({ hosts: [...hosts] })
  return {
    put: async (key, value) => client.put(key).value(value),
    get: async (key) => client.get(key),
    serializableGet: async (key) => client.get(key).serializable(),
    close: async () => client.close(),
  }
}

/** Redis over one connection with pipelining, which no client does faster; the server runs already. */
export async function connectRedis(port: number): Promise<PeerSystem> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  const redis = new RedisConnection(socket)
  const get = (key: string): Promise<unknown> => redis.call('GET', key)
  return {
    put: (key, value) => redis.call('SET', key, value),
    get,
    serializableGet: get,
    close: async () => {
      socket.destroy()
    },
  }
}

interface Waiting {
  resolve(): void
  reject(error: Error): void
}

/** Enough of RESP for SET and GET: replies are `+OK`, `-error`, `$-1` or `$bytes`. */
class RedisConnection {
  readonly #socket: Socket
  readonly #waiting: Waiting[] = []
  #rest: Buffer = Buffer.alloc(0)
  #next = 0
  #out: Buffer[] = []

  constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk) => this.#read(chunk))
    socket.on('close', () => {
      for (const { reject } of this.#waiting.slice(this.#next)) reject(new Error('redis has gone'))
    })
  }

  call(...words: readonly (string | Buffer)[]): Promise<void> {
    const parts = words.flatMap((word) => {
      const bytes = typeof word === 'string' ? Buffer.from(word) : word
      return [Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n')]
    })
    if (this.#out.length === 0) process.nextTick(() => this.#flush())
    this.#out.push(Buffer.from(`*${words.length}\r\n`), ...parts)
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
  }

  /** What one turn asks for leaves together. */
  #flush(): void {
    const out = this.#out
    this.#out = []
    this.#socket.write(Buffer.concat(out))
  }

  #read(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    let at = 0
    for (;;) {
      const lineEnd = bytes.indexOf('\r\n', at)
      if (lineEnd === -1) break
      const line = bytes.toString('latin1', at, lineEnd)
      const length = line.startsWith('$') ? Number(line.slice(1)) : -1
      const end = lineEnd + 2 + (length >= 0 ? length + 2 : 0)
      if (end > bytes.length) break
      this.#settle(line)
      at = end
    }
    this.#rest = bytes.subarray(at)
  }

  #settle(line: string): void {
    const { resolve, reject } = this.#waiting[this.#next++]!
    if (line.startsWith('-')) reject(new Error(`redis: ${line}`))
    else resolve()
    if (this.#next < 1024) return
    this.#waiting.splice(0, this.#next)
    this.#next = 0
  }
}
