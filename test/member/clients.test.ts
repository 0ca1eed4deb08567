/** What a member does for clients and what it does not, said to it frame by frame. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SimCluster } from '../../src/sim/sim-cluster.js'
import { SimHost } from '../../src/sim/sim-host.js'
import type { OpenOptions } from '../../src/store/open-options.js'
import { connectOver } from '../../src/store/remote/connect.js'
import { resolveConnect } from '../../src/store/remote/connect-options.js'
import type { Store } from '../../src/store/store.js'
import { ClientConnection } from '../../src/transport/client.js'
import { ByteWriter } from '../../src/wire/byte-stream.js'
import {
  type Ask,
  decodeReset,
  FRAME_ASKS,
  FRAME_NEWS,
  FRAME_REPLIES,
  FRAME_RESET,
  writeAsk,
} from '../../src/wire/client-ask.js'
import { decodeReplies, type Reply } from '../../src/wire/client-reply.js'
import {
  decodeAnswers,
  encodeRequest,
  FRAME_ANSWERS,
  FRAME_REQUEST,
} from '../../src/wire/forward.js'
import {
  decodeReadAnswers,
  encodeReadCalls,
  FRAME_READ_ANSWERS,
  FRAME_READS,
  type ReadAnswer,
  type ReadCall,
} from '../../src/wire/read-call.js'
import { RequestWriter } from '../../src/wire/request.js'
import { hasCode } from './membership-fixture.js'

const MEMBERS_SECRET = 'a secret for simulations'
const READER = 'a secret for one who reads'
const WRITER = 'a secret for one who writes'
const clients: NonNullable<OpenOptions['clients']> = [
  { secret: READER, role: 'read' },
  { secret: WRITER, role: 'write' },
]
const demand = {
  level: 'eventual',
  onBehind: 'wait',
  minIndex: 0,
  minTerm: 0,
  maxStalenessMs: Number.POSITIVE_INFINITY,
  remainingMs: 5_000,
} as const

async function one(seed: number, options: Partial<OpenOptions> = {}): Promise<SimCluster> {
  const listen = 'a:7100'
  const cluster = await SimCluster.start(seed, ['a'], { listen, clients, ...options })
  await cluster.awaitLeader()
  return cluster
}

function connectedWith(cluster: SimCluster, secret: string): Promise<Store> {
  const world = new SimHost(cluster.world, cluster.network, `client of ${secret}`).boot()
  const settings = resolveConnect(cluster.addressOf('a'), { secret })
  return cluster.run(connectOver(world, settings, () => undefined))
}

/** Somebody who says to a member whatever it wants, and remembers what it hears. */
class Rogue {
  readonly replies = new Map<number, Reply>()
  readonly answers: ReadAnswer[] = []
  readonly written: string[] = []
  resets = 0
  isOver = false
  readonly #cluster: SimCluster
  readonly #connection: ClientConnection
  #isUp = false

  constructor(cluster: SimCluster, secret: string, name = 'rogue') {
    this.#cluster = cluster
    const world = new SimHost(cluster.world, cluster.network, name).boot()
    const options = { tls: undefined, secret: Buffer.from(secret), timeoutMs: 5_000 }
    this.#connection = ClientConnection.open(world, cluster.addressOf('a'), options, {
      up: () => {
        this.#isUp = true
      },
      frame: (kind, body) => this.#hear(kind, body),
      gather: () => undefined,
      ended: () => {
        this.isOver = true
      },
    })
  }

  async up(): Promise<this> {
    await this.until(() => this.#isUp)
    return this
  }

  frame(kind: number, ...parts: Uint8Array[]): void {
    this.#connection.send(kind, parts)
  }

  ask(id: number, ask: Ask): void {
    const writer = new ByteWriter()
    writeAsk(writer, id, ask)
    this.frame(FRAME_ASKS, writer.take())
  }

  read(id: number, keys: readonly string[], more: Partial<ReadCall> = {}): void {
    const call = { id, ...demand, keys: keys.map((key) => Buffer.from(key)), ...more }
    this.frame(FRAME_READS, encodeReadCalls([call]))
  }

  call(method: string, params: unknown): Promise<unknown> {
    return this.#cluster.run(this.#connection.call(method, params, 5_000))
  }

  async until(condition: () => boolean): Promise<void> {
    assert.ok(await this.#cluster.world.runUntil(condition, 30_000), 'this does not happen')
  }

  #hear(kind: number, body: Buffer): void {
    if (kind === FRAME_REPLIES) {
      for (const { id, reply } of decodeReplies(body)) this.replies.set(id, reply)
    } else if (kind === FRAME_READ_ANSWERS) this.answers.push(...decodeReadAnswers(body))
    else if (kind === FRAME_ANSWERS) this.written.push(...decodeAnswers(body).map((a) => a.status))
    else if (kind === FRAME_RESET) this.resets += decodeReset(body) > 0 ? 1 : 0
    else assert.equal(kind, FRAME_NEWS)
  }
}

