/** The core through its boundary: what a driver sees of elections, replication, commits and reads. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cluster } from './harness.js'

test('three cores elect a leader, replicate, commit and apply in order', () => {
  const t = cluster(3)
  t.elect(1)
  t.propose(1, 'a')
  t.propose(1, 'b', 'c')
  t.settle()
  for (const id of [1, 2, 3]) {
    assert.equal(t.log(id), '1: 1:a 1:b 1:c')
    assert.equal(t.node(id).disk.applied, 4)
  }
  assert.deepEqual(
    t.node(1).proposed.map(({ index }) => index),
    [2, 3],
  )
})

test('a read is served on leader and follower at the commit index', () => {
  const t = cluster(3)
  t.elect(1)
  t.propose(1, 'a')
  t.settle()
  const tokens = [t.read(1), t.read(2)]
  t.settle()
  assert.deepEqual(t.node(1).reads, [{ token: tokens[0], index: 2 }])
  assert.deepEqual(t.node(2).reads, [{ token: tokens[1], index: 2 }])
})
