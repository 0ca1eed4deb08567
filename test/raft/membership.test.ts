/** Configuration changes as pure functions: validity, and that every way to a configuration leads to the same. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeConfChange, encodeConfChange } from '../../src/raft/conf-change.js'
import {
  type ChangeResult,
  changeConf,
  changeSimply,
  EMPTY_CONF,
  enterJoint,
  leaveJoint,
  membersOf,
} from '../../src/raft/membership.js'
import type { ConfChangeStep, ConfState } from '../../src/raft/types.js'
import { change, conf } from './harness.js'

const PLAIN = { noNullPrototype: true } as const
const kinds = ['addVoter', 'addLearner', 'remove', 'update'] as const
const step: fc.Arbitrary<ConfChangeStep> = fc.record(
  { kind: fc.constantFrom(...kinds), node: fc.integer({ min: 1, max: 6 }) },
  PLAIN,
)
const steps: fc.Arbitrary<ConfChangeStep[]> = fc.array(step, { minLength: 1, maxLength: 8 })

function confOf(result: ChangeResult): ConfState {
  assert.ok('conf' in result, 'refused' in result ? result.refused : '')
  return result.conf
}

/** A configuration that is not joint, reached by valid changes. */
const reachable: fc.Arbitrary<ConfState> = fc.array(steps, { maxLength: 4 }).map((changes) =>
  changes.reduce((before, list) => {
    const joint = enterJoint(before, list, false)
    return 'conf' in joint ? confOf(leaveJoint(joint.conf)) : before
  }, conf(1)),
)

test('the joint path and the simple path lead to the same configuration (thesis §4.3)', () => {
  let compared = 0
  fc.assert(
    fc.property(reachable, steps, (before, list) => {
      const simple = changeSimply(before, list)
      if ('refused' in simple) return
      compared++
      assert.deepEqual(confOf(leaveJoint(confOf(enterJoint(before, list, false)))), simple.conf)
    }),
    { numRuns: 2_000 },
  )
  assert.ok(compared > 300, `only ${compared} changes were simple`)
})

test('autoLeave changes nothing but itself', () => {
  fc.assert(
    fc.property(reachable, steps, (before, list) => {
      const [explicit, automatic] = [
        enterJoint(before, list, false),
        enterJoint(before, list, true),
      ]
      if ('refused' in explicit) return assert.deepEqual(explicit, automatic)
      assert.deepEqual({ ...explicit.conf, autoLeave: true }, confOf(automatic))
      assert.deepEqual(confOf(leaveJoint(explicit.conf)), confOf(leaveJoint(confOf(automatic))))
    }),
  )
})

test('in every configuration a node is voter or learner, and next learners are outgoing voters', () => {
  fc.assert(
    fc.property(reachable, steps, (before, list) => {
      const joint = enterJoint(before, list, false)
      if ('refused' in joint) return
      const { voters, votersOutgoing, learners, learnersNext } = joint.conf
      assert.ok(voters.length > 0)
      for (const id of learners) assert.ok(![...voters, ...votersOutgoing].includes(id))
      for (const id of learnersNext) {
        assert.ok(votersOutgoing.includes(id) && !voters.includes(id))
      }
      assert.deepEqual(votersOutgoing, before.voters)
    }),
  )
})

test('a simple change alters at most one voter (thesis §4.1)', () => {
  fc.assert(
    fc.property(reachable, steps, (before, list) => {
      const after = changeSimply(before, list)
      if ('refused' in after) return
      const gone = before.voters.filter((id) => !after.conf.voters.includes(id))
      const added = after.conf.voters.filter((id) => !before.voters.includes(id))
      assert.ok(gone.length + added.length <= 1)
    }),
  )
})

test('T-55 a change that would leave no voter is refused, and so is one inside a joint configuration', () => {
  assert.deepEqual(changeConf(conf(1), change('r1')), { refused: 'removed all voters' })
  assert.deepEqual(changeConf(conf(1, 2), change('r1 r2')), { refused: 'removed all voters' })
  const joint = confOf(changeConf(conf(1), change('v2 v3')))
  assert.deepEqual(changeConf(joint, change('v4')), {
    refused: "can't apply simple config change in joint config",
  })
  assert.deepEqual(changeConf(EMPTY_CONF, change('')), {
    refused: "can't leave a non-joint config",
  })
})

test('a node that is removed and added in one change enters anew (T-13)', () => {
  const result = changeSimply({ ...conf(1), learners: [2] }, change('r2 l2').steps)
  assert.ok('fresh' in result)
  assert.deepEqual([...result.fresh], [2])
  assert.deepEqual(membersOf(result.conf), [1, 2])
})

test('a change survives encoding, and damaged bytes never decode to something else than a change', () => {
  const parts = {
    transition: fc.constantFrom(
      'auto' as const,
      'jointImplicit' as const,
      'jointExplicit' as const,
    ),
    steps: fc.array(step, { maxLength: 5 }),
    context: fc.uint8Array({ maxLength: 8 }),
  }
  const arbitrary = fc.record(parts, PLAIN)
  fc.assert(
    fc.property(arbitrary, fc.nat(), fc.nat(255), (original, at, byte) => {
      const data = encodeConfChange(original)
      const decoded = decodeConfChange(data)!
      assert.deepEqual({ ...decoded, context: Uint8Array.from(decoded.context) }, original)
      const damaged = Uint8Array.from(data)
      if (damaged.length > 0) damaged[at % damaged.length] = byte
      const other = decodeConfChange(damaged.subarray(0, damaged.length - (at % 2)))
      if (other !== undefined)
        assert.ok(other.steps.every(({ node }) => Number.isSafeInteger(node)))
    }),
  )
})
