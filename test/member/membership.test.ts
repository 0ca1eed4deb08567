import assert from 'node:assert/strict'
import { test } from 'node:test'
import { grow, hasCode, lone, namesAt, three, Writer } from './membership-fixture.js'

test('one member grows to three and shrinks back while it serves', async () => {
  const cluster = await lone(1)
  const writer = new Writer(cluster, 'a')
  await grow(cluster, 'a', 'b')
  await grow(cluster, 'b', 'c')
  assert.equal(await namesAt(cluster, 'c'), 'a b c')
  await cluster.world.advance(3000)
  await cluster.run(cluster.store('c').members.remove('b'))
  await cluster.run(cluster.store('a').members.remove('c'))
  assert.equal(await namesAt(cluster, 'a'), 'a')
  await writer.stop()
  await writer.verify('a')
  assert.ok(writer.longestGapMs < 1000, `${writer.longestGapMs} ms without a write`)
  await cluster.close()
})

test('T-52: a leader that is removed hands over first, and then says that it was removed', async () => {
  for (let seed = 10; seed < 14; seed++) {
    const cluster = await three(seed)
    const leader = await cluster.awaitLeader()
    const rest = cluster.names.filter((name) => name !== leader)
    const writer = new Writer(cluster, rest[0]!)
    await cluster.world.advance(2000)
    const gone = cluster.store(leader)
    let isTold = false
    gone.on('removed', () => {
      isTold = true
    })
    await cluster.run(gone.members.remove(leader))
    await cluster.world.advance(2000)
    assert.ok(isTold, `seed ${seed}`)
    assert.equal(gone.status().standing, 'removed')
    assert.match(gone.status().words[0]!, /was removed from the cluster/)
    for (const call of [
      () => gone.put('k', 1),
      () => gone.get('k'),
      () => gone.members.list(),
    ] as const) {
      await assert.rejects(cluster.run<unknown>(call()), hasCode('QUORATE_REMOVED', 'none'))
    }
    const { term } = gone.status()
    await cluster.world.advance(10_000)
    // Where it was told by being refused, and not by its log, it asks in vain whether an election would be worth it.
    assert.notEqual(gone.status().role, 'leader')
    assert.equal(gone.status().term, term, 'it begins no election')
    assert.equal(await namesAt(cluster, rest[1]!), rest.join(' '))
    await writer.stop()
    await writer.verify(rest[1]!)
    assert.ok(writer.longestGapMs < 300, `seed ${seed}: ${writer.longestGapMs} ms without a write`)
    await cluster.close()
  }
})

test('two of three members are replaced at once, through one joint change', async () => {
  const cluster = await three(20)
  const leader = await cluster.awaitLeader()
  const [first, second] = cluster.names.filter((name) => name !== 'c')
  const writer = new Writer(cluster, 'c')
  await cluster.world.advance(2000)
  const replaced = cluster.store('c').members.replace([
    { remove: first!, add: { id: 'd', address: cluster.addressOf('d') } },
    { remove: second!, add: { id: 'e', address: cluster.addressOf('e') } },
  ])
  await cluster.run(Promise.all([replaced, cluster.join('d'), cluster.join('e')]))
  assert.equal(await namesAt(cluster, 'c'), 'c d e', `led by ${leader}`)
  cluster.kill(first!)
  cluster.kill(second!)
  await cluster.run(cluster.store('d').put('still', 'here'))
  await writer.stop()
  await writer.verify('e')
  await cluster.close()
})

test('a member that is down is removed, one whose removal would leave no majority is not', async () => {
  const cluster = await three(21)
  const leader = await cluster.awaitLeader()
  const [down, up] = cluster.names.filter((name) => name !== leader)
  await cluster.world.advance(2000)
  cluster.kill(down!)
  await cluster.world.advance(4000)
  const { members } = cluster.store(leader)
  const refused = members.remove(up!)
  await assert.rejects(cluster.run(refused), hasCode('QUORATE_NOT_READY', 'none'))
  await cluster.run(members.remove(down!))
  assert.equal(await namesAt(cluster, up!), [leader, up!].sort().join(' '))
  // It was away while it was removed, and hears of it from the others.
  await cluster.restart(down!)
  await cluster.world.advance(5000)
  assert.equal(cluster.store(down!).status().standing, 'removed')
  await cluster.close()
})

test('T-49: a change that is bound to a membership which has changed since is refused', async () => {
  const cluster = await three(22)
  await cluster.world.advance(2000)
  const { members } = cluster.store('b')
  const { confIndex } = await cluster.run(members.list())
  const learner = await cluster.run(
    members.add('d', 'd:7100', { as: 'learner', expectConfIndex: confIndex }),
  )
  assert.ok(learner.confIndex > confIndex)
  const stale = members.remove('d', { expectConfIndex: confIndex })
  await assert.rejects(cluster.run(stale), hasCode('QUORATE_CONF_CHANGED', 'none'))
  await cluster.run(members.remove('d', { expectConfIndex: learner.confIndex }))
  await cluster.close()
})

