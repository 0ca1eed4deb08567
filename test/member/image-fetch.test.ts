/** Fetching an image from members that are slow, silent, wrong or hostile, and what a member gives to whoever asks. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { StateMachine } from '../../src/machine/state-machine.js'
import { ImageFetch } from '../../src/member/image-fetch.js'
import { ImageHolder } from '../../src/member/image-holder.js'
import type { LogIndex, NodeId } from '../../src/raft/types.js'
import { SimDisk } from '../../src/sim/sim-disk.js'
import { SimTime } from '../../src/sim/sim-time.js'
import { ChunkStore } from '../../src/snapshot/chunk-store.js'
import { loadImage } from '../../src/snapshot/load-image.js'
import type { ImageManifest } from '../../src/wire/image.js'
import type { Ask, Offer, Piece } from '../../src/wire/snapshot-transfer.js'
import { dumpOf, entry, TestHost } from '../machine/machine-fixture.js'
import { hasCode } from './membership-fixture.js'

const CLUSTER = '0102030405060708'
const PIECE_BYTES = 100_000
const VALUES = 16
const VALUE_BYTES = 300_000

/** What becomes of a piece on its way; undefined: it never comes. */
type Fate = (piece: Piece, ask: Ask) => Piece | undefined

const honest: Fate = (piece) => piece

/** One state, members that hold images of it, and a member that fetches them. */
class Lab {
  readonly host = new TestHost(1)
  readonly time: SimTime
  readonly disk: SimDisk
  machine!: StateMachine
  readonly #holders = new Map<NodeId, { holder: ImageHolder; fate: Fate }>()
  #fetch: ImageFetch | undefined
  readonly asked: [NodeId, Ask][] = []
  #id = 0

  static async open(): Promise<Lab> {
    const lab = new Lab()
    lab.machine = await lab.host.open()
    for (let i = 1; i <= VALUES; i++) await lab.put(i, `k${i}=${`${i % 10}`.repeat(VALUE_BYTES)}`)
    return lab
  }

  private constructor() {
    this.time = new SimTime(this.host.world)
    this.disk = new SimDisk(this.host.world, 'receiver', {})
  }

  run<T>(promise: Promise<T>): Promise<T> {
    return this.host.run(promise)
  }

  async put(index: LogIndex, commands: string): Promise<void> {
    const request = { client: 'c', seq: index, commands }
    await this.run(this.machine.apply([entry(index, [request])]))
  }

  /** A member that holds the present state and whose pieces meet this fate. */
  async hold(node: NodeId, fate: Fate): Promise<ImageManifest> {
    const holder = new ImageHolder({
      time: this.time,
      machine: this.machine,
      clusterId: CLUSTER,
      bytesPerSecond: Number.POSITIVE_INFINITY,
      maxPieceBytes: PIECE_BYTES,
      send: (_to, piece) => this.#sent(node, piece),
      own: () => {},
    })
    const image = await this.run(holder.hold(this.machine.appliedIndex))
    const manifest = await this.run(image!.manifest())
    holder.publish(manifest.index, manifest)
    this.#holders.set(node, { holder, fate })
    return manifest
  }

