/**
 * Histories that are too particular for random schedules to meet often: played against the core in
 * traps.test.ts, where they must end well, and against planted bugs in mutants.test.ts, where they must not.
 */
import assert from 'node:assert/strict'
import { change, cluster, clusterWithLogs, type DriverOptions } from './harness.js'

/** A history; it throws when something went wrong that must not. */
export type Scenario = (driver: Partial<DriverOptions>) => void

/** Raft §5.4.2, figure 8: an entry of an older term on a majority can still be replaced. */
export function figure8(driver: Partial<DriverOptions>): void {
  // One entry per message, so that the old entry can arrive without the one of the new term.
  const logs = ['1: 2:a', '1: 2:a', '1:', '1:', '1: 3:b']
  const t = clusterWithLogs(logs, { maxBytesPerMessage: 1 }, driver)
  t.cut('1 | 2 3 4 5')
  t.core(1).step({ type: 'campaign' })
  t.settle()
  t.cut('1 2 3 | 4 5')
  t.core(1).step({ type: 'campaign' })
  t.pump(1)
  while (t.flush(1)) t.pump(1)
  for (const id of [2, 3]) {
    t.deliverWhere(({ type }) => type === 'vote')
    t.pump(id)
    t.flush(id)
  }
  t.deliverWhere(({ type }) => type === 'voteResponse')
  assert.equal(t.core(1).role, 'leader')
  // Node 3 gets the entry of term 2, and nothing of term 4; node 2 gets everything.
  for (let round = 0; round < 4; round++) {
    t.pump(1)
    while (t.flush(1)) t.pump(1)
    t.deliverWhere(({ type, to }) => type !== 'append' || to === 2 || t.core(3).lastIndex < 2)
    for (const id of [2, 3]) {
      t.pump(id)
      t.flush(id)
    }
  }
  assert.deepEqual(
    [2, 3].map((id) => t.log(id)),
    ['1: 2:a 4:', '1: 2:a'],
  )
  t.deliverWhere(({ to }) => to === 1)
  t.crash(1)
  t.loseAll()
  t.heal()
  t.crash(2)
  for (let i = 0; i < 3; i++) {
    t.core(5).step({ type: 'campaign' })
    t.settle()
  }
  assert.equal(t.core(5).role, 'leader')
  assert.ok(t.log(3).startsWith('1: 3:b'), 'the entry of term 2 was replaced')
}

/** A new leader that does not know yet what its predecessor committed must not answer reads (trap T-42). */
export function readBeforeFirstCommit(driver: Partial<DriverOptions>): void {
  const t = cluster(3, {}, driver)
  t.elect(1)
  t.propose(1, 'a')
  t.pump(1)
  t.flush(1)
  t.deliverWhere(({ type }) => type === 'append')
  for (const id of [2, 3]) {
    t.pump(id)
    t.flush(id)
  }
  t.deliverWhere(({ type }) => type === 'appendResponse')
  t.pump(1)
  assert.equal(t.core(1).commitIndex, 2)
  t.loseAll()
  t.crash(1)
  t.core(2).step({ type: 'campaign' })
  for (let round = 0; round < 3; round++) {
    for (const id of [2, 3]) {
      t.pump(id)
      if (t.core(id).role !== 'leader') t.flush(id)
    }
    t.deliverWhere(({ type }) => type !== 'append')
    if (round === 0) t.flush(2)
  }
  assert.equal(t.core(2).role, 'leader')
  assert.equal(t.core(2).commitIndex, 1, 'it knows of less than was committed')
  const token = t.read(2)
  for (let round = 0; round < 3; round++) {
    for (const id of [2, 3]) t.pump(id)
    t.deliverWhere(({ type }) => type !== 'append')
  }
  assert.deepEqual(t.node(2).reads, [])
  t.settle()
  assert.deepEqual(t.node(2).reads, [{ token, index: 3 }])
}

/** A leader that is cut off must not answer reads under its lease once another may lead (trap T-46). */
export function leaseRunsOut(driver: Partial<DriverOptions>): void {
  const t = cluster(3, { preVote: true, checkQuorum: true, reads: 'lease' }, driver)
  t.elect(1)
  t.run(3)
  t.read(1)
  t.pump(1)
  assert.equal(t.node(1).reads.length, 1, 'served at once under the lease')
  t.cut('1 | 2 3')
  t.core(2).setElectionTimeout(10)
  t.run(12)
  assert.deepEqual(t.leaders, [1, 2])
  t.propose(2, 'x')
  t.settle()
  t.read(1)
  t.settle()
  assert.equal(t.node(1).reads.length, 1, 'not served: the lease is over, and no quorum answers')
}

/** In a joint configuration both halves decide (thesis §4.3). */
export function jointNeedsBothHalves(driver: Partial<DriverOptions>): void {
  const t = cluster(5, {}, driver)
  t.elect(1)
  t.proposeChange(1, change('r4 r5'))
  t.settle()
  t.proposeChange(1, change('v4 v5 r2 r3', 'jointExplicit'))
  t.settle()
  assert.deepEqual(t.core(1).status().conf.votersOutgoing, [1, 2, 3])
  for (const sides of ['1 4 5 | 2 3', '1 2 3 | 4 5']) {
    const before = t.core(1).commitIndex
    t.cut(sides)
    t.propose(1, 'x')
    t.settle()
    assert.equal(t.core(1).commitIndex, before)
    t.heal()
    t.run(3)
    assert.equal(t.core(1).commitIndex, before + 1)
  }
  t.cut('1 2 3 | 4 5')
  t.core(2).step({ type: 'campaign' })
  t.settle()
  assert.notEqual(t.core(2).role, 'leader')
}
