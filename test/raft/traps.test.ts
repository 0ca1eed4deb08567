/** Traps of safety and liveness that other implementations fell into, by their numbers T-1 to T-30, and T-70. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { InvariantError } from '../../src/base/assert.js'
import type { Message, SnapshotMessage } from '../../src/raft/types.js'
import {
  append,
  appendResponse,
  cluster,
  clusterWithLogs,
  conf,
  lone,
  sent,
  sessionOf,
  win,
} from './harness.js'
import { figure8, jointNeedsBothHalves } from './scenarios.js'

function snapshot(index: number, term: number, members: number): SnapshotMessage {
  const ids = Array.from({ length: members }, (_, i) => i + 1)
  const meta = { index, term, conf: conf(...ids) }
  return { type: 'snapshot', from: 2, to: 1, term: 9, snapshot: meta, session: 1 }
}

test('T-1 an entry of an older term does not commit by counting, and may be replaced (figure 8)', () => {
  figure8({})
})

test('T-2 a new leader appends an empty entry, which no limit refuses', () => {
  const { t, core } = lone(3, '', { maxUncommittedBytes: 1 })
  win(t, 2)
  t.propose(1, 'more than the limit')
  t.propose(1, 'x')
  sent(t)
  assert.equal(t.log(1), '1: 1:more than the limit')
  assert.deepEqual(
    t.node(1).dropped.map(({ why }) => why),
    ['overloaded'],
  )
  core.step({ type: 'receive', message: append(2, 2, '0/0', '', 0) })
  win(t, 2)
  sent(t)
  assert.ok(t.log(1).endsWith(' 3:'))
})

test('T-3 T-4 term, vote and entries travel in one write, and a restart keeps the vote', () => {
  const { t, core } = lone(3, '')
  core.step({
    type: 'receive',
    message: { type: 'vote', from: 2, to: 1, term: 1, lastIndex: 0, lastTerm: 0, transfer: false },
  })
  core.step({ type: 'receive', message: append(2, 1, '0/0', '1:a', 0) })
  const task = core.ready().append!
  assert.deepEqual(task.hardState, { term: 1, vote: 2, commit: 0 })
  assert.equal(task.entries.length, 1)
  assert.equal(task.mustSync, true)
  t.node(1).persist(task)
  t.restart(1)
  const other: Message = {
    type: 'vote',
    from: 3,
    to: 1,
    term: 1,
    lastIndex: 9,
    lastTerm: 1,
    transfer: false,
  }
  t.receive(other)
  assert.deepEqual(
    sent(t).map((message) => message.type === 'voteResponse' && message.reject),
    [true],
  )
})

test('T-5 votes and acknowledgements leave with the write they depend on, never before', () => {
  const { core } = lone(3, '')
  core.step({
    type: 'receive',
    message: { type: 'vote', from: 2, to: 1, term: 1, lastIndex: 0, lastTerm: 0, transfer: false },
  })
  core.step({ type: 'receive', message: append(2, 1, '0/0', '1:a', 0) })
  const ready = core.ready()
  assert.deepEqual(ready.messages, [])
  assert.deepEqual(
    ready.append!.responses.map(({ type }) => type),
    ['voteResponse', 'appendResponse'],
  )
})

test('T-6 a sole voter leads, commits and applies only what is durable', () => {
  const { t, core } = lone(1, '')
  core.step({ type: 'campaign' })
  const vote = core.ready()
  assert.equal(core.role, 'candidate', 'its own vote is not durable yet')
  t.node(1).persist(vote.append!)
  core.step({ type: 'appendDone', id: vote.append!.id })
  assert.equal(core.role, 'leader')
  t.propose(1, 'a')
  const entries = core.ready()
  assert.deepEqual([core.commitIndex, entries.apply], [0, undefined])
  t.node(1).persist(entries.append!)
  core.step({ type: 'appendDone', id: entries.append!.id })
  assert.deepEqual([core.commitIndex, core.ready().apply?.entries.length], [2, 2])
})

test('T-8 a follower commits only what the message has verified, not its own tail', () => {
  const { t, core } = lone(3, '1:a 1:b 1:c')
  t.receive(append(2, 2, '1/1', '', 3))
  assert.equal(core.commitIndex, 1)
  t.receive(append(2, 2, '1/1', '2:x', 3))
  assert.equal(core.commitIndex, 2)
})

test('T-8 a heartbeat carries no more of the commit index than the peer is known to match', () => {
  const t = cluster(3)
  t.elect(1)
  t.cut('1 2 | 3')
  t.propose(1, 'a')
  t.settle()
  t.tick(1)
  t.pump(1)
  const commits = t.messages.flatMap((message) =>
    message.type === 'heartbeat' ? [[message.to, message.commit]] : [],
  )
  assert.deepEqual(commits, [
    [2, 2],
    [3, 1],
  ])
})

test('T-9 a write that was replaced, by whatever came back to the same position, is not durable', () => {
  const { t, core } = lone(5, '')
  t.receive(append(2, 2, '0/0', '2:a', 0))
  const first = core.ready().append!
  t.receive(append(3, 3, '0/0', '3:b', 0))
  const second = core.ready().append!
  t.receive(append(4, 4, '0/0', '2:a', 0))
  const third = core.ready().append!
  core.step({ type: 'appendDone', id: first.id })
  assert.equal(core.status().flushedIndex, 0, 'written, and overwritten since')
  core.step({ type: 'appendDone', id: second.id })
  assert.equal(core.status().flushedIndex, 0)
  core.step({ type: 'appendDone', id: third.id })
  assert.equal(core.status().flushedIndex, 1)
})

test('T-10 writes that end out of order are a fault of the driver, and nothing is taken from it', () => {
  const { t, core } = lone(3, '')
  t.receive(append(2, 1, '0/0', '1:a', 0))
  const first = core.ready().append!
  t.receive(append(2, 1, '1/1', '1:b', 0))
  const second = core.ready().append!
  assert.throws(() => core.step({ type: 'appendDone', id: second.id }), InvariantError)
  assert.equal(core.status().flushedIndex, 0)
  assert.equal(second.id, first.id + 1)
})

test('T-12 an acknowledgement of an earlier leadership does not count in this one', () => {
  const { t, core } = lone(3, '')
  win(t, 2)
  sent(t)
  const before = sessionOf(t, 2)
  t.receive(append(3, 2, '0/0', '', 0))
  win(t, 2)
  sent(t)
  assert.notEqual(sessionOf(t, 2), before)
  t.receive(appendResponse(2, 3, 2, before))
  assert.equal(core.commitIndex, 0)
  t.receive(appendResponse(2, 3, 2, sessionOf(t, 2)))
  assert.equal(core.commitIndex, 2)
})

test('T-12 an acknowledgement of what the leader does not have is ignored', () => {
  const { t, core } = lone(3, '')
  win(t, 2)
  sent(t)
  t.receive(appendResponse(2, 1, 7, sessionOf(t, 2)))
  assert.equal(core.commitIndex, 0)
  core.checkInvariants()
})

test('T-14 a follower that lost its log survives a heartbeat beyond it, and commits nothing', () => {
  const { t, core } = lone(3, '')
  t.receive({ type: 'heartbeat', from: 2, to: 1, term: 1, commit: 5, context: 0 })
  assert.equal(core.commitIndex, 0)
  assert.deepEqual(
    sent(t).map(({ type }) => type),
    ['heartbeatResponse'],
  )
  t.receive(append(2, 1, '1/5', '', 5))
  const [refusal] = sent(t)
  assert.ok(refusal?.type === 'appendResponse' && refusal.reject && refusal.hintIndex === 0)
})

test('T-15 a snapshot or an append that contradicts what is committed is not answered', () => {
  const { t, core } = lone(3, '1:a 1:b 1:c')
  t.receive(append(2, 9, '1/3', '', 3))
  sent(t)
  t.receive(snapshot(2, 5, 3))
  t.receive(append(2, 9, '5/2', '5:x', 3))
  t.receive(append(2, 9, '1/1', '5:x 5:y', 3))
  assert.deepEqual(
    sent(t).map((message) => message.type === 'appendResponse' && message.index),
    [3],
  )
  assert.equal(t.log(1), '1:a 1:b 1:c')
  assert.equal(core.commitIndex, 3)
})

test('T-16 a snapshot into a tail of another term replaces the whole log, and appends go on after it', () => {
  const { t, core } = lone(3, '1:a 2:b 2:c 2:d')
  t.receive(snapshot(3, 8, 3))
  const answers = sent(t)
  assert.ok(answers.some((message) => message.type === 'appendResponse' && message.index === 3))
  assert.deepEqual([core.lastIndex, core.commitIndex, t.log(1)], [3, 3, ''])
  t.receive(append(2, 9, '8/3', '9:x', 4))
  sent(t)
  assert.deepEqual([t.log(1), t.node(1).disk.applied], ['9:x', 4])
})

test('T-17 a snapshot that the log already leads to commits up to it and keeps the rest', () => {
  const { t, core } = lone(3, '1:a 2:b 2:c')
  t.receive(snapshot(2, 2, 3))
  const ready = core.ready()
  assert.equal(ready.append!.snapshot, undefined)
  assert.deepEqual([core.commitIndex, core.lastIndex], [2, 3])
})

test('T-18 a leader whose log is compacted to its end sends a snapshot at once to one it does not know', () => {
  const t = cluster(3)
  t.elect(1)
  t.cut('1 2 | 3')
  t.propose(1, 'a', 'b')
  t.settle()
  t.compact(1, 3)
  t.heal()
  t.run(1)
  assert.equal(t.node(3).disk.applied, 3)
  assert.equal(t.node(3).disk.previous.index, 3)
})

test('T-19 a second snapshot while the first is being installed is taken, an older one ignored', () => {
  const { t, core } = lone(3, '')
  t.receive(snapshot(5, 3, 3))
  const first = core.ready().append!
  t.receive(snapshot(4, 3, 3))
  t.receive(snapshot(7, 4, 3))
  const second = core.ready().append!
  assert.deepEqual([first.snapshot?.index, second.snapshot?.index], [5, 7])
  core.step({ type: 'appendDone', id: first.id })
  assert.equal(core.status().appliedIndex, 5)
  core.step({ type: 'appendDone', id: second.id })
  assert.equal(core.status().appliedIndex, 7)
  core.checkInvariants()
})

/** A leader that waits for node 2 to install a snapshot at index 3. */
function awaitingSnapshot() {
  const { t, core } = lone(3, '')
  win(t, 3)
  t.propose(1, 'a', 'b')
  sent(t)
  t.receive(appendResponse(3, 1, 3, sessionOf(t, 3)))
  sent(t)
  t.compact(1, 3)
  const session = sessionOf(t, 2)
  t.receive({ type: 'heartbeatResponse', from: 2, to: 1, term: 1, context: 0 })
  const ready = core.ready()
  assert.deepEqual(
    ready.snapshotsWanted.map(({ peer, atLeast }) => [peer, atLeast]),
    [[2, 3]],
  )
  const state = () => core.status().peers.find(({ id }) => id === 2)!
  return { t, core, session, state }
}

