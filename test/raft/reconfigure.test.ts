/** Configuration changes on running cores: traps T-13 and T-49 to T-57, and transfers of leadership. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeConfChange } from '../../src/raft/conf-change.js'
import type { ConfState, CoreOptions, NodeId } from '../../src/raft/types.js'
import {
  append,
  appendResponse,
  Cluster,
  change,
  cluster,
  conf,
  emptyDisk,
  entries,
  lone,
  sent,
  sessionOf,
  TEST_OPTIONS,
  win,
} from './harness.js'
import { jointNeedsBothHalves } from './scenarios.js'

/** `count` voters and further nodes that are no members yet. */
function clusterWithSpares(
  count: number,
  spares: NodeId[],
  options: Partial<CoreOptions> = {},
): Cluster {
  const t = cluster(count, options)
  for (const id of spares) t.add(id, emptyDisk(conf()), { ...TEST_OPTIONS, ...options })
  return t
}

function confsOf(t: Cluster, ids: readonly NodeId[]): ConfState[] {
  return ids.map((id) => t.core(id).status().conf)
}

test('a node that is added gets the configuration by a snapshot, never from nothing', () => {
  const t = clusterWithSpares(3, [4])
  t.elect(1)
  t.proposeChange(1, change('v4'))
  t.settle()
  t.run(1)
  // The log is whole, but replayed from an empty configuration it would leave node 4 alone with itself.
  assert.equal(t.node(1).disk.previous.index, 0)
  assert.deepEqual(confsOf(t, [1, 2, 3, 4]), new Array(4).fill(conf(1, 2, 3, 4)))
  assert.equal(t.node(4).disk.previous.index, 2)
})

test('T-13 an acknowledgement from before a node was removed and added again does not count', () => {
  const { t, core } = lone(3, '')
  win(t, 2)
  sent(t)
  const old = sessionOf(t, 3)
  core.step({ type: 'applyConfChange', change: change('r3') })
  core.step({ type: 'applyConfChange', change: change('v3') })
  assert.notEqual(sessionOf(t, 3), old)
  t.receive(appendResponse(3, 1, 1, old))
  assert.equal(core.status().peers.find(({ id }) => id === 3)!.matchIndex, 0)
  assert.equal(core.commitIndex, 0)
  t.receive(appendResponse(3, 1, 1, sessionOf(t, 3)))
  assert.equal(core.commitIndex, 1)
})

test('T-49 a new leader takes no change before an entry of its term is applied', () => {
  const { t, core } = lone(3, '1:a')
  win(t, 2)
  t.proposeChange(1, change('v4'))
  sent(t)
  const [proposed] = t.node(1).proposed
  assert.ok(proposed!.refused?.includes('unapplied'))
  assert.equal(core.lastIndex, 3, 'an empty entry stands in its place')
  t.receive(appendResponse(2, 2, 3, sessionOf(t, 2)))
  sent(t)
  t.proposeChange(1, change('v4'))
  sent(t)
  assert.equal(t.node(1).proposed[1]!.refused, undefined)
  t.proposeChange(1, change('v5'))
  sent(t)
  assert.ok(t.node(1).proposed[2]!.refused !== undefined, 'one at a time')
})

test('T-50 a node with a committed change that it has not applied does not campaign', () => {
  const { t, core } = lone(3, '1:a')
  const data = encodeConfChange(change('v4'))
  const entry = { term: 1, index: 2, kind: 'confChangeV2' as const, data }
  t.receive({ ...append(2, 1, '1/1', '', 2), entries: [entry] })
  const write = core.ready().append!
  t.node(1).persist(write)
  core.step({ type: 'appendDone', id: write.id })
  core.step({ type: 'applyDone', index: 1 })
  const applied = core.ready().apply!.entries.at(-1)!.index
  assert.equal(applied, 2)
  t.tick(1, 50)
  core.step({ type: 'campaign' })
  assert.equal(core.role, 'follower')
  core.step({ type: 'applyConfChange', change: change('v4') })
  core.step({ type: 'applyDone', index: applied })
  core.step({ type: 'campaign' })
  assert.equal(core.role, 'candidate')
})

test('T-50 a restarted node applies the committed entries it was not shown before it campaigns', () => {
  const disk = emptyDisk(conf(1, 2, 3))
  disk.entries = entries(1, '1:a 1:b 1:c')
  disk.hardState = { term: 1, vote: 0, commit: 2 }
  const t = new Cluster({ tailMax: 0 })
  const { core } = t.add(1, disk, TEST_OPTIONS)
  core.step({ type: 'campaign' })
  assert.equal(core.role, 'follower', 'there may be a change among them')
  sent(t)
  assert.equal(disk.applied, 2)
  core.step({ type: 'campaign' })
  assert.equal(core.role, 'candidate')
})

test('T-51 a learner votes: it may have been promoted without knowing it', () => {
  const { t, core } = lone(3, '')
  core.step({ type: 'applyConfChange', change: change('l1') })
  const ask = { from: 2, to: 1, term: 1, lastIndex: 0, lastTerm: 0, transfer: false }
  t.receive({ type: 'vote', ...ask })
  assert.deepEqual(
    sent(t).map((message) => message.type === 'voteResponse' && message.reject),
    [false],
  )
  core.step({ type: 'campaign' })
  assert.equal(core.role, 'follower', 'but it does not campaign')
})

