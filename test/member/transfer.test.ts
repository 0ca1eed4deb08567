/** Snapshots on their way: slow, cut off, overtaken, from several members, and never in the way of anything else. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SimCluster } from '../../src/sim/sim-cluster.js'
import type { OpenOptions } from '../../src/store/open-options.js'

const NAMES = ['a', 'b', 'c']
const MIB = 1024 * 1024
const STORAGE = { segmentBytes: 64 * 1024, checkpointBytes: 256 * 1024, keepLogBytes: 0 }
const SLOW = { snapshotBytesPerSecond: 256 * 1024 }

function value(i: number, bytes: number): Buffer {
  return Buffer.alloc(bytes, `value ${i} `)
}

/** Three members, a leading and c down, which lacks what the others' logs do not hold any more. */
class Scene {
  readonly cluster: SimCluster
  readonly #values: { readonly count: number; readonly bytes: number }

  static async open(
    seed: number,
    values: { readonly count: number; readonly bytes: number },
    given: Partial<OpenOptions>,
    keepsAll?: string,
  ): Promise<Scene> {
    // The values are to be in the log and in the state themselves.
    const options = { ...given, erasure: false } as const
    const cluster = await SimCluster.start(seed, NAMES, {
      storage: STORAGE,
      valueEncoding: 'binary',
      ...options,
    })
    const scene = new Scene(cluster, values)
    await cluster.awaitLeader()
    if (keepsAll !== undefined) {
      await scene.reopen(keepsAll, {
        ...options,
        storage: { ...STORAGE, keepLogBytes: 64 * MIB },
      })
    }
    await cluster.world.advance(3000)
    if (cluster.leader() !== 'a') {
      await cluster.run(cluster.store('a').members.transferLeadership('a'))
    }
    await scene.put('a', 'first', 10)
    cluster.kill('c')
    for (let i = 0; i < values.count; i++) await scene.put('a', `k${i}`, values.bytes, i)
    await scene.shorten()
    assert.ok(cluster.store('a').status().firstIndex > values.count)
    return scene
  }

  private constructor(cluster: SimCluster, values: Scene['values']) {
    this.cluster = cluster
    this.#values = values
  }

  get values(): { readonly count: number; readonly bytes: number } {
    return this.#values
  }

  /** Closes a member and opens it with other options. */
  async reopen(name: string, options: Partial<OpenOptions>): Promise<void> {
    const { cluster } = this
    await cluster.run(cluster.store(name).close())
    const members = Object.fromEntries(NAMES.map((each) => [each, cluster.addressOf(each)]))
    const fixed = { dir: 'data', id: name, members, valueEncoding: 'binary' } as const
    await cluster.reopen(name, { ...fixed, ...options })
  }

  async put(via: string, key: string, bytes: number, i = 0): Promise<void> {
    const options = { timeoutMs: 30_000 }
    await this.cluster.run(this.cluster.store(via).put(key, value(i, bytes), options))
  }

  /** Lets the logs of those who run begin as late as they may. */
  async shorten(): Promise<void> {
    await this.cluster.world.advance(2000)
    for (const name of this.cluster.names) {
      if (this.cluster.isUp(name)) await this.cluster.run(this.cluster.store(name).checkpoint())
    }
  }

  installed(name: string): number {
    return this.cluster.store(name).status().snapshots.installed
  }

  /** Lets time pass until c has everything and serves it. */
  async awaitWhole(patienceMs: number): Promise<void> {
    const { cluster } = this
    await cluster.run(this.put(cluster.leader() ?? 'a', 'last', 10))
    const { lastIndex } = cluster.store(await cluster.awaitLeader()).status()
    const store = cluster.store('c')
    await cluster.world.runUntil(() => store.status().appliedIndex >= lastIndex, patienceMs)
    const { count, bytes } = this.#values
    for (let i = 0; i < count; i++) {
      const found = await cluster.run(store.get<Buffer>(`k${i}`, { consistency: 'eventual' }))
      assert.ok(found !== undefined && value(i, bytes).equals(found), `k${i}`)
    }
  }
}

test('a follower down for longer than the log is kept gets values of 1 MiB, from all who have them', async () => {
  const scene = await Scene.open(1, { count: 20, bytes: MIB - 100 }, {})
  const { cluster } = scene
  // The leader alone would take ten minutes.
  await scene.reopen('a', { storage: STORAGE, limits: { snapshotBytesPerSecond: 32 * 1024 } })
  await cluster.awaitLeader()
  await cluster.world.advance(3000)
  await cluster.run(cluster.store('b').members.transferLeadership('a'))
  await scene.shorten()
  await cluster.restart('c')
  await scene.awaitWhole(120_000)
  assert.equal(scene.installed('c'), 1)
  await cluster.close()
})

