/** How a leader sends its log: bodies that are fetched, windows, caches, snapshots; and applying far behind. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CoreOptions, Entry } from '../../src/raft/types.js'
import {
  append,
  appendResponse,
  type Cluster,
  cluster,
  entries,
  lone,
  sent,
  sessionOf,
  win,
} from './harness.js'

const WORDS = Array.from({ length: 20 }, (_, i) => `value-${i}`)

/** Leader 1 with 20 entries that node 3 lacks, of which the cache holds the last ones only. */
function laggingPeer(options: Partial<CoreOptions> = {}): Cluster {
  const t = cluster(3, { entryCacheBytes: 100, maxBytesPerMessage: 120, ...options })
  t.elect(1)
  t.cut('1 2 | 3')
  for (const word of WORDS) {
    t.propose(1, word)
    t.settle()
  }
  t.heal()
  return t
}

test('entries that left the cache are fetched for a peer that lags, and it catches up', () => {
  const t = laggingPeer()
  t.node(1).isDiskHeld = true
  t.run(1)
  const [task] = t.node(1).fetches
  assert.deepEqual([task?.peer, task?.from, task?.maxBytes], [3, 2, 120])
  t.node(1).isDiskHeld = false
  t.run(1)
  assert.equal(t.log(3), t.log(1))
})

test('a peer whose position is not known is probed without reading bodies', () => {
  const t = laggingPeer()
  t.core(1).step({ type: 'unreachable', peer: 3 })
  t.node(1).isDiskHeld = true
  t.tick(1)
  t.pump(1)
  t.deliverWhere(({ type }) => type === 'heartbeat')
  t.pump(3)
  t.deliverWhere(({ type }) => type === 'heartbeatResponse')
  t.pump(1)
  const appends = t.messages.flatMap((message) =>
    message.type === 'append' && message.to === 3 ? [message.entries.length] : [],
  )
  assert.deepEqual(appends, [0])
  assert.deepEqual(t.node(1).fetches, [])
})

test('fetched bodies are of no use when the peer moved on, or the leadership', () => {
  for (const change of ['snapshot', 'restarted', 'deposed'] as const) {
    const t = laggingPeer()
    t.node(1).isDiskHeld = true
    t.run(1)
    const [task] = t.node(1).fetches.splice(0)
    if (change === 'snapshot') t.core(1).step({ type: 'unreachable', peer: 3 })
    if (change === 'restarted') {
      t.receive(appendResponse(3, t.core(1).term, t.core(1).lastIndex, sessionOf(t, 3)))
    }
    if (change === 'deposed') {
      t.receive(append(2, 9, '0/0', '', 0))
      t.elect(2)
    }
    t.pump(1)
    t.loseAll()
    const found = t.node(1).disk.entries.slice(task!.from - 1, task!.from + 1)
    t.core(1).step({ type: 'entriesFetched', id: task!.id, entries: found })
    t.pump(1)
    assert.deepEqual(
      t.messages.filter(({ type }) => type === 'append'),
      [],
      change,
    )
  }
})

test('T-41 bodies that do not follow what was sent are never sent', () => {
  const wrong: Record<string, (right: Entry[]) => Entry[]> = {
    none: () => [],
    'a gap': (right) => right.slice(1),
    'another term': (right) => right.map((entry) => ({ ...entry, term: entry.term + 1 })),
    'a hole': (right) => [right[0]!, right[2]!],
  }
  for (const [name, spoil] of Object.entries(wrong)) {
    const t = laggingPeer()
    t.node(1).isDiskHeld = true
    t.run(1)
    const [task] = t.node(1).fetches.splice(0)
    const right = t.node(1).disk.entries.slice(task!.from - 1, task!.from + 2)
    t.core(1).step({ type: 'entriesFetched', id: task!.id, entries: spoil(right) })
    t.pump(1)
    assert.deepEqual(t.messages, [], name)
    t.node(1).isDiskHeld = false
    t.run(3)
    assert.equal(t.log(3), t.log(1), `after ${name} it is tried again`)
  }
})