  offer(manifest: ImageManifest, change: Partial<Offer> = {}): Offer {
    const { index, term, root } = manifest
    return {
      index,
      term,
      leaderTerm: 1,
      session: 1,
      root,
      manifestBytes: this.#holders.get(1)!.holder.publish(index, manifest),
      holders: [...this.#holders.keys()].filter((node) => node !== 1),
      ...change,
    }
  }

  async fetch(offer: Offer): Promise<ImageManifest> {
    const store = await this.run(ChunkStore.open(this.disk, 'incoming'))
    this.#fetch = new ImageFetch(
      {
        time: this.time,
        clusterId: CLUSTER,
        store,
        maxPieceBytes: PIECE_BYTES,
        ask: (to, ask) => this.#ask(to, ask),
        nextId: () => ++this.#id,
      },
      1,
      offer,
    )
    return this.run(this.#fetch.run())
  }

  /** Loads what was fetched and compares it with the state, byte for byte. */
  async verify(manifest: ImageManifest): Promise<void> {
    const store = await this.run(ChunkStore.open(this.disk, 'incoming'))
    const database = await this.run(this.host.databases.open('loaded'))
    await this.run(loadImage(manifest, (chunk) => store.read(chunk), database))
    const loaded = await dumpOf(database, (promise) => this.run(promise))
    await this.run(database.close())
    await this.run(this.machine.close())
    assert.deepEqual(loaded, await this.host.dump())
  }

  #ask(to: NodeId, ask: Ask): boolean {
    this.asked.push([to, ask])
    this.host.world.schedule(1, () => this.#holders.get(to)?.holder.onAsk(9, ask))
    return true
  }

  #sent(from: NodeId, piece: Piece): void {
    const ask = this.asked.findLast(([, { id }]) => id === piece.id)![1]
    const arrives = this.#holders.get(from)!.fate(piece, ask)
    if (arrives === undefined) return
    this.host.world.schedule(1, () => this.#fetch?.onPiece(from, arrives))
  }
}

test('chunks come from all who hold the image, a few at a time, and are the state', async () => {
  const lab = await Lab.open()
  for (const node of [2, 3]) await lab.hold(node, honest)
  const manifest = await lab.hold(1, honest)
  await lab.fetch(lab.offer(manifest))
  const chunks = lab.asked.filter(([, ask]) => ask.firstKey.length > 0)
  for (const node of [1, 2, 3]) {
    assert.ok(chunks.filter(([to]) => to === node).length > chunks.length / 6, `${node}`)
  }
  await lab.verify(manifest)
})

const FATES: Readonly<Record<string, Fate>> = {
  silent: () => undefined,
  'wrong by a bit': (piece) => {
    const bytes = Buffer.from(piece.bytes)
    if (bytes.length > 0) bytes[0]! ^= 1
    return { ...piece, bytes }
  },
  'of another length': (piece) => ({ ...piece, wholeBytes: piece.wholeBytes + 1 }),
  'longer than the chunk': (piece) => ({
    ...piece,
    bytes: Buffer.concat([piece.bytes, Buffer.alloc(10_000_000)]),
  }),
  empty: (piece) => ({ ...piece, bytes: Buffer.alloc(0) }),
  gone: (piece) => ({ ...piece, status: 'gone' }),
  'always busy': (piece) => ({ ...piece, status: 'busy' }),
  'cut off after the first': (piece, { offset }) => (offset === 0 ? piece : undefined),
}

test('one honest member is enough, whatever the others give', async () => {
  const lab = await Lab.open()
  let node = 2
  for (const fate of Object.values(FATES)) await lab.hold(node++, fate)
  const manifest = await lab.hold(1, honest)
  await lab.fetch(lab.offer(manifest))
  await lab.verify(manifest)
})

test('without an honest member the fetch ends with an error, in its time', async () => {
  for (const [title, fate] of Object.entries(FATES)) {
    const lab = await Lab.open()
    const manifest = await lab.hold(1, (piece, ask) => {
      return ask.firstKey.length === 0 ? piece : fate(piece, ask)
    })
    const begun = lab.time.now()
    await assert.rejects(lab.fetch(lab.offer(manifest)), hasCode('QUORATE_NOT_READY'), title)
    assert.ok(lab.time.now() - begun < 60_000, title)
  }
})

test('a manifest that is not the one that was offered is not believed', async () => {
  const lab = await Lab.open()
  const manifest = await lab.hold(1, honest)
  const others: Partial<Offer>[] = [
    { root: '00000000000000aa' },
    { index: manifest.index, term: manifest.term + 1 },
  ]
  for (const change of others) {
    const offer = lab.offer(manifest, change)
    await assert.rejects(lab.fetch(offer), hasCode('QUORATE_CORRUPTION'))
  }
})

test('of a newer image only what has changed is fetched', async () => {
  const lab = await Lab.open()
  const before = await lab.hold(1, honest)
  await lab.fetch(lab.offer(before))
  await lab.put(VALUES + 1, `k3=${'y'.repeat(VALUE_BYTES)}`)
  const after = await lab.hold(1, honest)
  lab.asked.length = 0
  await lab.fetch(lab.offer(after))
  const chunks = new Set(lab.asked.map(([, { firstKey }]) => Buffer.from(firstKey).toString()))
  assert.ok(after.chunks.length > 5)
  assert.ok(chunks.size < after.chunks.length / 2 + 3, `${chunks.size} of ${after.chunks.length}`)
  await lab.verify(after)
})

/** A holder over a state of 16 values, and what it sends. */
async function holding(bytesPerSecond: number) {
  const lab = await Lab.open()
  const sent: Piece[] = []
  const holder = new ImageHolder({
    time: lab.time,
    machine: lab.machine,
    clusterId: CLUSTER,
    bytesPerSecond,
    maxPieceBytes: PIECE_BYTES,
    send: (_to, piece) => sent.push(piece),
    own: () => {},
  })
  const image = await lab.run(holder.hold(VALUES))
  const manifest = await lab.run(image!.manifest())
  holder.publish(VALUES, manifest)
  const ask = (id: number, index = VALUES): Ask => ({
    id,
    index,
    offset: 0,
    maxBytes: 1_000_000_000,
    firstKey: manifest.chunks[id % manifest.chunks.length]!.firstKey,
  })
  return { lab, holder, sent, ask }
}

test('who asks for more than is served at a time is told to wait, and pieces are bounded', async () => {
  const { lab, holder, sent, ask } = await holding(Number.POSITIVE_INFINITY)
  for (let id = 0; id < 100; id++) holder.onAsk(2, ask(id))
  holder.onAsk(3, ask(1000))
  await lab.host.world.advance(1000)
  assert.equal(sent.filter(({ status }) => status === 'ok').length, 17)
  assert.equal(sent.filter(({ status }) => status === 'busy').length, 84)
  assert.ok(sent.every(({ bytes }) => bytes.length <= PIECE_BYTES))
  assert.ok(
    sent.some(({ id, status }) => id === 1000 && status === 'ok'),
    'others are served',
  )
})

test('no more is sent than the rate allows', async () => {
  const { lab, holder, sent, ask } = await holding(200_000)
  for (let id = 0; id < 10; id++) holder.onAsk(2, ask(id))
  await lab.host.world.advance(2100)
  const bytes = sent.reduce((sum, piece) => sum + piece.bytes.length, 0)
  assert.ok(bytes >= 400_000 && bytes <= 600_000, `${bytes} bytes in 2.1 s`)
})

test('an image is let go a minute after its last use, and when others need its place', async () => {
  const { lab, holder, sent, ask } = await holding(Number.POSITIVE_INFINITY)
  const at = async (ms: number): Promise<string> => {
    await lab.host.world.advance(ms)
    holder.tick(lab.time.now())
    sent.length = 0
    holder.onAsk(2, ask(1))
    await lab.host.world.advance(10)
    return sent[0]!.status
  }
  assert.equal(await at(50_000), 'ok')
  assert.equal(await at(50_000), 'ok')
  assert.equal(await at(61_000), 'gone')
  const images: unknown[] = []
  for (let i = 1; i <= 6; i++) {
    await lab.put(VALUES + i, `k=${i}`)
    images.push(await lab.run(holder.hold(VALUES + i)))
  }
  assert.deepEqual(
    images.map((image) => image !== undefined),
    [true, true, true, true, false, false],
    'none of those in use is taken away',
  )
  await lab.host.world.advance(10_000)
  await lab.put(VALUES + 7, 'k=7')
  assert.ok((await lab.run(holder.hold(VALUES + 7))) !== undefined)
})

test('waiting for a state that is never reached ends when the image is let go', async () => {
  const { lab, holder } = await holding(Number.POSITIVE_INFINITY)
  const held = holder.hold(VALUES + 1000)
  holder.release(VALUES + 1000)
  assert.equal(await lab.run(held), undefined)
  const closed = holder.hold(VALUES + 1001)
  holder.close()
  assert.equal(await lab.run(closed), undefined)
})
