/** Backups of running stores, and the clusters that are made of them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { powerCuts } from '../../src/sim/power-cuts.js'
import { SimHost } from '../../src/sim/sim-host.js'
import { SimNetwork } from '../../src/sim/sim-network.js'
import { SimWorld } from '../../src/sim/world.js'
import { restore, verify } from '../../src/store/maintenance.js'
import type { OpenOptions } from '../../src/store/open-options.js'
import { openStore, type Store } from '../../src/store/store.js'
import { grow, hasCode, lone, namesAt, three } from '../member/membership-fixture.js'

/** Every value is a large one, of a part each. */
const CODED = { threshold: 0, unitBytes: 512, codec: 'javascript' }
const OPTIONS = { dir: 'data', valueEncoding: 'utf8' } as const

/** A lone store with 40 values on a host, and a backup of it in `backup`; closed. */
async function backedUp(world: SimWorld, options: Partial<OpenOptions> = {}): Promise<SimHost> {
  const host = new SimHost(world, new SimNetwork(world), 'a')
  const run = <T>(promise: Promise<T>) => world.complete(promise, 60_000)
  const store = await run(openStore(host.boot(), { ...OPTIONS, ...options }))
  for (let i = 0; i < 40; i++) await run(store.put(`k${i}`, `value ${i}`.repeat(20)))
  await run(store.backup('backup'))
  await run(store.close())
  return host
}

async function valuesOf(world: SimWorld, store: Store): Promise<string[]> {
  const keys = Array.from({ length: 40 }, (_, i) => `k${i}`)
  const values = await world.complete(store.getMany<string>(keys), 60_000)
  return values.map((value) => value ?? 'none')
}

const VALUES = Array.from({ length: 40 }, (_, i) => `value ${i}`.repeat(20))

test('a restored store has the data, the revisions and the index of the backup, and goes on from there', async () => {
  const world = new SimWorld(1)
  const host = await backedUp(world)
  const run = <T>(promise: Promise<T>) => world.complete(promise, 60_000)
  const before = await run(openStore(host.boot(), OPTIONS))
  const old = await run(before.getWithMeta('k7'))
  const { clusterId } = before.status()
  await run(before.close())
  const restored = await run(restore(host.boot(), 'backup', 'new', { id: 'z' }))
  const store = await run(openStore(host.boot(), { ...OPTIONS, dir: 'new' }))
  const status = store.status()
  assert.notEqual(restored.clusterId, clusterId)
  assert.deepEqual([status.clusterId, status.id], [restored.clusterId, 'z'])
  assert.deepEqual(await valuesOf(world, store), VALUES)
  assert.equal((await run(store.getWithMeta('k7'))).revision, old.revision)
  const { index } = await run(store.put('k7', 'after'))
  const { term } = await run(verify({ disk: host.disk }, 'backup', {}))
  assert.ok(index > restored.index && store.status().term > term, 'terms never fall')
  await run(store.close())
  const again = await run(openStore(host.boot(), { ...OPTIONS, dir: 'new' }))
  assert.equal(await run(again.get('k7')), 'after')
  await run(again.close())
})

test('a token of the old cluster is refused by the restored one', async () => {
  const world = new SimWorld(2)
  const host = await backedUp(world)
  const run = <T>(promise: Promise<T>) => world.complete(promise, 60_000)
  const before = await run(openStore(host.boot(), OPTIONS))
  const { token } = await run(before.put('k', 'old'))
  await run(before.close())
  await run(restore(host.boot(), 'backup', 'new', {}))
  const store = await run(openStore(host.boot(), { ...OPTIONS, dir: 'new' }))
  assert.throws(() => store.session(token), hasCode('QUORATE_BAD_TOKEN'))
  await run(store.close())
})