test('T-20 the answer of a peer moves it on from its snapshot, also when no report comes', () => {
  const { t, session, state } = awaitingSnapshot()
  assert.equal(state().state, 'snapshot')
  t.receive(appendResponse(2, 1, 3, session))
  assert.deepEqual([state().state, state().nextIndex], ['replicate', 4])
})

test('T-20 after a snapshot that failed the peer is probed from what it is known to have', () => {
  const { core, state } = awaitingSnapshot()
  core.step({ type: 'snapshotStatus', peer: 2, ok: false })
  assert.deepEqual([state().state, state().nextIndex, state().paused], ['probe', 1, true])
})

test('T-20 after a snapshot that was sent the peer is probed from behind it', () => {
  const { core, state } = awaitingSnapshot()
  core.step({ type: 'snapshotStarted', peer: 2, index: 3 })
  core.step({ type: 'snapshotStatus', peer: 2, ok: true })
  assert.deepEqual([state().state, state().nextIndex, state().paused], ['probe', 4, true])
})

test('T-21 a window full of lost messages is cleared by the answer to a heartbeat', () => {
  const t = cluster(3, { maxInflightMessages: 2 })
  t.elect(1)
  t.cut('1 2 | 3')
  for (const word of ['a', 'b', 'c', 'd']) {
    t.propose(1, word)
    t.settle()
  }
  const [, peer] = t.core(1).status().peers
  assert.deepEqual([peer!.inflightFull, peer!.paused], [true, true])
  t.heal()
  t.run(1)
  assert.equal(t.log(3), t.log(1))
})