function codeOf(reply: Reply | undefined): string | undefined {
  return reply?.type === 'error' ? reply.error.code : reply?.type
}

test('a reader reads, watches and asks; it does not write, and is told so before anything is sent', async () => {
  const cluster = await one(1)
  await cluster.run(cluster.store('a').put('k', 1))
  const reader = await connectedWith(cluster, READER)
  assert.equal(await cluster.run(reader.get('k')), 1)
  await cluster.run(reader.members.list())
  const refused = { code: 'QUORATE_FORBIDDEN', outcome: 'none' }
  await assert.rejects(cluster.run(reader.put('k', 2)), refused)
  await assert.rejects(cluster.run(reader.members.remove('a')), hasCode('QUORATE_FORBIDDEN'))
  await assert.rejects(cluster.run(reader.checkpoint()), hasCode('QUORATE_FORBIDDEN'))
  await assert.rejects(cluster.run(reader.backup('backup')), hasCode('QUORATE_FORBIDDEN'))
  await cluster.run(reader.close())
  const writer = await connectedWith(cluster, WRITER)
  await cluster.run(writer.put('k', 2))
  await assert.rejects(cluster.run(writer.checkpoint()), hasCode('QUORATE_FORBIDDEN'))
  await cluster.run(writer.close())
  const admin = await connectedWith(cluster, MEMBERS_SECRET)
  assert.ok((await cluster.run(admin.checkpoint())) > 0)
  await cluster.run(admin.close())
  const stranger = connectedWith(cluster, 'a secret of somebody else')
  await assert.rejects(stranger, hasCode('QUORATE_UNAUTHORIZED'))
  await cluster.close()
})

test('a reader that writes all the same is disconnected, and nothing happens', async () => {
  const cluster = await one(2)
  const rogue = await new Rogue(cluster, READER).up()
  const writer = new RequestWriter(100)
  writer.put(Buffer.from('k'), Buffer.from('x'))
  const request = writer.finish(Buffer.from('rogue id'), 1, 1, 0)
  rogue.frame(FRAME_REQUEST, ...encodeRequest(1, request))
  await rogue.until(() => rogue.isOver)
  assert.equal(await cluster.run(cluster.store('a').get('k')), undefined)
  assert.equal(cluster.store('a').status().rejectedConnections.forbidden, 1)
  await cluster.close()
})

test('a member’s frames from a client, malformed ones and unknown kinds end the connection', async () => {
  const cluster = await one(3)
  const bad: readonly (readonly [kind: number, body: Uint8Array])[] = [
    [1, Buffer.from('a message of the core')],
    [99, Buffer.alloc(0)],
    [FRAME_ASKS, Buffer.from([1, 2, 3])],
    [FRAME_READS, Buffer.from([1, 2, 3])],
    [FRAME_REQUEST, Buffer.from([0, 0, 0, 0, 9, 9])],
  ]
  for (const [i, [kind, body]] of bad.entries()) {
    const rogue = await new Rogue(cluster, WRITER, `rogue ${i}`).up()
    rogue.frame(kind, body)
    await rogue.until(() => rogue.isOver)
  }
  const { kind, malformed } = cluster.store('a').status().rejectedConnections
  assert.deepEqual([kind, malformed], [2, 3])
  await cluster.close()
})

test('views, cursors, watches and waits are bounded, and go with their client', async () => {
  const cluster = await one(4)
  await cluster.run(cluster.store('a').put('k', 1))
  const rogue = await new Rogue(cluster, READER).up()
  for (let id = 1; id <= 260; id++) rogue.ask(id, { type: 'view', cut: 'newest', demand })
  await rogue.until(() => rogue.replies.size === 260)
  const codes = [...rogue.replies.values()].map(codeOf)
  assert.equal(codes.filter((code) => code === 'view').length, 256)
  assert.equal(codes.filter((code) => code === 'QUORATE_OVERLOADED').length, 4)
  for (let id = 1_000; id < 1_300; id++) {
    rogue.ask(id, { type: 'cursor', view: 1, range: {}, reverse: false })
    rogue.ask(id + 1_000, { type: 'entries', cursor: id, maxEntries: 10, maxBytes: 1_000 })
  }
  await rogue.until(() => rogue.replies.has(2_299))
  assert.equal(codeOf(rogue.replies.get(2_000)), 'entries')
  assert.equal(codeOf(rogue.replies.get(2_299)), 'QUORATE_OVERLOADED')
  rogue.ask(5_000, { type: 'end', id: 1 })
  rogue.ask(5_001, { type: 'values', view: 1, keys: [Buffer.from('k')] })
  rogue.ask(5_002, { type: 'view', cut: 'newest', demand })
  await rogue.until(() => rogue.replies.has(5_001) && rogue.replies.has(5_002))
  assert.equal(codeOf(rogue.replies.get(5_001)), 'QUORATE_OVERLOADED')
  assert.equal(codeOf(rogue.replies.get(5_002)), 'view')
  cluster.network.break('rogue', 'a')
  await rogue.until(() => rogue.isOver)
  // The database is closed with no snapshot of it left open.
  await cluster.close()
})