test('a fetch that finds the entries compacted turns into a snapshot', () => {
  const t = laggingPeer()
  t.node(1).isDiskHeld = true
  t.run(1)
  const [task] = t.node(1).fetches.splice(0)
  t.compact(1, 15)
  t.core(1).step({ type: 'entriesUnavailable', id: task!.id, why: 'compacted' })
  const { snapshotsWanted } = t.core(1).ready()
  assert.deepEqual(
    snapshotsWanted.map(({ peer, atLeast }) => [peer, atLeast]),
    [[3, 15]],
  )
})

test('a fetch that fails for now is tried again after the next heartbeat', () => {
  const t = laggingPeer()
  t.node(1).isDiskHeld = true
  t.run(1)
  const [task] = t.node(1).fetches.splice(0)
  t.core(1).step({ type: 'entriesUnavailable', id: task!.id, why: 'retry' })
  assert.equal(t.core(1).hasReady(), false)
  t.run(1)
  assert.equal(t.node(1).fetches.length, 1)
})

test('T-64 the cache holds no more than its bound beyond what is not durable', () => {
  const t = laggingPeer({ entryCacheBytes: 200 })
  const cached = 200 / 40
  assert.ok(t.core(1).status().lastIndex > 3 * cached)
  t.core(1).checkInvariants()
  t.node(1).isDiskHeld = true
  t.run(1)
  const [task] = t.node(1).fetches
  assert.ok(task!.to >= t.core(1).lastIndex - 10, 'all but the newest had to be fetched')
})

test('a window that is full of bytes or of messages stops the flow until an acknowledgement', () => {
  for (const limits of [{ maxInflightMessages: 3 }, { maxInflightBytes: 120 }]) {
    const { t } = lone(3, '', limits)
    win(t, 2)
    sent(t)
    t.receive(appendResponse(2, 1, 1, sessionOf(t, 2)))
    sent(t)
    for (const word of ['aaaaaaaa', 'bbbbbbbb', 'cccccccc', 'dddddddd', 'eeeeeeee']) {
      t.propose(1, word)
    }
    const isEntry = (list: ReturnType<typeof sent>) =>
      list.filter((message) => message.type === 'append' && message.entries.length > 0).length
    assert.equal(isEntry(sent(t)), 3)
    t.receive(appendResponse(2, 1, 2, sessionOf(t, 2)))
    assert.ok(isEntry(sent(t)) >= 1)
  }
})

test('an append carries no more bytes than a message may, but always one entry', () => {
  const t = clusterOfTwo({ maxBytesPerMessage: 100 })
  t.propose(1, 'a', 'b', 'x'.repeat(500), 'c')
  const counts: number[] = []
  for (let i = 0; i < 3; i++) {
    for (const id of [1, 2]) {
      t.pump(id)
      while (t.flush(id)) t.pump(id)
    }
    for (const message of t.messages) {
      if (message.type === 'append' && message.entries.length > 0)
        counts.push(message.entries.length)
    }
    while (t.deliverNext());
  }
  assert.deepEqual(counts, [2, 1, 1])
})

function clusterOfTwo(options: Partial<CoreOptions>): Cluster {
  const t = cluster(2, options)
  t.elect(1)
  return t
}

test('a machine that is far behind gets its entries by fetches, in order and within the bound', () => {
  const t = cluster(1, { entryCacheBytes: 100, maxApplyBytes: 100 })
  t.elect(1)
  for (const word of WORDS) t.propose(1, word)
  t.settle()
  const { disk } = t.node(1)
  assert.equal(disk.applied, 21)
  disk.applied = 0
  t.restart(1)
  t.node(1).isDiskHeld = true
  const batches: number[] = []
  for (let i = 0; i < 60 && disk.applied < 21; i++) {
    const before = disk.applied
    t.pump(1)
    t.answerFetch(1)
    if (disk.applied > before) batches.push(disk.applied - before)
  }
  assert.equal(disk.applied, 21)
  assert.ok(Math.max(...batches) <= 3)
})