test('T-13: a name that is, or was, a member is never given again', async () => {
  const cluster = await three(23)
  const { members } = cluster.store('a')
  await assert.rejects(cluster.run(members.add('b', 'x:7100')), hasCode('QUORATE_MEMBER_EXISTS'))
  await assert.rejects(cluster.run(members.add('d', 'b:7100')), hasCode('QUORATE_MEMBER_EXISTS'))
  await cluster.run(members.add('d', 'd:7100', { as: 'learner' }))
  await cluster.run(members.remove('d'))
  await assert.rejects(cluster.run(members.add('d', 'd:7100')), hasCode('QUORATE_MEMBER_EXISTS'))
  await assert.rejects(cluster.run(members.remove('d')), hasCode('QUORATE_NO_MEMBER'))
  await assert.rejects(cluster.run(cluster.join('d')), hasCode('QUORATE_REMOVED'))
  await cluster.close()
})

test('learners do not count: with them gone writes go on, and they never lead', async () => {
  const cluster = await lone(24)
  const { members } = cluster.store('a')
  for (const name of ['b', 'c']) {
    const added = members.add(name, cluster.addressOf(name), { as: 'learner' })
    await cluster.run(Promise.all([added, cluster.join(name)]))
  }
  assert.equal(await namesAt(cluster, 'b'), 'a (b) (c)')
  await cluster.world.advance(1000)
  assert.match(cluster.store('b').status().words[0]!, /follows a as a learner/)
  await cluster.run(cluster.store('b').put('k', 1))
  assert.equal(await cluster.run(cluster.store('c').get('k')), 1)
  cluster.kill('b')
  await cluster.run(cluster.store('a').put('k', 2))
  cluster.kill('a')
  await cluster.world.advance(20_000)
  assert.equal(cluster.leader(), undefined)
  await cluster.restart('a')
  assert.equal(await cluster.run(cluster.store('c').get('k', { timeoutMs: 20_000 })), 2)
  await cluster.run(
    cluster
      .store('c')
      .members.demote('a')
      .catch(() => undefined),
  )
  assert.equal(await namesAt(cluster, 'c'), 'a (b) (c)', 'the last voter stays')
  await cluster.close()
})

test('T-56: a learner that is not there or not caught up is not promoted', async () => {
  const cluster = await three(25)
  await cluster.world.advance(2000)
  const store = cluster.store('a')
  await cluster.run(store.members.add('d', 'd:7100', { as: 'learner' }))
  await assert.rejects(
    cluster.run(store.members.promote('d')),
    hasCode('QUORATE_NOT_READY', 'none'),
  )
  const unborn = store.members.add('e', 'e:7100', { timeoutMs: 2000 })
  await assert.rejects(cluster.run(unborn), hasCode('QUORATE_NOT_READY', 'committed'))
  for (let i = 0; i < 50; i++) await cluster.run(store.put(`k${i}`, 'x'.repeat(1000)))
  await cluster.run(cluster.join('d'))
  await cluster.world.advance(3000)
  // Connected, and cut off just now: what it lacks is what counts.
  cluster.network.partition([['a', 'b', 'c'], ['d']])
  for (let i = 0; i < 50; i++) await cluster.run(store.put(`more${i}`, i))
  await assert.rejects(cluster.run(store.members.promote('d')), (error: unknown) => {
    assert.match(String(error), /d is not caught up: it has \d+ of \d+ entries/)
    return hasCode('QUORATE_NOT_READY', 'none')(error)
  })
  cluster.network.healAll()
  await cluster.world.advance(3000)
  await cluster.run(store.members.promote('d'))
  await cluster.run(store.members.remove('e'))
  assert.equal(await namesAt(cluster, 'd'), 'a b c d')
  await cluster.run(store.members.demote('d'))
  assert.equal(await namesAt(cluster, 'd'), 'a b c (d)')
  await cluster.close()
})

test('T-54: of two members either one can be removed, and the other goes on alone', async () => {
  for (const removed of ['a', 'b']) {
    const cluster = await lone(43)
    await grow(cluster, 'a', 'b')
    await cluster.world.advance(2000)
    const left = removed === 'a' ? 'b' : 'a'
    await cluster.run(cluster.store(left).members.remove(removed))
    await cluster.world.advance(1000)
    cluster.kill(removed)
    await cluster.run(cluster.store(left).put('k', 1))
    assert.equal(await namesAt(cluster, left), left)
    await cluster.close()
  }
})

test('T-53: a joint configuration is left by whoever leads when its leader dies', async () => {
  for (let seed = 50; seed < 56; seed++) {
    const cluster = await three(seed)
    await cluster.awaitLeader()
    await cluster.world.advance(2500)
    for (const name of ['d', 'e']) {
      const added = cluster.store('a').members.add(name, cluster.addressOf(name), { as: 'learner' })
      await cluster.run(Promise.all([added, cluster.join(name)]))
    }
    await cluster.world.advance(2000)
    const leader = await cluster.awaitLeader()
    const via = cluster.names.find((name) => name !== leader)!
    const { members } = cluster.store(via)
    const swap = members.replace([{ remove: leader, add: { id: 'f', address: 'f:7100' } }])
    const outcome = swap.catch((error: unknown) => error)
    const joined = cluster.join('f')
    await cluster.run(joined)
    await cluster.world.advance(1000 + cluster.world.below(40, 'when'))
    const present = cluster.leader()
    if (present !== undefined && present !== via) {
      cluster.powerCut(present, 'torn')
      await cluster.restart(present)
    }
    await cluster.run(outcome)
    await cluster.world.advance(5000)
    const { isJoint } = await cluster.run(cluster.store(via).members.list())
    assert.equal(isJoint, false, `seed ${seed}`)
    await cluster.run(cluster.store(via).put('k', seed))
    await cluster.close()
  }
})