test('T-22 a peer that is caught up but being probed goes back to replicating after a heartbeat', () => {
  const t = cluster(3)
  t.elect(1)
  t.core(1).step({ type: 'unreachable', peer: 2 })
  const state = () => t.core(1).status().peers[0]!.state
  assert.equal(state(), 'probe')
  t.run(1)
  assert.equal(state(), 'replicate')
})

test('T-23 conflicting tails of many entries take one probe per term, in both directions', () => {
  const long = (term: number) => Array.from({ length: 200 }, () => `${term}:`).join(' ')
  const cases = [
    [`1: ${long(3)} 5: 6:`, `1: ${long(2)} ${long(4)}`],
    [`1: ${long(2)} 5: 6:`, `1: ${long(4)}`],
    [`1: 2: 3: 5: 6:`, `1: ${long(4)}`],
  ]
  for (const [leader, follower] of cases) {
    const t = clusterWithLogs([leader!, follower!, ''], { maxBytesPerMessage: 1 << 30 })
    t.cut('1 3 | 2')
    t.elect(1)
    t.heal()
    t.tick(1)
    let probes = 0
    for (let i = 0; i < 50 && t.log(2) !== t.log(1); i++) {
      for (const id of [1, 2]) {
        t.pump(id)
        while (t.flush(id)) t.pump(id)
      }
      const answers = t.messages.splice(0)
      probes += answers.filter((one) => one.type === 'appendResponse' && one.reject).length
      for (const message of answers) t.deliver(message)
    }
    assert.equal(t.log(2), t.log(1))
    assert.ok(probes >= 1 && probes <= 5, `${probes} refusals`)
  }
})