test('a fetch for the machine that fails or brings damaged entries waits for a tick', () => {
  const { t, core } = lone(1, '1:a 1:b', { entryCacheBytes: 1 })
  t.node(1).disk.hardState = { term: 1, vote: 0, commit: 2 }
  t.restart(1)
  const restarted = t.core(1)
  assert.notEqual(restarted, core)
  const damaged = entries(1, '1:a 2:b')
  for (const answer of ['fails', 'is damaged'] as const) {
    const [task] = restarted.ready().fetches
    if (answer === 'fails') {
      restarted.step({ type: 'entriesUnavailable', id: task!.id, why: 'retry' })
    } else {
      restarted.step({ type: 'entriesFetched', id: task!.id, entries: damaged })
    }
    assert.equal(restarted.hasReady(), false, answer)
    restarted.step({ type: 'tick' })
    assert.equal(restarted.hasReady(), true, answer)
  }
})

test('one apply is outstanding at a time, and may be reported in parts', () => {
  const t = cluster(1)
  t.elect(1)
  const core = t.core(1)
  /** Takes a ready and finishes its write. */
  const take = () => {
    const ready = core.ready()
    if (ready.append === undefined) return ready
    t.node(1).persist(ready.append)
    core.step({ type: 'appendDone', id: ready.append.id })
    return ready
  }
  t.propose(1, 'a', 'b')
  take()
  assert.equal(take().apply!.entries.length, 2)
  t.propose(1, 'c')
  take()
  assert.equal(take().apply, undefined)
  core.step({ type: 'applyDone', index: 2 })
  assert.deepEqual([core.status().appliedIndex, core.hasReady()], [2, false])
  core.step({ type: 'applyDone', index: 3 })
  assert.deepEqual(
    take().apply!.entries.map(({ index }) => index),
    [4],
  )
})

test('proposals are forwarded, or dropped with a reason, never silently', () => {
  const t = cluster(3)
  t.propose(2, 'too early')
  t.pump(2)
  t.elect(1)
  const token = t.propose(2, 'forwarded')
  const { forwarded } = t.core(2).ready()
  assert.deepEqual(forwarded, [{ token, leader: 1 }])
  const strict = cluster(3, { forwardProposals: false })
  strict.elect(1)
  strict.propose(2, 'x')
  strict.pump(2)
  assert.deepEqual(
    [...t.node(2).dropped, ...strict.node(2).dropped].map(({ why, leader }) => [why, leader]),
    [
      ['notLeader', 0],
      ['notLeader', 1],
    ],
  )
})

test('a halted core writes, sends and applies nothing, and says so to all who wait', () => {
  const t = cluster(3)
  t.elect(1)
  const read = t.read(1)
  t.propose(1, 'a')
  t.core(1).step({ type: 'storageFailed' })
  const token = t.propose(1, 'b')
  t.tick(1, 50)
  const { append: write, apply, messages, dropped } = t.core(1).ready()
  assert.deepEqual([write, apply, messages], [undefined, undefined, []])
  assert.deepEqual(
    dropped.map((one) => [one.token, one.why]),
    [
      [read, 'halted'],
      [token, 'halted'],
    ],
  )
  assert.equal(t.core(1).hasReady(), false)
})

test('when the leader’s connection breaks its followers elect another within a few ticks (design D12)', () => {
  const t = cluster(3, { electionTicks: 30, preVote: true, checkQuorum: true })
  t.elect(1)
  t.run(5)
  t.crash(1)
  for (const id of [2, 3]) t.core(id).step({ type: 'peerDown', peer: 1 })
  t.run(8)
  assert.equal(t.leaders.length, 1)
})

test('a broken connection to a leader that lives deposes nobody (design D12)', () => {
  const t = cluster(3, { electionTicks: 30, preVote: true, checkQuorum: true })
  t.elect(1)
  t.run(5)
  const { term } = t.core(1)
  t.core(2).step({ type: 'peerDown', peer: 1 })
  t.cut('1 3 | 2')
  t.run(10)
  t.heal()
  t.run(2)
  assert.deepEqual([t.leaders, t.core(1).term, t.core(2).leader], [[1], term, 1])
  // Back to the ordinary patience.
  t.cut('1 3 | 2')
  t.run(29)
  assert.equal(t.core(2).role, 'follower')
})

test('a broken connection to a node that does not lead changes nothing', () => {
  const t = cluster(3)
  t.elect(1)
  t.core(2).step({ type: 'peerDown', peer: 3 })
  assert.equal(t.core(2).leader, 1)
})