test('a receiver that is killed again and again goes on where it was', async () => {
  const scene = await Scene.open(2, { count: 12, bytes: 300_000 }, { limits: SLOW })
  const { cluster } = scene
  let had = 0
  for (let round = 0; round < 4; round++) {
    await cluster.restart('c')
    await cluster.world.advance(4000)
    assert.equal(scene.installed('c'), 0)
    cluster.kill('c')
    const left = (await cluster.run(cluster.host('c').boot().disk.list('data/incoming'))) ?? []
    const whole = left.filter((name) => !name.endsWith('.new')).length
    assert.ok(whole >= had, `${whole} chunks are left of ${had}`)
    had = whole
    cluster.kill('c')
  }
  assert.ok(had > 0)
  await cluster.restart('c')
  await scene.awaitWhole(60_000)
  assert.equal(scene.installed('c'), 1)
  assert.deepEqual(await cluster.run(cluster.host('c').disk.list('data/incoming')), [])
  await cluster.close()
})

test('a sender that is killed again and again is followed by another one', async () => {
  const scene = await Scene.open(3, { count: 12, bytes: 300_000 }, { limits: SLOW })
  const { cluster } = scene
  await cluster.restart('c')
  for (let round = 0; round < 4; round++) {
    const leader = await cluster.awaitLeader()
    await cluster.world.runUntil(
      () =>
        cluster
          .store(leader)
          .status()
          .snapshots.sending.some(({ phase }) => phase === 'sending'),
      20_000,
    )
    await cluster.world.advance(1500)
    cluster.kill(leader)
    await cluster.world.advance(4000)
    await cluster.restart(leader)
  }
  await scene.awaitWhole(120_000)
  await cluster.close()
})

test('T-61: the log is kept for a snapshot under way, however long it takes', async () => {
  const scene = await Scene.open(4, { count: 8, bytes: 300_000 }, { limits: SLOW })
  const { cluster } = scene
  await cluster.restart('c')
  const sending = () => cluster.store('a').status().snapshots.sending[0]
  await cluster.world.runUntil(() => sending()?.phase === 'sending', 20_000)
  const { index } = sending()!
  for (let i = 0; scene.installed('c') === 0 && i < 100; i++) {
    await scene.put('a', 'busy', 20_000, i)
    await cluster.run(cluster.store('a').checkpoint())
    assert.ok(cluster.store('a').status().firstIndex <= index + 1)
    await cluster.world.advance(50)
  }
  await scene.awaitWhole(60_000)
  assert.equal(scene.installed('c'), 1, 'it goes on from the log')
  await cluster.world.advance(20_000)
  await scene.shorten()
  assert.ok(cluster.store('a').status().firstIndex > index + 1, 'and then the log goes')
  await cluster.close()
})

test('T-60: a receiver that hangs holds up neither writes nor checkpoints, and the log goes in the end', async () => {
  const scene = await Scene.open(5, { count: 8, bytes: 300_000 }, { limits: SLOW })
  const { cluster } = scene
  await cluster.restart('c')
  const sending = () => cluster.store('a').status().snapshots.sending[0]
  await cluster.world.runUntil(() => sending()?.phase === 'sending', 20_000)
  const { index } = sending()!
  cluster.network.partition([['a', 'b'], ['c']])
  const begun = cluster.world.now
  for (let i = 0; i < 20; i++) await scene.put('a', 'busy', 20_000, i)
  assert.ok(cluster.world.now - begun < 2000)
  await cluster.world.advance(20_000)
  await scene.shorten()
  assert.ok(cluster.store('a').status().firstIndex > index + 1)
  cluster.network.healAll()
  await scene.awaitWhole(60_000)
  await cluster.close()
})

test('a leader that can commit nothing without the receiver sends it what is committed', async () => {
  const scene = await Scene.open(10, { count: 8, bytes: 30_000 }, {})
  const { cluster } = scene
  cluster.kill('b')
  const waiting = cluster.store('a').put('waiting', value(1, 10), { timeoutMs: 50_000 })
  await cluster.world.advance(100)
  await cluster.restart('c')
  await cluster.run(waiting)
  await scene.awaitWhole(30_000)
  assert.equal(scene.installed('c'), 1)
  await cluster.close()
})

