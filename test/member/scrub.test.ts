/** What rots unseen is found, and the state is had again before anybody needs it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Scrub } from '../../src/member/scrub.js'
import { SimCluster } from '../../src/sim/sim-cluster.js'
import { SimTime } from '../../src/sim/sim-time.js'
import { SimWorld } from '../../src/sim/world.js'

test('a state whose tables rot is found and had again while the member runs', async () => {
  const cluster = await SimCluster.start(1, ['a', 'b', 'c'], {})
  await cluster.awaitLeader()
  for (let i = 0; i < 10; i++) await cluster.run(cluster.store('a').put(`k${i}`, i))
  const rebuilt: string[] = []
  cluster.store('b').on('rebuilt', ({ why }) => rebuilt.push(why))
  cluster.host('b').databases.rot('data/state')
  await cluster.world.advance(20_000)
  assert.deepEqual(rebuilt, ['a table of data/state is not as it was written'])
  assert.equal(await cluster.run(cluster.store('b').get('k3', { consistency: 'eventual' })), 3)
  await cluster.close()
})

test('a lone member that cannot have its state again says that it is damaged, and serves what it can', async () => {
  const cluster = await SimCluster.start(2, ['a'], {
    storage: { segmentBytes: 65_536, checkpointBytes: 65_536, keepLogBytes: 0 },
  })
  const store = cluster.store('a')
  for (let i = 0; i < 100; i++) await cluster.run(store.put(`k${i}`, 'x'.repeat(2000)))
  await cluster.run(store.checkpoint())
  cluster.host('a').databases.rot('data/state')
  await cluster.world.advance(20_000)
  assert.ok(store.status().firstIndex > 1)
  assert.match(store.status().words.join(' '), /The state is damaged: a table of data\/state/)
  assert.equal(await cluster.run(store.get('k3')), 'x'.repeat(2000))
  await cluster.close()
})

test('a scrub keeps to its rate, comes again after an hour, and ends with its member', async () => {
  const world = new SimWorld(3)
  const time = new SimTime(world)
  const works: Promise<void>[] = []
  const began: number[] = []
  const codes: string[] = []
  let read = 0
  let isRotten = false
  const databases = {
    open: () => assert.fail(),
    list: () => assert.fail(),
    rename: () => assert.fail(),
    remove: () => assert.fail(),
    verify: async (_dir: string, pace: (bytes: number) => Promise<'goOn' | 'stop'>) => {
      began.push(world.now)
      for (let i = 0; i < 100; i++) {
        if ((await pace(10_000)) === 'stop') return undefined
        read += 10_000
      }
      return isRotten ? 'rotten' : undefined
    },
  }
  const scrub = new Scrub(time, databases, 100_000, {
    stateDir: () => 'state',
    own: (work) => works.push(work),
    onDamaged: ({ code }) => codes.push(code),
    fail: (error) => assert.fail(String(error)),
  })
  const tick = () => {
    scrub.tick(time.now())
    world.schedule(500, tick)
  }
  tick()
  await world.advance(10_000)
  assert.ok(read > 400_000 && read < 600_000, `${read} bytes in five seconds`)
  await world.advance(3_700_000)
  assert.equal(began.length, 2)
  assert.equal(codes.length, 0)
  isRotten = true
  await world.advance(3_700_000)
  assert.deepEqual(codes, ['QUORATE_CORRUPTION'])
  await world.advance(3_600_000)
  scrub.end()
  const from = world.now
  await world.complete(Promise.all(works), 60_000)
  assert.ok(world.now - from <= 200)
})
