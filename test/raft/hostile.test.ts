/** T-70: messages that are malformed, mutated or out of place never break an invariant and never throw. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Message } from '../../src/raft/types.js'
import { append, cluster, lone, sent } from './harness.js'
import { copyOf, mutate } from './mutation.js'

/** Numbers that are wrong, or right by chance. */
const number = fc.oneof(
  fc.nat(12),
  fc.constantFrom(-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, 2 ** 52, 2 ** 52 + 1),
)

test('T-70 mutated copies of real messages break no invariant of any node', () => {
  let mutated = 0
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(40), fc.nat(40), number), { minLength: 10, maxLength: 40 }),
      fc.boolean(),
      (mutations, preVote) => {
        const t = cluster(3, { preVote, checkQuorum: preVote, entryCacheBytes: 200 })
        // Nothing is checked across nodes: a lie may well make them disagree. Each must keep its own invariants.
        t.check = () => {
          for (const { core } of t.up) core.checkInvariants()
        }
        t.oracle.applied = () => {}
        t.elect(1)
        for (const [which, at, value] of mutations) {
          t.propose(t.leaders[0] ?? 1, 'x')
          t.core(2).step({ type: 'readIndex', token: 0 })
          for (const { id } of t.up) {
            t.tick(id)
            t.pump(id)
            t.flush(id)
          }
          const original = t.messages[which % Math.max(1, t.messages.length)]
          if (original !== undefined) {
            const lie = copyOf(original)
            if (mutate(lie, at, value)) mutated++
            for (const { core } of t.up) core.step({ type: 'receive', message: lie })
          }
          t.check()
          for (let i = 0; i < 6; i++) t.deliverNext()
        }
      },
    ),
    { numRuns: 100 },
  )
  assert.ok(mutated > 1000)
})

test('T-70 messages made up from nothing break no invariant', () => {
  const id = fc.oneof(fc.integer({ min: 1, max: 4 }), number)
  const envelope = { from: id, to: fc.constant(1), term: number }
  const entry = fc.record({
    term: number,
    index: number,
    kind: fc.constantFrom('normal', 'confChange', 'confChangeV2', 'other'),
    data: fc.uint8Array({ maxLength: 4 }),
  })
  const ids = fc.array(id, { maxLength: 3 })
  const conf = fc.record({
    voters: ids,
    votersOutgoing: ids,
    learners: ids,
    learnersNext: ids,
    autoLeave: fc.boolean(),
  })
  const snapshot = fc.record({ term: number, index: number, conf })
  const fields = {
    ...envelope,
    type: fc.constantFrom(
      ...['vote', 'preVote', 'voteResponse', 'preVoteResponse', 'append', 'appendResponse'],
      ...['heartbeat', 'heartbeatResponse', 'snapshot', 'timeoutNow', 'transferLeader'],
      ...['forgetLeader', 'propose', 'readIndex', 'readIndexResponse', 'unheardOf'],
    ),
    lastIndex: number,
    lastTerm: number,
    transfer: fc.boolean(),
    reject: fc.boolean(),
    prevIndex: number,
    prevTerm: number,
    commit: number,
    session: number,
    index: number,
    hintIndex: number,
    hintTerm: number,
    context: number,
    entries: fc.array(entry, { maxLength: 3 }),
    snapshot,
  }
  const message = fc.record(fields) as unknown as fc.Arbitrary<Message>
  fc.assert(
    fc.property(fc.array(message, { maxLength: 40 }), fc.nat(40), (messages, campaignAt) => {
      const { t, core } = lone(3, '1:a 1:b')
      t.check = () => core.checkInvariants()
      messages.forEach((one, i) => {
        if (i === campaignAt) core.step({ type: 'campaign' })
        core.step({ type: 'receive', message: one })
        core.checkInvariants()
        t.pump(1)
        if (i % 2 === 0) t.flush(1)
        core.checkInvariants()
      })
    }),
    { numRuns: 2_000 },
  )
})

test('T-70 answers from nodes that are not members, and messages to or from this node itself, are ignored', () => {
  const { t, core } = lone(3, '')
  core.step({ type: 'campaign' })
  sent(t)
  const vote = { type: 'voteResponse', to: 1, term: 1, reject: false } as const
  for (const message of [
    { ...vote, from: 9 },
    { ...vote, from: 1 },
    { ...vote, from: 2, to: 3 },
  ]) {
    core.step({ type: 'receive', message })
  }
  assert.equal(core.role, 'candidate')
})

test('T-70 an append with a gap among its entries, or with terms that fall, is ignored as a whole', () => {
  const { t, core } = lone(3, '')
  const good = append(2, 3, '0/0', '1:a 2:b 3:c', 0)
  const [a, b, c] = good.entries
  for (const entries of [
    [a!, c!],
    [b!, c!],
    [a!, { ...b!, term: 3 }, { ...c!, term: 2 }],
    [a!, b!, { ...c!, term: 4 }],
  ]) {
    t.receive({ ...good, entries })
  }
  assert.deepEqual([core.lastIndex, core.term], [0, 0])
  t.receive(good)
  assert.equal(core.lastIndex, 3)
})

test('two that claim to lead the same term are not both believed', () => {
  const { t, core } = lone(3, '')
  t.receive(append(2, 1, '0/0', '1:a', 0))
  t.receive(append(3, 1, '0/0', '1:b 1:c', 0))
  assert.deepEqual([core.leader, core.lastIndex], [2, 1])
})
