/**
 * The power goes at every beginning and end of a disk operation of a member that takes in the state of others: when it
 * is opened again it has a state that the cluster had, whole and with nothing of the old one in it, and goes on.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { powerCuts } from '../../src/sim/power-cuts.js'
import { SimCluster } from '../../src/sim/sim-cluster.js'
import type { DiskImage } from '../../src/sim/sim-disk.js'
import { SimHost } from '../../src/sim/sim-host.js'
import { SimNetwork } from '../../src/sim/sim-network.js'
import type { SortedBytes } from '../../src/sim/sorted-bytes.js'
import { SimWorld } from '../../src/sim/world.js'
import { openStore, type Store } from '../../src/store/store.js'

const NAMES = ['a', 'b', 'c']
const MEMBERS = { a: 'a:7100', b: 'b:7100', c: 'c:7100' }
const OPTIONS = {
  storage: { segmentBytes: 64 * 1024, checkpointBytes: 64 * 1024, keepLogBytes: 0 },
  secret: 'a secret for simulations',
} as const
/** Of so many boundaries one is opened by itself, and one with the others. */
const ALONE_EVERY = 7
const TOGETHER_EVERY = 61

/** The value of each key by the index at which it was written; undefined when it was deleted. */
type Story = Map<string, { readonly index: number; readonly value: string | undefined }[]>

interface Seen {
  readonly databases: ReadonlyMap<string, SortedBytes>
  readonly others: ReadonlyMap<
    string,
    { readonly disk: DiskImage; readonly databases: ReadonlyMap<string, SortedBytes> }
  >
}

async function write(cluster: SimCluster, via: string, story: Story, key: string, value?: string) {
  const store = cluster.store(via)
  const options = { timeoutMs: 30_000 }
  const { index } = await cluster.run(
    value === undefined ? store.del(key, options) : store.put(key, value, options),
  )
  story.set(key, [...(story.get(key) ?? []), { index, value }])
}

/** A cluster whose member b lacks what the others' logs do not hold any more. */
async function scene(seed: number): Promise<{ cluster: SimCluster; via: string; story: Story }> {
  const cluster = await SimCluster.start(seed, NAMES, OPTIONS)
  await cluster.awaitLeader()
  const story: Story = new Map()
  for (let i = 0; i < 20; i++) await write(cluster, 'a', story, `old${i}`, `old ${i}`)
  await cluster.world.advance(2000)
  cluster.kill('b')
  const via = await cluster.awaitLeader()
  for (let i = 0; i < 20; i += 2) await write(cluster, via, story, `old${i}`)
  for (let i = 0; i < 60; i++) await write(cluster, via, story, `new${i}`, 'x'.repeat(2500))
  await cluster.world.advance(2000)
  for (const name of ['a', 'c']) await cluster.run(cluster.store(name).checkpoint())
  return { cluster, via, story }
}

function expected(story: Story, index: number): Map<string, string> {
  const state = new Map<string, string>()
  for (const [key, writes] of story) {
    const last = writes.findLast((each) => each.index <= index)
    if (last?.value !== undefined) state.set(key, last.value)
  }
  return state
}

async function stateOf(store: Store): Promise<Map<string, string>> {
  const state = new Map<string, string>()
  for await (const [key, value] of store.scan<string>({ consistency: 'eventual' })) {
    state.set(key, value)
  }
  return state
}

function hostOf(
  world: SimWorld,
  network: SimNetwork,
  name: string,
  disk: DiskImage,
  databases: ReadonlyMap<string, SortedBytes>,
): SimHost {
  const host = new SimHost(world, network, name)
  host.disk.restore(disk)
  host.databases.restore(databases)
  return host
}

function open(host: SimHost, id: string): Promise<Store> {
  return openStore(host.boot(), { ...OPTIONS, dir: 'data', id, members: MEMBERS })
}

async function checkAlone(seed: number, image: DiskImage, seen: Seen, story: Story) {
  const world = new SimWorld(seed)
  const host = hostOf(world, new SimNetwork(world), 'b', image, seen.databases)
  const store = await world.complete(open(host, 'b'), 60_000)
  const { appliedIndex, firstIndex } = store.status()
  assert.ok(appliedIndex >= firstIndex - 1)
  assert.deepEqual(await world.complete(stateOf(store), 60_000), expected(story, appliedIndex))
  const left = await host.databases.list('data')
  assert.equal(left.length, 1, `folders ${left} at the start`)
}

async function checkTogether(seed: number, image: DiskImage, seen: Seen, story: Story) {
  const world = new SimWorld(seed)
  const network = new SimNetwork(world)
  const b = hostOf(world, network, 'b', image, seen.databases)
  const opening = [open(b, 'b')]
  for (const [name, { disk, databases }] of seen.others) {
    opening.push(open(hostOf(world, network, name, disk, databases), name))
  }
  const stores = await world.complete(Promise.all(opening), 60_000)
  await world.complete(stores[0]!.put('after', '1', { timeoutMs: 30_000 }), 60_000)
  await world.complete(stores[0]!.get('after', { timeoutMs: 30_000 }), 60_000)
  const end = expected(story, Number.POSITIVE_INFINITY).set('after', '1')
  assert.deepEqual(await world.complete(stateOf(stores[0]!), 60_000), end)
}

test('a power cut at any step of an installation leaves one state or the other, and goes on', async (t) => {
  let images = 0
  for (const seed of [1, 2]) {
    const { cluster, via, story } = await scene(seed)
    const host = cluster.host('b')
    let isDone = false
    const restarted = openStore(host.boot(), { ...OPTIONS, dir: 'data', id: 'b', members: MEMBERS })
      .then(async (store) => {
        while (store.status().snapshots.installed === 0) {
          await new Promise<void>((resolve) => {
            cluster.world.schedule(5, resolve)
          })
        }
        await new Promise<void>((resolve) => {
          cluster.world.schedule(200, resolve)
        })
        assert.deepEqual(
          await stateOf(store),
          expected(story, Number.POSITIVE_INFINITY),
          'the state of the others, with nothing of the old one',
        )
      })
      .finally(() => {
        isDone = true
      })
    const observe = (): Seen => ({
      databases: host.databases.image(),
      others: new Map(
        ['a', 'c'].map((name) => {
          const { disk, databases } = cluster.host(name)
          return [name, { disk: disk.image('none', 0), databases: databases.image() }]
        }),
      ),
    })
    let drawn = 0
    for await (const cut of powerCuts(cluster.world, host.disk, observe, () => isDone)) {
      drawn++
      if (drawn % ALONE_EVERY === 0) {
        await checkAlone(seed + cut.boundary, cut.image, cut.seen, story)
        images++
      }
      if (drawn % TOGETHER_EVERY === 0) {
        await checkTogether(seed + cut.boundary, cut.image, cut.seen, story)
        images++
      }
    }
    await restarted
    assert.ok(cluster.isUp(via))
  }
  t.diagnostic(`${images} power-cut images`)
  assert.ok(images > 40, `only ${images} images: the test has lost its bite`)
})