test('T-24 a pre-vote from an earlier term is answered with the later one, and the asker catches up', () => {
  const t = clusterWithLogs(['1:', '1: 5:', '1: 5:'], { preVote: true, checkQuorum: true })
  t.crash(3)
  t.run(60)
  assert.deepEqual(t.leaders, [2])
  assert.equal(t.log(1), t.log(2))
})

test('T-25 a joint configuration of a long log and a late term elects one leader', () => {
  jointNeedsBothHalves({})
  const t = clusterWithLogs(['1: 2: 2:', '1: 2: 2:', '1: 3:', '1: 3:'], { preVote: true })
  for (const node of t.nodes.values()) {
    node.disk.conf = { ...conf(3, 4), votersOutgoing: [1, 2] }
    t.restart(node.id)
  }
  t.run(80)
  assert.equal(t.leaders.length, 1)
  assert.equal(t.log(1), t.log(3))
})

test('T-26 two followers that both remember a dead leader elect one of them', () => {
  const t = cluster(3, { preVote: true, checkQuorum: true })
  t.elect(1)
  t.crash(1)
  t.run(60)
  assert.equal(t.leaders.length, 1)
})

test('T-27 pre-votes and votes that arrive late start nothing', () => {
  const { t, core } = lone(5, '', { preVote: true })
  core.step({ type: 'campaign' })
  sent(t)
  const grant = (type: 'preVoteResponse' | 'voteResponse', from: number) =>
    t.receive({ type, from, to: 1, term: 1, reject: false })
  for (const from of [2, 3]) grant('preVoteResponse', from)
  sent(t)
  assert.equal(core.role, 'candidate')
  grant('preVoteResponse', 4)
  for (const from of [2, 3]) grant('voteResponse', from)
  sent(t)
  const { term } = core
  grant('preVoteResponse', 5)
  grant('voteResponse', 4)
  assert.deepEqual([core.role, core.term, sent(t).length], ['leader', term, 0])
})