test('a backup taken under load is one state: a prefix of what a single writer wrote', async () => {
  const cluster = await three(3)
  const leader = await cluster.awaitLeader()
  const [follower] = cluster.names.filter((name) => name !== leader)
  const store = cluster.store(leader)
  let written = 0
  let isOver = false
  const write = async () => {
    for (; !isOver; written++) await store.put(`k${String(written).padStart(5, '0')}`, written)
  }
  const writing = write()
  await cluster.world.runUntil(() => written >= 50, 60_000)
  const acknowledged = written
  await cluster.run(cluster.store(follower!).backup('backup'))
  isOver = true
  await cluster.run(writing)
  const host = cluster.host(follower!)
  cluster.kill(follower!)
  await cluster.run(restore(host.boot(), 'backup', 'new', {}))
  const restored = await cluster.run(openStore(host.boot(), { dir: 'new' }))
  const found: unknown[] = []
  const collect = async () => {
    for await (const [, value] of restored.scan()) found.push(value)
  }
  await cluster.run(collect())
  assert.deepEqual(
    found,
    found.map((_, i) => i),
  )
  assert.ok(found.length >= acknowledged, 'a strong backup lacks what was acknowledged before it')
  await cluster.run(restored.close())
  await cluster.close()
})

test('a strong backup needs a majority, an eventual one does not', async () => {
  const cluster = await three(4)
  await cluster.run(cluster.store('a').put('k', 1))
  await cluster.world.advance(1000)
  cluster.kill('b')
  cluster.kill('c')
  await cluster.world.advance(10_000)
  const strong = cluster.store('a').backup('strong', { timeoutMs: 2000 })
  await assert.rejects(cluster.run(strong), hasCode('QUORATE_NO_LEADER'))
  await cluster.run(cluster.store('a').backup('weak', { consistency: 'eventual' }))
  await cluster.run(verify({ disk: cluster.host('a').disk }, 'weak', {}))
  await cluster.close()
})

test('a restored cluster of one grows to three by members that join it', async () => {
  const cluster = await lone(5)
  await cluster.run(cluster.store('a').put('k', 'kept'))
  await cluster.run(cluster.store('a').backup('backup'))
  cluster.kill('a')
  await cluster.run(restore(cluster.host('a').boot(), 'backup', 'new', { id: 'a' }))
  await cluster.reopen('a', { dir: 'new', listen: 'a:7100' })
  await cluster.awaitLeader()
  await grow(cluster, 'a', 'b')
  await grow(cluster, 'a', 'c')
  assert.equal(await namesAt(cluster, 'c'), 'a b c')
  cluster.kill('a')
  assert.equal(await cluster.run(cluster.store('c').get('k', { timeoutMs: 20_000 })), 'kept')
  await cluster.close()
})

test('a restored member never gets into the old cluster, and the old one goes on without it', async () => {
  const cluster = await three(6)
  const leader = await cluster.awaitLeader()
  const [other] = cluster.names.filter((name) => name !== leader)
  await cluster.run(cluster.store(other!).put('k', 'old'))
  await cluster.run(cluster.store(other!).backup('backup'))
  cluster.kill(other!)
  await cluster.run(restore(cluster.host(other!).boot(), 'backup', 'new', { id: other! }))
  const members = Object.fromEntries(cluster.names.map((name) => [name, cluster.addressOf(name)]))
  await cluster.reopen(other!, { dir: 'new', id: other!, members })
  await cluster.run(cluster.store(leader).put('k', 'newer'))
  await cluster.run(cluster.store(other!).put('k', 'restored'))
  await cluster.world.advance(10_000)
  assert.equal(await cluster.run(cluster.store(leader).get('k')), 'newer')
  assert.equal(await cluster.run(cluster.store(other!).get('k')), 'restored')
  const view = cluster
    .store(leader)
    .status()
    .members.find(({ id }) => id === other)
  assert.equal(view?.isUp, false)
  await cluster.close()
})

test('closing the store ends a backup, which is none then', async () => {
  const cluster = await lone(7)
  const store = cluster.store('a')
  for (let i = 0; i < 30; i++) await cluster.run(store.put(`k${i}`, 'x'.repeat(100_000)))
  const ended = assert.rejects(store.backup('backup'), hasCode('QUORATE_NOT_OPEN'))
  const { disk } = cluster.host('a')
  await cluster.world.runUntil(
    () => disk.allPaths.some((path) => path.startsWith('backup/')),
    60_000,
  )
  await cluster.close()
  await ended
  await assert.rejects(cluster.run(verify({ disk }, 'backup', {})), hasCode('QUORATE_CORRUPTION'))
})