for (const stepDownOnRemoval of [true, false]) {
  const after = stepDownOnRemoval ? 'steps down' : 'leads on without a vote'
  test(`T-52 a leader removes itself: the others commit it, then it ${after}`, () => {
    const t = cluster(3, { stepDownOnRemoval })
    t.elect(1)
    t.proposeChange(1, change('r1'))
    t.settle()
    assert.equal(t.core(1).role, stepDownOnRemoval ? 'follower' : 'leader')
    assert.deepEqual(confsOf(t, [2, 3]), [conf(2, 3), conf(2, 3)])
    t.propose(1, 'x')
    t.pump(1)
    const [dropped] = t.node(1).dropped
    assert.equal(dropped!.why, stepDownOnRemoval ? 'notLeader' : 'removed')
    t.elect(2)
    t.propose(2, 'y')
    t.settle()
    assert.ok(t.log(3).endsWith('2:y'))
  })
}

test('T-53 a new leader leaves a joint configuration that its predecessor could not', () => {
  const t = clusterWithSpares(3, [4])
  t.elect(1)
  t.proposeChange(1, change('v4 r3', 'jointImplicit'))
  // Until the joint configuration is in force on node 2, and node 1 is gone before it can leave it.
  for (let i = 0; i < 10 && t.core(2).status().conf.votersOutgoing.length === 0; i++) {
    for (const id of [1, 2, 3]) {
      t.pump(id)
      t.flush(id)
    }
    t.deliverWhere(({ type }) => type === 'append' || type === 'appendResponse')
  }
  t.crash(1)
  t.loseAll()
  t.restart(1)
  t.elect(2)
  t.run(5)
  assert.deepEqual(confsOf(t, [1, 2, 4]), new Array(3).fill(conf(1, 2, 4)))
})

test('T-53 a leader leaves a joint configuration after a transfer that came to nothing', () => {
  const t = cluster(3)
  t.elect(1)
  t.proposeChange(1, change('l3', 'jointImplicit'))
  t.core(1).step({ type: 'transferLeader', to: 2 })
  t.cut('1 3 | 2')
  t.settle()
  t.heal()
  t.run(30)
  const { conf: now } = t.core(1).status()
  assert.deepEqual([now.votersOutgoing, now.learners], [[], [3]])
})

test('T-54 of two members one cannot be removed while it is away: nothing is committed', () => {
  const t = cluster(2)
  t.elect(1)
  t.crash(2)
  t.proposeChange(1, change('r2'))
  t.run(20)
  assert.deepEqual(t.core(1).status().conf, conf(1, 2))
  t.restart(2)
  t.run(3)
  assert.deepEqual(t.core(1).status().conf, conf(1))
})

test('T-55 an invalid change is refused where it is proposed, and changes nothing where it is applied', () => {
  const t = cluster(1)
  t.elect(1)
  t.proposeChange(1, change('r1'))
  t.settle()
  assert.equal(t.node(1).proposed[0]!.refused, 'removed all voters')
  t.core(1).step({ type: 'applyConfChange', change: change('r1') })
  assert.deepEqual(t.core(1).status().conf, conf(1))
  const unchecked = cluster(1, { disableConfChangeValidation: true })
  unchecked.elect(1)
  unchecked.proposeChange(1, change('r1'))
  unchecked.settle()
  assert.equal(unchecked.log(1), '1: 1:conf')
  assert.deepEqual(unchecked.core(1).status().conf, conf(1))
})

test('T-56 leadership goes to a node whose log is complete, and proposals wait no longer than a timeout', () => {
  const t = cluster(3, { preVote: true, checkQuorum: true })
  t.elect(1)
  t.core(1).step({ type: 'transferLeader', to: 2 })
  t.settle()
  assert.deepEqual(t.leaders, [2])
  t.cut('1 | 2 3')
  t.core(2).step({ type: 'transferLeader', to: 1 })
  t.propose(2, 'x')
  t.pump(2)
  assert.deepEqual(
    t.node(2).dropped.map(({ why }) => why),
    ['transferring'],
  )
  t.run(10)
  t.propose(2, 'y')
  t.settle()
  assert.ok(t.log(3).endsWith(':y'), 'the transfer was given up')
})

test('T-56 leadership does not go to a learner or to nobody', () => {
  const t = cluster(3)
  t.elect(1)
  t.proposeChange(1, change('l3'))
  t.settle()
  for (const to of [3, 9]) t.core(1).step({ type: 'transferLeader', to })
  assert.equal(t.core(1).status().transferTarget, 0)
})

test('a follower hands a transfer on to its leader', () => {
  const t = cluster(3)
  t.elect(1)
  t.core(3).step({ type: 'transferLeader', to: 2 })
  t.settle()
  assert.deepEqual(t.leaders, [2])
})

test('T-57 a node that replays its own removal and return ends as a member that can lead', () => {
  const { t, core } = lone(3, '')
  core.step({ type: 'applyConfChange', change: change('r1') })
  core.step({ type: 'campaign' })
  assert.equal(core.role, 'follower')
  core.step({ type: 'applyConfChange', change: change('v1') })
  win(t, 2)
})

test('in a joint configuration both halves decide (thesis §4.3)', () => {
  jointNeedsBothHalves({})
})
