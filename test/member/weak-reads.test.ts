import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SimCluster } from '../../src/sim/sim-cluster.js'
import { Tokens } from '../../src/store/token.js'

const NAMES = ['a', 'b', 'c']

interface Trio {
  readonly cluster: SimCluster
  readonly leader: string
  readonly follower: string
  readonly other: string
}

async function three(seed: number): Promise<Trio> {
  const cluster = await SimCluster.start(seed, NAMES, {})
  const leader = await cluster.awaitLeader()
  const [follower, other] = NAMES.filter((name) => name !== leader)
  await cluster.run(cluster.store(leader).put('k', 'old'))
  await cluster.world.advance(500)
  return { cluster, leader, follower: follower!, other: other! }
}

/** `name` hears from the others, and its state falls behind. */
function slowDown(cluster: SimCluster, name: string): void {
  cluster.host(name).slow(10_000)
}

function tokenAt({ cluster, leader }: Trio, index: number, term: number): string {
  const { clusterId } = cluster.store(leader).status()
  return new Tokens(Buffer.from(clusterId, 'hex'), undefined).encode({ index, term })
}

/** Fails unless `call` is refused with `code` within `ms` of virtual time. */
async function refusedSoon(cluster: SimCluster, ms: number, code: string, call: Promise<unknown>) {
  const from = cluster.world.now
  await assert.rejects(cluster.run(call), { code })
  const took = cluster.world.now - from
  assert.ok(took <= ms, `refused after ${took} ms`)
}

test('a bounded read asks the leader once, and reads within the bound need nobody', async () => {
  const { cluster, follower, leader, other } = await three(1)
  const store = cluster.store(follower)
  const bounded = { consistency: 'eventual', maxStalenessMs: 2000 } as const
  const first = await cluster.run(store.getWithMeta('k', bounded))
  assert.equal(first.servedBy, follower)
  assert.ok(first.stalenessMs !== undefined && first.stalenessMs < 100, `${first.stalenessMs}`)
  cluster.network.partition([[follower], [leader, other]])
  await cluster.world.advance(1500)
  const second = await cluster.run(store.getWithMeta('k', bounded))
  assert.ok(second.stalenessMs! >= 1500 && second.stalenessMs! <= 2000, `${second.stalenessMs}`)
  await cluster.close()
})

test('a cut-off follower serves what is young enough, then says QUORATE_TOO_STALE', async () => {
  const { cluster, follower, leader, other } = await three(2)
  const store = cluster.store(follower)
  const bounded = { consistency: 'eventual', maxStalenessMs: 300, timeoutMs: 1000 } as const
  await cluster.run(store.get('k', bounded))
  cluster.network.partition([[follower], [leader, other]])
  assert.equal(await cluster.run(store.get('k', bounded)), 'old')
  await cluster.world.advance(400)
  await refusedSoon(
    cluster,
    0,
    'QUORATE_TOO_STALE',
    store.get('k', { ...bounded, onBehind: 'fail' }),
  )
  await refusedSoon(cluster, 1100, 'QUORATE_TOO_STALE', store.get('k', bounded))
  const session = store.session()
  await refusedSoon(
    cluster,
    1100,
    'QUORATE_TOO_STALE',
    session.get('k', { ...bounded, consistency: 'session' }),
  )
  assert.equal(await cluster.run(store.get('k', { consistency: 'eventual' })), 'old')
  cluster.network.healAll()
  const late = await cluster.run(store.getWithMeta('k', { ...bounded, timeoutMs: 20_000 }))
  assert.ok(late.stalenessMs! <= 300, `${late.stalenessMs}`)
  await cluster.close()
})

test('what was acknowledged longer ago than the bound is seen, counted from the sending of the proof', async () => {
  const { cluster, follower, leader } = await three(10)
  const { world, network } = cluster
  network.setLatency(leader, follower, { minMs: 40, maxMs: 60 })
  network.setLatency(follower, leader, { minMs: 40, maxMs: 60 })
  const acknowledged: { n: number; at: number }[] = []
  for (let n = 1; n <= 200; n++) {
    world.schedule(n * 15, () => {
      const write = cluster.store(leader).put('n', n)
      write.then(
        () => acknowledged.push({ n, at: world.now }),
        (error: unknown) => assert.fail(String(error)),
      )
    })
  }
  await world.advance(100)
  for (let i = 0; i < 25; i++) {
    const maxStalenessMs = 20 + world.below(100, 'bound', i)
    const from = world.now
    const options = { consistency: 'eventual', maxStalenessMs } as const
    const found = await cluster.run(cluster.store(follower).get<number>('n', options))
    const due = acknowledged.findLast(({ at }) => at <= from - maxStalenessMs)?.n ?? 0
    assert.ok((found ?? 0) >= due, `bound ${maxStalenessMs}: ${found} instead of ${due}`)
    await world.advance(world.below(40, 'pause', i))
  }
  await cluster.close()
})

test('a proof does not look young after a pause of the process', async () => {
  const { cluster, follower } = await three(3)
  const store = cluster.store(follower)
  const bounded = { consistency: 'eventual', maxStalenessMs: 1000, onBehind: 'fail' } as const
  await cluster.run(store.get('k', { ...bounded, onBehind: 'wait' }))
  cluster.host(follower).pause()
  await cluster.world.advance(5000)
  cluster.host(follower).resume()
  await assert.rejects(store.get('k', bounded), { code: 'QUORATE_TOO_STALE' })
  await cluster.close()
})

