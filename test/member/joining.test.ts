import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SimCluster } from '../../src/sim/sim-cluster.js'
import { grow, hasCode, lone, namesAt, three } from './membership-fixture.js'

test('T-14: a member whose folder was lost is refused, can neither vote nor acknowledge, and says why', async () => {
  const cluster = await three(40)
  const leader = await cluster.awaitLeader()
  const [wiped, other] = cluster.names.filter((name) => name !== leader)
  await cluster.world.advance(3000)
  for (let i = 0; i < 20; i++) await cluster.run(cluster.store(leader).put(`k${i}`, i))
  cluster.wipe(wiped!)
  await cluster.restart(wiped!)
  await cluster.world.advance(5000)
  assert.match(cluster.store(wiped!).status().words.join(' '), /another folder/)
  assert.match(cluster.store(leader).status().words.join(' '), /another folder/)
  // With the other one gone the wiped member would be the second of three.
  cluster.kill(other!)
  const lost = cluster.store(leader).put('k', 'lost', { timeoutMs: 2000 })
  await assert.rejects(cluster.run(lost), hasCode('QUORATE_TIMEOUT'))
  await cluster.world.advance(10_000)
  assert.equal(cluster.leader(), undefined)
  await cluster.restart(other!)
  await cluster.awaitLeader()
  await cluster.run(cluster.store(other!).members.remove(wiped!))
  await grow(cluster, leader, 'd')
  assert.equal(await cluster.run(cluster.store('d').get('k19')), 19)
  await cluster.close()
})

test('T-57: a new member replays the changes of others, and only the end of the log counts', async () => {
  const cluster = await lone(41)
  await grow(cluster, 'a', 'b')
  await grow(cluster, 'a', 'c')
  await cluster.world.advance(2000)
  await cluster.run(cluster.store('a').members.remove('a'))
  await cluster.run(cluster.store('b').members.remove('c'))
  cluster.forget('a')
  cluster.forget('c')
  await grow(cluster, 'b', 'd')
  assert.equal(await namesAt(cluster, 'd'), 'b d')
  await cluster.world.advance(1000)
  assert.equal(cluster.store('d').status().standing, 'voter')
  await cluster.run(cluster.store('d').put('k', 1))
  await cluster.close()
})

test('a member that was away while all the others were replaced is found and brought up to date', async () => {
  const cluster = await three(42)
  await cluster.run(cluster.store('a').put('k', 1))
  await cluster.world.advance(2000)
  cluster.kill('c')
  await cluster.world.advance(4000)
  await grow(cluster, 'a', 'd')
  await grow(cluster, 'a', 'e')
  await cluster.world.advance(2000)
  await cluster.run(cluster.store('e').members.remove('a'))
  await cluster.run(cluster.store('e').members.remove('b'))
  cluster.forget('a')
  cluster.forget('b')
  await cluster.run(cluster.store('d').put('k', 2))
  await cluster.restart('c')
  assert.equal(await cluster.run(cluster.store('c').get('k', { timeoutMs: 20_000 })), 2)
  assert.equal(await namesAt(cluster, 'c'), 'c d e')
  await cluster.close()
})

test('who joins by way of a former member is not taken for one', async () => {
  const cluster = await three(60)
  await cluster.world.advance(2000)
  await cluster.run(cluster.store('b').members.remove('a'))
  await cluster.world.advance(1000)
  await grow(cluster, 'b', 'd')
  assert.equal(await namesAt(cluster, 'd'), 'b c d')
  await cluster.close()
})

test('who nobody adds is not let in, and says so when its time is up', async () => {
  const cluster = await lone(80)
  const begun = cluster.world.now
  await assert.rejects(
    cluster.run(cluster.join('b', { joinTimeoutMs: 3000 })),
    (error: unknown) => {
      assert.match(String(error), /nobody has added b to the cluster/)
      return hasCode('QUORATE_TIMEOUT', 'none')(error)
    },
  )
  assert.ok(cluster.world.now - begun < 4000)
  await cluster.run(cluster.store('a').put('k', 1))
  await cluster.close()
})

test('a member that joined is opened again by its folder alone', async () => {
  const cluster = await lone(81)
  await grow(cluster, 'a', 'b')
  await cluster.run(cluster.store('b').put('k', 1))
  await cluster.world.advance(2000)
  for (const name of ['a', 'b']) cluster.powerCut(name, 'torn')
  await cluster.reopen('a', { dir: 'data' })
  await cluster.reopen('b', { dir: 'data' })
  assert.equal(await cluster.run(cluster.store('b').get('k', { timeoutMs: 20_000 })), 1)
  assert.equal(await namesAt(cluster, 'a'), 'a b')
  await cluster.close()
})

test('a member that nobody could reach cannot be joined, and says what it lacks', async () => {
  const cluster = await SimCluster.start(82, ['a'], {})
  await cluster.awaitLeader()
  const refused = cluster.store('a').members.add('b', 'b:7100')
  await assert.rejects(cluster.run(refused), (error: unknown) => {
    assert.match(String(error), /a has no address that b could reach/)
    return hasCode('QUORATE_NOT_READY', 'none')(error)
  })
  await cluster.close()
})

test('a member that has moved is found, and its new address is put on record', async () => {
  const cluster = await three(83)
  await cluster.world.advance(2000)
  cluster.kill('c')
  await cluster.world.advance(1000)
  await cluster.reopen('c', { dir: 'data', id: 'c', listen: 'c:7200' })
  await cluster.world.advance(8000)
  const { members } = await cluster.run(cluster.store('a').members.list())
  assert.deepEqual(
    members.map(({ address }) => address),
    ['a:7100', 'b:7100', 'c:7200'],
  )
  assert.ok(members.every(({ isUp }) => isUp))
  await cluster.close()
})

test('a cluster that has moved as a whole finds itself by the addresses of its options', async () => {
  const cluster = await three(84)
  await cluster.run(cluster.store('a').put('k', 1))
  await cluster.world.advance(2000)
  const { names } = cluster
  for (const name of names) cluster.kill(name)
  const members = Object.fromEntries(names.map((name) => [name, `${name}:7300`]))
  for (const id of names) await cluster.reopen(id, { dir: 'data', id, members })
  assert.equal(await cluster.run(cluster.store('b').get('k', { timeoutMs: 20_000 })), 1)
  await cluster.world.advance(8000)
  const list = await cluster.run(cluster.store('a').members.list())
  assert.deepEqual(
    list.members.map(({ address }) => address),
    ['a:7300', 'b:7300', 'c:7300'],
  )
  await cluster.close()
})

test('while keepLogBytes hold the whole log, a checkpoint cuts nothing off and everybody can join', async () => {
  const cluster = await lone(86)
  const store = cluster.store('a')
  for (let i = 0; i < 150; i++) await cluster.run(store.put(`k${i}`, 'x'.repeat(2000)))
  await cluster.world.advance(2000)
  await cluster.run(store.checkpoint())
  assert.equal(store.status().firstIndex, 1)
  await grow(cluster, 'a', 'b')
  assert.equal(await cluster.run(cluster.store('b').get('k149')), 'x'.repeat(2000))
  await cluster.close()
})