test('reads beyond their bound are refused, and those whose time is up are not served', async () => {
  const cluster = await one(5)
  const rogue = await new Rogue(cluster, READER).up()
  rogue.read(1, ['k'], { minIndex: 10 ** 9, level: 'session', remainingMs: 300 })
  await rogue.until(() => rogue.answers.length === 1)
  const [late] = rogue.answers
  assert.ok(late !== undefined && 'error' in late, 'waited for in vain')
  const many = Array.from({ length: 20_000 }, (_, i) => ({
    id: i + 2,
    ...demand,
    level: 'strong' as const,
    keys: [Buffer.from('k')],
  }))
  rogue.frame(FRAME_READS, encodeReadCalls(many))
  await rogue.until(() => rogue.answers.length === 20_001)
  const refused = rogue.answers.slice(1).filter((answer) => 'error' in answer)
  assert.equal(refused.length, 20_000 - 16_384)
  await cluster.close()
})

const upload = { type: 'blobOpen', isStream: false, remainingMs: 5_000 } as const

test('a reader that uploads is disconnected, and nothing is stored', async () => {
  const cluster = await one(7)
  const rogue = await new Rogue(cluster, READER).up()
  rogue.ask(1, { ...upload, key: Buffer.from('k') })
  await rogue.until(() => rogue.isOver)
  const { rejectedConnections, blobs } = cluster.store('a').status()
  assert.deepEqual([rejectedConnections.forbidden, blobs.uploads], [1, 0])
  await cluster.close()
})

test('uploads are bounded, belong to one client, and go with it', async () => {
  const cluster = await one(8)
  const rogue = await new Rogue(cluster, WRITER).up()
  for (let id = 1; id <= 130; id++) {
    rogue.ask(id, { ...upload, key: Buffer.from('k') })
    rogue.ask(1_000 + id, { type: 'blobWrite', upload: id, bytes: Buffer.alloc(10) })
  }
  await rogue.until(() => rogue.replies.size === 130)
  const codes = [...rogue.replies.values()].map(codeOf)
  assert.equal(codes.filter((code) => code === 'done').length, 128)
  assert.equal(codes.filter((code) => code === 'QUORATE_OVERLOADED').length, 2)
  assert.equal(cluster.store('a').status().blobs.uploads, 128)
  rogue.ask(2_000, { type: 'blobFinish', upload: 1 })
  rogue.ask(2_001, { type: 'blobFinish', upload: 500 })
  await rogue.until(() => rogue.replies.has(2_000) && rogue.replies.has(2_001))
  rogue.ask(2_002, { ...upload, key: Buffer.from('k') })
  assert.equal(codeOf(rogue.replies.get(2_000)), 'bytes')
  assert.equal(codeOf(rogue.replies.get(2_001)), 'QUORATE_OVERLOADED')
  const other = await new Rogue(cluster, WRITER, 'other').up()
  other.ask(1, { type: 'blobWrite', upload: 2, bytes: Buffer.alloc(10) })
  await other.until(() => other.replies.has(1))
  assert.equal(codeOf(other.replies.get(1)), 'QUORATE_OVERLOADED')
  rogue.ask(3, { type: 'probe' })
  await rogue.until(() => rogue.replies.has(3))
  assert.equal(codeOf(rogue.replies.get(3)), 'QUORATE_FORMAT', 'the id is that of an upload')
  for (let id = 10; id < 150; id++) other.ask(id, { ...upload, key: Buffer.from('k') })
  other.ask(500, { type: 'probe' })
  await other.until(() => other.replies.has(500))
  const third = await new Rogue(cluster, WRITER, 'third').up()
  third.ask(1, { ...upload, key: Buffer.from('k') })
  third.ask(2, { type: 'blobWrite', upload: 1, bytes: Buffer.alloc(10) })
  await third.until(() => third.replies.has(2))
  assert.equal(codeOf(third.replies.get(2)), 'QUORATE_OVERLOADED', 'of all clients together')
  cluster.network.break('rogue', 'a')
  cluster.network.break('other', 'a')
  await rogue.until(() => cluster.store('a').status().blobs.uploads === 0)
  assert.equal(third.isOver, false)
  await cluster.close()
})