test('a session read that is behind waits, and asks the leader at once or after half of its time', async () => {
  const { cluster, follower, leader } = await three(4)
  slowDown(cluster, follower)
  const { token } = await cluster.run(cluster.store(leader).put('k', 'new'))
  const session = cluster.store(follower).session(token)
  await refusedSoon(cluster, 0, 'QUORATE_BEHIND_TOKEN', session.get('k', { onBehind: 'fail' }))
  const from = cluster.world.now
  const at = await cluster.run(session.getWithMeta('k', { onBehind: 'forward' }))
  assert.deepEqual([at.value, at.servedBy], ['new', leader])
  assert.ok(cluster.world.now - from < 20, `forwarded in ${cluster.world.now - from} ms`)
  const half = await cluster.run(session.getWithMeta('k', { timeoutMs: 2000 }))
  assert.deepEqual([half.value, half.servedBy], ['new', leader])
  const waited = cluster.world.now - from
  assert.ok(waited >= 1000 && waited < 1200, `asked after ${waited} ms`)
  cluster.host(follower).slow(1)
  await cluster.world.advance(30_000)
  assert.equal((await cluster.run(session.getWithMeta('k'))).servedBy, follower)
  await cluster.close()
})

test('a bounded read is served by the leader where this member is behind', async () => {
  const { cluster, follower, leader } = await three(5)
  slowDown(cluster, follower)
  await cluster.run(cluster.store(leader).put('k', 'new'))
  const bounded = { consistency: 'eventual', maxStalenessMs: 10, onBehind: 'forward' } as const
  const { value, servedBy, stalenessMs } = await cluster.run(
    cluster.store(follower).getWithMeta('k', bounded),
  )
  assert.deepEqual([value, servedBy], ['new', leader])
  assert.ok(stalenessMs! <= 10, `${stalenessMs}`)
  const values = await cluster.run(cluster.store(follower).getMany(['k', 'none'], bounded))
  assert.deepEqual(values, ['new', undefined])
  cluster.host(follower).slow(1)
  await cluster.close()
})

test('a forwarded read goes on waiting here when the leader goes, and is served by the next', async () => {
  const { cluster, follower, leader } = await three(6)
  slowDown(cluster, follower)
  const { token } = await cluster.run(cluster.store(leader).put('k', 'new'))
  cluster.network.setLatency(follower, leader, { minMs: 200, maxMs: 200 })
  const session = cluster.store(follower).session(token)
  const read = session.getWithMeta('k', { onBehind: 'forward', timeoutMs: 50_000 })
  await cluster.world.advance(100)
  cluster.kill(leader)
  const { value, servedBy } = await cluster.run(read)
  assert.equal(value, 'new')
  assert.notEqual(servedBy, leader)
  cluster.host(follower).slow(1)
  await cluster.close()
})

test('a token from the future is refused, and not waited for', async () => {
  const trio = await three(7)
  const { cluster, leader, follower } = trio
  const { term, commitIndex } = cluster.store(leader).status()
  for (const name of [leader, follower]) {
    const session = cluster.store(name).session(tokenAt(trio, commitIndex + 5, term))
    await refusedSoon(cluster, 200, 'QUORATE_BAD_TOKEN', session.get('k', { timeoutMs: 10_000 }))
    const scan = session.scan({ timeoutMs: 10_000 })
    await refusedSoon(cluster, 200, 'QUORATE_BAD_TOKEN', scan.next())
  }
  await cluster.close()
})

test('a member that can ask nobody does not call a token forged', async () => {
  const trio = await three(8)
  const { cluster, leader, follower, other } = trio
  cluster.network.partition([[follower], [leader, other]])
  const session = cluster.store(follower).session(tokenAt(trio, 1000, 1))
  const read = session.get('k', { timeoutMs: 1000 })
  await refusedSoon(cluster, 1100, 'QUORATE_BEHIND_TOKEN', read)
  await cluster.close()
})

test('a token whose entry is of another term is refused: the log is another one', async () => {
  const trio = await three(9)
  const { cluster, leader, follower } = trio
  const { term, appliedIndex } = cluster.store(follower).status()
  for (const name of [leader, follower]) {
    const session = cluster.store(name).session(tokenAt(trio, appliedIndex, term + 1))
    await refusedSoon(cluster, 0, 'QUORATE_BAD_TOKEN', session.get('k'))
    const honest = cluster.store(name).session(tokenAt(trio, appliedIndex, term))
    assert.equal(await cluster.run(honest.get('k')), 'old')
  }
  await cluster.close()
})

test('an honest token is never refused, whatever leaders and members come and go', async () => {
  const { cluster } = await three(40)
  const { world } = cluster
  let token = cluster.store('a').session().token
  for (let step = 0; step < 25; step++) {
    const name = NAMES[world.below(3, 'member', step)]!
    const session = cluster.store(name).session(token)
    const options = { timeoutMs: 20_000 }
    if (world.below(2, 'write', step) === 0) await cluster.run(session.put('k', step, options))
    else await cluster.run(session.get('k', options))
    token = session.token
    if (world.below(5, 'cut', step) > 0) continue
    const victim = cluster.leader() ?? name
    cluster.powerCut(victim, 'torn')
    await world.advance(world.below(3000, 'down', step))
    await cluster.restart(victim)
  }
  await cluster.close()
})