test('T-27 a pre-vote granted for an earlier campaign does not count in this one', () => {
  const { t, core } = lone(3, '4:', { preVote: true })
  core.step({ type: 'campaign' })
  sent(t)
  t.receive({ type: 'preVoteResponse', from: 2, to: 1, term: 4, reject: false })
  assert.equal(core.role, 'preCandidate')
})

for (const preVote of [true, false]) {
  const how = preVote ? 'pre-vote' : 'no pre-vote'
  test(`T-28 a node that returns does not depose the leader for long (${how})`, () => {
    const t = cluster(3, { preVote, checkQuorum: true })
    t.elect(1)
    t.cut('1 2 | 3')
    t.run(100)
    const { term } = t.core(1)
    t.heal()
    t.run(5)
    // With pre-vote it never raised its term; without, its answer makes the leader step down, once.
    if (preVote) assert.deepEqual([t.leaders, t.core(1).term], [[1], term])
    t.run(60)
    assert.equal(t.leaders.length, 1)
    assert.equal(t.core(3).leader, t.leaders[0])
  })
}

test('T-28 a loyal follower ignores candidates, but for one that the leader sent', () => {
  for (const transfer of [false, true]) {
    const { t, core } = lone(3, '', { checkQuorum: true })
    t.receive(append(2, 1, '0/0', '', 0))
    sent(t)
    const ask = { from: 3, to: 1, term: 2, lastIndex: 0, lastTerm: 0, transfer }
    t.receive({ type: 'vote', ...ask })
    assert.equal(core.term, transfer ? 2 : 1)
    assert.equal(sent(t).length, transfer ? 1 : 0)
  }
})

test('T-29 a node in a later term that ignores its leader tells it so, and is led again', () => {
  const t = cluster(3, { checkQuorum: true })
  t.elect(1)
  t.cut('1 2 | 3')
  t.core(3).step({ type: 'campaign' })
  t.core(3).step({ type: 'campaign' })
  t.settle()
  assert.ok(t.core(3).term > t.core(1).term)
  t.heal()
  t.run(60)
  assert.equal(t.leaders.length, 1)
  assert.equal(t.core(3).leader, t.leaders[0])
})

test('T-30 also appends that are refused keep the election timer from running out', () => {
  const { t, core } = lone(3, '1:a', { preVote: true })
  for (let i = 0; i < 20; i++) {
    t.tick(1, 5)
    t.receive(append(2, 1, '1/9', '', 0))
    sent(t)
  }
  assert.equal(core.role, 'follower')
})

test('T-63 after a stall nobody campaigns at once, and a leader sends heartbeats first', () => {
  const t = cluster(3)
  t.elect(1)
  const follower = t.core(2)
  follower.setElectionTimeout(10)
  t.tick(2, 9)
  follower.step({ type: 'clockGap', ms: 5_000 })
  t.tick(2, 9)
  assert.equal(follower.role, 'follower')
  t.tick(2, 1)
  assert.equal(follower.role, 'candidate')
  t.core(1).step({ type: 'clockGap', ms: 5_000 })
  t.tick(1)
  t.pump(1)
  assert.ok(t.messages.some(({ type, from }) => type === 'heartbeat' && from === 1))
})

test('no trap of T-1 to T-30, T-41 to T-58 and T-70 is without a test that carries its id', () => {
  const folder = join(import.meta.dirname, '../../../test')
  const titles = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts'))
    .flatMap(
      (name) => readFileSync(join(folder, name), 'utf8').match(/^ *test\((['"`]).*\1/gm) ?? [],
    )
  const covered = new Set(titles.flatMap((title) => title.match(/\bT-\d+\b/g) ?? []))
  const numbers = [...range(1, 30), ...range(41, 58), 70]
  assert.deepEqual(
    numbers.filter((number) => !covered.has(`T-${number}`)),
    [],
  )
})

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i)
}
