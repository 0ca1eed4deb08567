/** When peers hear of a newer commit index (CoreOptions.commitNotice: 'afterApply'). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LogIndex, NodeId, Ready } from '../../src/raft/types.js'
import { type Cluster, change, cluster } from './harness.js'

/** Leader 1 of three nodes whose newest entry, at the index that is returned, is committed and not applied. */
function committed(): { t: Cluster; index: LogIndex; apply: Ready['apply'] } {
  const t = cluster(3, { commitNotice: 'afterApply' })
  t.elect(1)
  t.propose(1, 'a')
  const { apply } = commit(t)
  return { t, index: t.core(1).commitIndex, apply }
}

/** Has what leader 1 has proposed written by itself and node 2, and takes what it wants done then. */
function commit(t: Cluster): Ready {
  t.pump(1)
  t.flush(1)
  t.deliverWhere(({ to }) => to === 2)
  t.pump(2)
  t.flush(2)
  t.deliverWhere(({ to }) => to === 1)
  return t.core(1).ready()
}

/** To whom appends go, with how many entries and which commit index. */
function appends({ messages }: Ready): [to: NodeId, entries: number, commit: LogIndex][] {
  return messages.flatMap((message) =>
    message.type === 'append' ? [[message.to, message.entries.length, message.commit]] : [],
  )
}

test('the commit index is told when what it commits is applied', () => {
  const { t, index, apply } = committed()
  const core = t.core(1)
  assert.equal(apply?.entries.at(-1)?.index, index)
  assert.equal(core.hasReady(), false)
  core.step({ type: 'applyDone', index })
  assert.deepEqual(appends(core.ready()), [
    [2, 0, index],
    [3, 0, index],
  ])
  assert.equal(core.hasReady(), false)
})

test('a proposal that comes by then carries it, and nothing else does', () => {
  const { t, index } = committed()
  const core = t.core(1)
  t.propose(1, 'b')
  assert.deepEqual(appends(core.ready()), [
    [2, 1, index],
    [3, 1, index],
  ])
  core.step({ type: 'applyDone', index })
  assert.deepEqual(appends(core.ready()), [])
})

test('a heartbeat tells it to those who have the entry, while applying takes long', () => {
  const { t, index } = committed()
  t.tick(1)
  const commits = t
    .core(1)
    .ready()
    .messages.flatMap((message) => {
      return message.type === 'heartbeat' ? [[message.to, message.commit]] : []
    })
  assert.deepEqual(commits, [
    [2, index],
    [3, index - 1],
  ])
})

test('a follower that reads hears of it before the answer that it is to wait for', () => {
  const { t, index } = committed()
  const core = t.core(1)
  t.messages = []
  t.read(3)
  t.pump(3)
  t.deliverWhere(({ type }) => type === 'readIndex')
  t.messages.push(...core.ready().messages)
  t.deliverWhere(({ type, to }) => type === 'heartbeat' && to === 2)
  t.pump(2)
  t.deliverWhere(({ type }) => type === 'heartbeatResponse')
  const told = core.ready().messages.map(({ type, to }) => [type, to])
  assert.deepEqual(told, [
    ['append', 3],
    ['readIndexResponse', 3],
  ])
  // The heartbeat of the round has told node 2.
  core.step({ type: 'applyDone', index })
  assert.deepEqual(appends(core.ready()), [])
})

test('a configuration change is told at once: who applies it may be gone then', () => {
  const t = cluster(3, { commitNotice: 'afterApply' })
  t.elect(1)
  t.proposeChange(1, change('r1'))
  const ready = commit(t)
  assert.deepEqual(appends(ready), [
    [2, 0, t.core(1).commitIndex],
    [3, 0, t.core(1).commitIndex],
  ])
})

test('a leader that was deposed meanwhile tells nothing', () => {
  const { t, index } = committed()
  const core = t.core(1)
  const entries = { prevIndex: index, prevTerm: 1, entries: [], commit: 0, session: 1 }
  t.receive({ type: 'append', from: 2, to: 1, term: 2, ...entries })
  core.step({ type: 'applyDone', index })
  assert.deepEqual(appends(core.ready()), [])
})
