import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasCode, lone, three, Writer } from './membership-fixture.js'

test('leadership goes where it is asked to go, with a gap of a few round trips', async () => {
  const cluster = await three(26)
  await cluster.awaitLeader()
  const writer = new Writer(cluster, 'a')
  await cluster.world.advance(2000)
  for (const to of ['b', 'c', 'a', 'a', 'b']) {
    assert.equal(await cluster.run(cluster.store('c').members.transferLeadership(to)), to)
    await cluster.world.advance(1500)
    assert.equal(cluster.leader(), to)
  }
  const next = await cluster.run(cluster.store('a').members.transferLeadership())
  assert.notEqual(next, 'b')
  await writer.stop()
  await writer.verify('c')
  assert.ok(writer.longestGapMs < 300, `${writer.longestGapMs} ms without a write`)
  const nobody = cluster.store('a').members.transferLeadership('z')
  await assert.rejects(cluster.run(nobody), hasCode('QUORATE_NO_MEMBER'))
  await cluster.close()
})

test('T-56: a transfer to a member that cannot answer is given up after one election timeout', async () => {
  const cluster = await three(27)
  const leader = await cluster.awaitLeader()
  const [dead, other] = cluster.names.filter((name) => name !== leader)
  await cluster.world.advance(2000)
  const writer = new Writer(cluster, leader)
  cluster.network.partition([[leader, other!], [dead!]])
  const transfer = cluster.store(leader).members.transferLeadership(dead)
  await assert.rejects(cluster.run(transfer), hasCode('QUORATE_NOT_READY', 'none'))
  assert.equal(cluster.leader(), leader)
  await writer.stop()
  assert.ok(writer.longestGapMs < 2 * 1500, `${writer.longestGapMs} ms without a write`)
  await cluster.world.advance(4000)
  const begun = cluster.world.now
  const refused = cluster.store(leader).members.transferLeadership(dead)
  await assert.rejects(cluster.run(refused), hasCode('QUORATE_NOT_READY', 'none'))
  assert.ok(cluster.world.now - begun < 100, 'one that is known to be away is refused at once')
  cluster.network.healAll()
  await cluster.close()
})

test('a leader that is closed hands over first: no gap of more than 300 ms', async () => {
  for (let seed = 30; seed < 36; seed++) {
    const cluster = await three(seed)
    const leader = await cluster.awaitLeader()
    const other = cluster.names.find((name) => name !== leader)!
    const writer = new Writer(cluster, other)
    await cluster.world.advance(2500)
    await cluster.run(cluster.store(leader).close())
    assert.ok(
      cluster.names.includes(cluster.leader() ?? ''),
      `seed ${seed}: another one leads already`,
    )
    await cluster.world.advance(1000)
    await writer.stop()
    await writer.verify(other)
    assert.ok(writer.longestGapMs < 300, `seed ${seed}: ${writer.longestGapMs} ms without a write`)
    await cluster.close()
  }
})

test('the member of the highest priority leads once it has kept up for a while', async () => {
  const cluster = await three(70)
  await cluster.world.advance(2000)
  const members = Object.fromEntries(cluster.names.map((name) => [name, cluster.addressOf(name)]))
  for (const [id, priority] of [
    ['a', -5],
    ['c', 7],
  ] as const) {
    await cluster.run(cluster.store(id).close())
    await cluster.reopen(id, { dir: 'data', id, members, priority })
  }
  await cluster.run(cluster.store('a').members.transferLeadership('a'))
  await cluster.world.advance(20_000)
  assert.equal(cluster.leader(), 'c')
  cluster.kill('c')
  await cluster.world.advance(25_000)
  assert.equal(cluster.leader(), 'b', 'the next best')
  await cluster.reopen('c', { dir: 'data', id: 'c', members, priority: 7 })
  await cluster.world.advance(5_000)
  assert.equal(cluster.leader(), 'b', 'not at once: it has to keep up for a while')
  await cluster.world.advance(15_000)
  assert.equal(cluster.leader(), 'c')
  await cluster.close()
})

test('a leader that is closed while nobody else is up closes in its time', async () => {
  const cluster = await three(71)
  const leader = await cluster.awaitLeader()
  for (const name of cluster.names) if (name !== leader) cluster.kill(name)
  const begun = cluster.world.now
  await cluster.run(cluster.store(leader).close())
  assert.ok(cluster.world.now - begun < 2 * 1500 + 100, `${cluster.world.now - begun} ms`)
})

test('a learner is never handed the lead', async () => {
  const cluster = await lone(72)
  const added = cluster.store('a').members.add('b', 'b:7100', { as: 'learner' })
  await cluster.run(Promise.all([added, cluster.join('b')]))
  await cluster.world.advance(3000)
  const begun = cluster.world.now
  for (const to of ['b', undefined]) {
    const refused = cluster.store('b').members.transferLeadership(to)
    await assert.rejects(cluster.run(refused), hasCode('QUORATE_NOT_READY', 'none'))
  }
  assert.ok(cluster.world.now - begun < 100, 'nobody waits for it')
  await cluster.close()
})