test('fetches of nonsense are answered with errors', async () => {
  const cluster = await one(9)
  const rogue = await new Rogue(cluster, READER).up()
  const fetch = { type: 'blobFetch', key: Buffer.from('k'), remainingMs: 5_000 } as const
  const manifest = Buffer.from('no manifest')
  rogue.ask(1, { ...fetch, manifest, start: 0, end: 10 })
  rogue.ask(2, { ...fetch, manifest, start: 10, end: 0 })
  rogue.ask(3, { ...fetch, manifest, start: 0, end: 2 ** 40 })
  await rogue.until(() => rogue.replies.size === 3)
  const codes = [1, 2, 3].map((id) => codeOf(rogue.replies.get(id)))
  assert.deepEqual(codes, ['QUORATE_CORRUPTION', 'QUORATE_FORMAT', 'QUORATE_FORMAT'])
  await cluster.close()
})

test('an answer that is too long for a frame is an error, not a broken connection', async () => {
  const cluster = await one(6, { limits: { maxValueBytes: 8_192, maxRequestBytes: 8_192 } })
  const store = cluster.store('a')
  const keys = Array.from({ length: 30 }, (_, i) => `k${i}`)
  for (const key of keys) await cluster.run(store.put(key, 'x'.repeat(8_000)))
  const rogue = await new Rogue(cluster, READER).up()
  rogue.read(1, keys)
  rogue.read(2, ['k1'])
  await rogue.until(() => rogue.answers.length === 2)
  const [first, second] = rogue.answers.toSorted((a, b) => a.id - b.id)
  assert.ok(first !== undefined && 'error' in first && first.error.code === 'QUORATE_TOO_LARGE')
  assert.ok(second !== undefined && 'values' in second)
  // Through a view all of them are had, in several answers.
  const reader = await connectedWith(cluster, READER)
  const level = reader.level({ consistency: 'strong' })
  await cluster.run(level.open())
  assert.equal((await cluster.run(reader.getMany(keys.slice(0, 3)))).length, 3)
  await assert.rejects(cluster.run(reader.getMany(keys)), hasCode('QUORATE_TOO_LARGE'))
  await cluster.run(reader.close())
  await cluster.close()
})

test('a client that does not read what it asked for is served no further, and then disconnected', async () => {
  const cluster = await one(7, { limits: { maxQueuedBytes: 16 * 1024 * 1024 }, erasure: false })
  for (let i = 0; i < 16; i++)
    await cluster.run(cluster.store('a').put(`k${i}`, 'x'.repeat(900_000)))
  const rogue = await new Rogue(cluster, READER).up()
  cluster.network.cut('a', 'rogue')
  for (let id = 1; id <= 200; id++) rogue.read(id, [`k${id % 16}`])
  await cluster.world.advance(3_000)
  cluster.network.heal('a', 'rogue')
  await rogue.until(() => rogue.answers.length === 200)
  cluster.network.cut('a', 'rogue')
  for (let id = 201; id <= 400; id++) rogue.read(id, [`k${id % 16}`])
  await cluster.world.advance(4_500)
  assert.equal(cluster.store('a').status().rejectedConnections.slow, undefined)
  await cluster.world.advance(1_000)
  assert.equal(cluster.store('a').status().rejectedConnections.slow, 1)
  const greedy = await new Rogue(cluster, READER, 'greedy').up()
  cluster.network.cut('a', 'greedy')
  const key = Buffer.alloc(60_000, 'k').toString()
  for (let id = 1; id <= 50; id++) greedy.read(id, ['k1'])
  for (let id = 1_000; id < 1_400; id++) greedy.read(id, [key])
  await cluster.world.advance(1_000)
  assert.equal(cluster.store('a').status().rejectedConnections.slow, 2)
  await cluster.close()
})

test('requests of a client are answered under the link and the number that it gave', async () => {
  const cluster = await one(8)
  const rogue = await new Rogue(cluster, WRITER).up()
  for (let seq = 1; seq <= 3; seq++) {
    const writer = new RequestWriter(100)
    writer.put(Buffer.from(`k${seq}`), Buffer.from('x'))
    rogue.frame(
      FRAME_REQUEST,
      ...encodeRequest(7, writer.finish(Buffer.from('rogue id'), seq, 1, 0)),
    )
  }
  await rogue.until(() => rogue.written.length === 3)
  assert.deepEqual(rogue.written, ['applied', 'applied', 'applied'])
  await cluster.close()
})
