/** Linearizable reads without a log entry (thesis §6.4): traps T-42 to T-47. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { append, change, cluster, lone, sent, win } from './harness.js'
import { leaseRunsOut, readBeforeFirstCommit } from './scenarios.js'

test('T-42 a new leader answers reads only after the first commit of its term', () => {
  readBeforeFirstCommit({})
})

test('T-42 a sole voter waits for the first commit of its term too', () => {
  const { t, core } = lone(1, '1:a 1:b')
  core.step({ type: 'campaign' })
  t.read(1)
  t.pump(1)
  t.flush(1)
  assert.equal(core.role, 'leader')
  t.read(1)
  t.pump(1)
  assert.deepEqual(t.node(1).reads, [])
  t.settle()
  assert.deepEqual(
    t.node(1).reads.map(({ index }) => index),
    [3],
  )
})

test('the reads of one turn share one round of heartbeats', () => {
  const t = cluster(3)
  t.elect(1)
  for (let i = 0; i < 100; i++) t.read(1)
  t.pump(1)
  assert.equal(t.messages.filter(({ type }) => type === 'heartbeat').length, 2)
  t.settle()
  assert.equal(t.node(1).reads.length, 100)
})

test('the reads of one turn of a follower share one question, and the answer serves earlier ones', () => {
  const t = cluster(3)
  t.elect(1)
  t.read(2)
  t.read(2)
  t.pump(2)
  t.loseAll()
  t.read(2)
  t.pump(2)
  assert.equal(t.messages.filter(({ type }) => type === 'readIndex').length, 1)
  t.settle()
  assert.equal(t.node(2).reads.length, 3)
})

test('T-43 an answer to an earlier round does not confirm a later one', () => {
  const { t, core } = lone(3, '')
  win(t, 2)
  sent(t)
  const session = core.status().peers[0]!.session
  const acked = { reject: false, hintIndex: 0, hintTerm: 0, session }
  t.receive({ type: 'appendResponse', from: 2, to: 1, term: 1, index: 1, ...acked })
  sent(t)
  const contexts = [0, 1].map(() => {
    t.read(1)
    const beat = sent(t).find((message) => message.type === 'heartbeat')
    return beat?.type === 'heartbeat' ? beat.context : 0
  })
  assert.ok(contexts[1]! > contexts[0]! && contexts[0]! > 0, 'every round has a context of its own')
  const answer = (context: number) => {
    t.receive({ type: 'heartbeatResponse', from: 2, to: 1, term: 1, context })
    sent(t)
  }
  answer(contexts[0]!)
  assert.equal(t.node(1).reads.length, 1)
  answer(contexts[1]! + 100)
  assert.equal(t.node(1).reads.length, 1, 'a context that was never used confirms nothing')
  answer(contexts[1]!)
  assert.equal(t.node(1).reads.length, 2)
})

test('T-43 a restarted follower does not take an answer to a question from before', () => {
  const t = cluster(3)
  t.elect(1)
  t.read(2)
  t.pump(2)
  t.deliverWhere(({ type }) => type === 'readIndex')
  t.pump(1)
  t.deliverWhere(({ type, to }) => type === 'heartbeat' && to === 3)
  t.pump(3)
  t.deliverWhere(({ type }) => type === 'heartbeatResponse')
  t.pump(1)
  const stale = t.messages.filter(({ type }) => type === 'readIndexResponse')
  assert.equal(stale.length, 1)
  t.loseAll()
  t.restart(2)
  t.run(1)
  t.propose(1, 'newer')
  t.settle()
  t.read(2)
  t.pump(2)
  for (const message of stale) t.deliver(message)
  t.pump(2)
  assert.deepEqual(t.node(2).reads, [])
})

test('T-44 a leader that is cut off answers no read, however much it has applied', () => {
  const t = cluster(3)
  t.elect(1)
  t.cut('1 | 2 3')
  t.read(1)
  t.run(5)
  assert.deepEqual(t.node(1).reads, [])
})

test('T-45 a pause between the confirmation of a read and its answer does not make the answer older', () => {
  const t = cluster(3)
  t.elect(1)
  t.propose(1, 'before')
  t.settle()
  const { commitIndex } = t.core(1).status()
  t.read(1)
  t.pump(1)
  t.deliverWhere(({ type }) => type === 'heartbeat')
  for (const id of [2, 3]) t.pump(id)
  const confirmations = t.messages.filter(({ type }) => type === 'heartbeatResponse')
  t.loseAll()
  t.cut('1 | 2 3')
  t.elect(2)
  t.propose(2, 'meanwhile')
  t.settle()
  // It was deposed while it stood still: what was under way when the read was asked for may confirm it, nothing else.
  t.core(1).step({ type: 'clockGap', ms: 60_000 })
  for (const message of confirmations) t.receive(message)
  t.pump(1)
  assert.deepEqual(
    t.node(1).reads.map(({ index }) => index),
    [commitIndex],
  )
  t.read(1)
  t.pump(1)
  for (const message of confirmations) t.receive(message)
  t.pump(1)
  assert.equal(
    t.node(1).reads.length,
    1,
    'a read that was asked for later needs a round of its own',
  )
})

test('T-46 a lease serves reads at once, and not a tick longer than voters are loyal', () => {
  leaseRunsOut({})
})

test('T-46 a stall of the event loop voids the lease', () => {
  const t = cluster(3, { preVote: true, checkQuorum: true, reads: 'lease' })
  t.elect(1)
  t.run(3)
  t.core(1).step({ type: 'clockGap', ms: 10_000 })
  t.read(1)
  t.pump(1)
  assert.deepEqual(t.node(1).reads, [], 'it asks the quorum instead')
  t.settle()
  assert.equal(t.node(1).reads.length, 1)
})

test('T-46 once a transfer was started there is no lease for the rest of the term', () => {
  const t = cluster(3, { preVote: true, checkQuorum: true, reads: 'lease' })
  t.elect(1)
  t.run(3)
  t.core(1).step({ type: 'transferLeader', to: 2 })
  t.pump(1)
  t.loseAll()
  t.run(15)
  assert.equal(t.core(1).role, 'leader')
  t.read(1)
  t.pump(1)
  assert.deepEqual(t.node(1).reads, [], 'the message that starts a campaign may still arrive')
})

test('T-46 under leases a voter gives up its loyalty neither for a broken connection nor by a restart', () => {
  const t = cluster(3, { preVote: true, checkQuorum: true, reads: 'lease' })
  t.elect(1)
  t.run(3)
  t.core(2).step({ type: 'peerDown', peer: 1 })
  assert.equal(t.core(2).leader, 1)
  t.restart(3)
  t.cut('1 | 2 3')
  t.core(2).step({ type: 'campaign' })
  const ask = { from: 2, to: 3, term: 2, lastIndex: 1, lastTerm: 1, transfer: false }
  t.receive({ type: 'vote', ...ask })
  t.settle()
  assert.deepEqual([t.core(2).role, t.core(3).term], ['follower', 1])
  t.run(60)
  assert.equal(t.leaders.filter((id) => id !== 1).length, 1, 'after a timeout it votes')
})

test('T-47 reads that wait are given back when leadership is lost, none hangs', () => {
  const t = cluster(3)
  t.elect(1)
  t.cut('1 | 2 3')
  const waiting = [t.read(1), t.read(1)]
  t.settle()
  t.receive(append(2, 5, '0/0', '', 0))
  t.pump(1)
  assert.deepEqual(
    t.node(1).dropped.map(({ token, why }) => [token, why]),
    waiting.map((token) => [token, 'notLeader']),
  )
})

test('T-47 reads asked of a leader are given back with a new leader, and when no answer comes', () => {
  const t = cluster(3)
  t.elect(1)
  const first = t.read(2)
  t.pump(2)
  t.loseAll()
  t.elect(3)
  assert.deepEqual(
    t.node(2).dropped.map(({ token }) => token),
    [first],
  )
  const second = t.read(2)
  t.pump(2)
  t.loseAll()
  for (let i = 0; i < 11; i++) {
    t.tick(2)
    t.tick(3)
    t.settle()
  }
  assert.deepEqual(
    t.node(2).dropped.map(({ token }) => token),
    [first, second],
  )
})

test('T-47 when the quorum shrinks, reads that the smaller one has confirmed are served', () => {
  const t = cluster(3)
  t.elect(1)
  t.proposeChange(1, change('r3'))
  t.pump(1)
  t.flush(1)
  t.deliverWhere(({ type, to }) => type === 'append' && to === 2)
  t.pump(2)
  t.flush(2)
  t.read(1)
  t.pump(1)
  // Nobody answers the heartbeat, but node 2 the append: the change applies, and then node 2 the heartbeat.
  const beats = t.messages.filter(({ type }) => type === 'heartbeat')
  t.deliverWhere(({ type }) => type === 'appendResponse')
  t.pump(1)
  assert.deepEqual(t.core(1).status().conf.voters, [1, 2])
  t.deliver(beats.find(({ to }) => to === 2)!)
  t.pump(2)
  t.deliverWhere(({ type }) => type === 'heartbeatResponse')
  t.pump(1)
  assert.equal(t.node(1).reads.length, 1)
})

test('a read without a leader is dropped, and one on a halted core too', () => {
  const { t, core } = lone(3, '')
  t.read(1)
  core.step({ type: 'storageFailed' })
  t.read(1)
  const { dropped } = core.ready()
  assert.deepEqual(
    dropped.map(({ why }) => why),
    ['notLeader', 'halted'],
  )
})