test('misuse is thrown before anything is done', async () => {
  const cluster = await lone(8)
  const store = cluster.store('a')
  const refused = (call: Promise<unknown>) => assert.rejects(cluster.run(call), TypeError)
  await refused(store.backup(''))
  await refused(store.backup('b', { sinze: 'x' } as object))
  await refused(store.backup('b', { consistency: 'weak' as 'strong' }))
  const env = cluster.host('a').boot()
  await refused(restore(env, 'b', 'c', { id: 'no names with blanks' }))
  await refused(verify(env, 'b', { onProgress: 1 as never }))
  await cluster.close()
})

test('a restore fills only an empty folder, and leaves what is there as it is', async () => {
  const world = new SimWorld(9)
  const host = await backedUp(world)
  const run = <T>(promise: Promise<T>) => world.complete(promise, 60_000)
  await assert.rejects(
    run(restore(host.boot(), 'backup', 'data', {})),
    hasCode('QUORATE_NOT_EMPTY'),
  )
  await assert.rejects(
    run(restore(host.boot(), 'backup', 'backup', {})),
    hasCode('QUORATE_NOT_EMPTY'),
  )
  const store = await run(openStore(host.boot(), OPTIONS))
  assert.deepEqual(await valuesOf(world, store), VALUES)
  await run(store.close())
})

test('a restore of a damaged backup leaves nothing that could be opened, and can be done again', async () => {
  const world = new SimWorld(10)
  const host = await backedUp(world)
  const run = <T>(promise: Promise<T>) => world.complete(promise, 60_000)
  const [chunk] = host.disk.paths('backup/chunks')
  host.disk.corrupt(chunk!, 16, 1)
  await assert.rejects(
    run(restore(host.boot(), 'backup', 'new', {})),
    hasCode('QUORATE_CORRUPTION'),
  )
  const opened = openStore(host.boot(), { ...OPTIONS, dir: 'new' })
  await assert.rejects(run(opened), hasCode('QUORATE_NOT_READY'))
  host.disk.corrupt(chunk!, 16, 1)
  await run(restore(host.boot(), 'backup', 'new', {}))
  const store = await run(openStore(host.boot(), { ...OPTIONS, dir: 'new' }))
  assert.deepEqual(await valuesOf(world, store), VALUES)
  await run(store.close())
})

test('a power cut at each step of a restore leaves a folder that refuses to open, or a whole one', async () => {
  const world = new SimWorld(11)
  await cutOften(world, await backedUp(world), 1)
})

test('so it does with large values: they are all there, or nothing is opened', async () => {
  const world = new SimWorld(12)
  await cutOften(world, await backedUp(world, { erasure: CODED }), 29)
})

/** Looks at what is left after power cuts at every so many boundaries, and once there is a member. */
async function cutOften(world: SimWorld, host: SimHost, every: number): Promise<void> {
  let isDone = false
  const restoring = restore(host.boot(), 'backup', 'new', {}).then(() => {
    isDone = true
  })
  const observe = () => ({ isDone, databases: host.databases.image() })
  let [whole, unfinished, nothing] = [0, 0, 0]
  for await (const cut of powerCuts(world, host.disk, observe, () => isDone)) {
    const later = new SimWorld(cut.boundary)
    const run = <T>(promise: Promise<T>) => later.complete(promise, 60_000)
    const after = new SimHost(later, new SimNetwork(later), 'a')
    after.disk.restore(cut.image)
    after.databases.restore(cut.seen.databases)
    const names = (await run(after.disk.list('new'))) ?? []
    const isWhole = names.includes('member.json')
    if (!isWhole && cut.boundary % every > 1) continue
    if (!isWhole) {
      assert.ok(!cut.seen.isDone)
      if (names.includes('restoring')) {
        unfinished++
        const opened = openStore(after.boot(), { ...OPTIONS, dir: 'new' })
        await assert.rejects(run(opened), hasCode('QUORATE_NOT_READY'))
      } else nothing++
      await run(restore(after.boot(), 'backup', 'new', {}))
    } else whole++
    const store = await run(openStore(after.boot(), { ...OPTIONS, dir: 'new' }))
    assert.deepEqual(await valuesOf(later, store), VALUES, `boundary ${cut.boundary}`)
    await run(store.put('k0', 'after'))
    await run(store.close())
  }
  await restoring
  assert.ok(whole > 0 && unfinished > 10 && nothing > 0, `${whole} ${unfinished} ${nothing}`)
}