test('T-19: a snapshot that comes while another one is taken in takes its place', async () => {
  const scene = await Scene.open(6, { count: 8, bytes: 300_000 }, { limits: SLOW })
  const { cluster } = scene
  await cluster.restart('c')
  const receiving = () => cluster.store('c').status().snapshots.receiving
  for (const leader of ['b', 'a', 'b']) {
    await cluster.world.runUntil(() => (receiving()?.bytes ?? 0) > 0, 20_000)
    const before = receiving()!.index
    await cluster.run(cluster.store('a').members.transferLeadership(leader))
    await scene.put(leader, leader, 1000)
    await cluster.world.runUntil(() => (receiving()?.index ?? 0) > before, 20_000)
    assert.ok(receiving()!.index > before)
  }
  await scene.awaitWhole(60_000)
  assert.equal(scene.installed('c'), 1)
  assert.deepEqual(await cluster.host('c').databases.list('data'), ['state-1'])
  await cluster.close()
})

test('T-17: a snapshot that the log has overtaken meanwhile changes nothing', async () => {
  const scene = await Scene.open(7, { count: 8, bytes: 300_000 }, { limits: SLOW }, 'b')
  const { cluster } = scene
  assert.ok(cluster.store('b').status().firstIndex < 8)
  await cluster.restart('c')
  const receiving = () => cluster.store('c').status().snapshots.receiving
  await cluster.world.runUntil(() => (receiving()?.bytes ?? 0) > 0, 20_000)
  await cluster.run(cluster.store('a').members.transferLeadership('b'))
  await scene.awaitWhole(60_000)
  assert.notEqual(receiving(), undefined, 'the log was quicker')
  await cluster.world.runUntil(() => receiving() === undefined, 60_000)
  assert.equal(scene.installed('c'), 0)
  assert.deepEqual(await cluster.host('c').databases.list('data'), ['state'])
  assert.deepEqual(await cluster.run(cluster.host('c').disk.list('data/incoming')), [])
  await scene.put('b', 'after', 10)
  await cluster.close()
})

test('T-16: what a follower has beyond the snapshot, and nobody else, goes', async () => {
  const cluster = await SimCluster.start(8, NAMES, { storage: STORAGE, valueEncoding: 'binary' })
  await cluster.awaitLeader()
  await cluster.world.advance(2000)
  if (cluster.leader() !== 'a') {
    await cluster.run(cluster.store('a').members.transferLeadership('a'))
  }
  cluster.network.partition([['a'], ['b', 'c']])
  const lost: Promise<unknown>[] = []
  for (let i = 0; i < 40; i++) {
    lost.push(cluster.store('a').put(`lost${i}`, value(i, 100), { timeoutMs: 1000 }))
    await cluster.world.advance(5)
  }
  await cluster.run(Promise.allSettled(lost))
  await cluster.world.runUntil(() => ['b', 'c'].includes(cluster.leader() ?? ''), 20_000)
  const leader = cluster.leader()!
  const tail = cluster.store('a').status().lastIndex
  for (let i = 0; i < 10; i++) {
    await cluster.run(cluster.store(leader).put(`k${i}`, value(i, 30_000), { timeoutMs: 20_000 }))
  }
  await cluster.world.advance(2000)
  for (const name of ['b', 'c']) await cluster.run(cluster.store(name).checkpoint())
  assert.ok(cluster.store(leader).status().lastIndex < tail)
  assert.ok(cluster.store(leader).status().firstIndex > 5)
  cluster.network.healAll()
  const store = cluster.store('a')
  await cluster.world.runUntil(() => store.status().snapshots.installed === 1, 20_000)
  await cluster.run(cluster.store(leader).put('last', value(1, 10), { timeoutMs: 20_000 }))
  const found = await cluster.run(store.get<Buffer>('last', { timeoutMs: 20_000 }))
  assert.ok(found?.equals(value(1, 10)))
  await cluster.world.advance(10_000)
  assert.equal(store.status().snapshots.installed, 1, 'no loop of snapshots')
  assert.equal(store.status().lastIndex, cluster.store(leader).status().lastIndex)
  for (let i = 0; i < 40; i++) {
    const gone = await cluster.run(store.get(`lost${i}`, { consistency: 'eventual' }))
    assert.equal(gone, undefined)
  }
  await cluster.close()
})

test('T-20: a snapshot whose success is not heard of is not sent again', async () => {
  const scene = await Scene.open(9, { count: 8, bytes: 30_000 }, {})
  const { cluster } = scene
  await cluster.restart('c')
  const store = cluster.store('c')
  await cluster.world.runUntil(() => store.status().snapshots.receiving !== undefined, 20_000)
  await cluster.world.runUntil(
    () =>
      store.status().snapshots.installed === 1 || store.status().snapshots.receiving === undefined,
    20_000,
  )
  cluster.network.partition([['a', 'b'], ['c']])
  await cluster.world.advance(20_000)
  cluster.network.healAll()
  await scene.awaitWhole(60_000)
  assert.equal(scene.installed('c'), 1)
  await cluster.close()
})
