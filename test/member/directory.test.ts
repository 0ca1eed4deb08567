import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { StoreError } from '../../src/base/errors.js'
import type { Configuration } from '../../src/machine/state-machine.js'
import { planChange } from '../../src/member/change-plan.js'
import {
  changeConfiguration,
  firstConfiguration,
  incarnationsIn,
  isNameTaken,
  nextNode,
  openDirectory,
} from '../../src/member/directory.js'
import { encodeConfChange, LEAVE_JOINT } from '../../src/raft/conf-change.js'
import { isJoint, membersOf } from '../../src/raft/membership.js'
import type { ConfChangeV2, Entry } from '../../src/raft/types.js'
import { encodeRecords, type MemberFacts } from '../../src/wire/directory.js'
import type { MemberChange } from '../../src/wire/membership.js'

const FIRST = firstConfiguration([
  { id: 'a', nodeId: 1, address: 'a:1' },
  { id: 'b', nodeId: 2, address: 'b:1' },
  { id: 'c', nodeId: 3, address: 'c:1' },
])

function entryOf(index: number, change: ConfChangeV2): Entry {
  return { index, term: 1, kind: 'confChangeV2', data: encodeConfChange(change) }
}

function record(nodeId: number, id: string): MemberFacts {
  return { nodeId, id, address: `${id}:1`, incarnation: undefined }
}

function step(
  kind: 'addVoter' | 'addLearner' | 'remove' | 'update',
  node: number,
  ...records: MemberFacts[]
): ConfChangeV2 {
  return { transition: 'auto', steps: [{ kind, node }], context: encodeRecords(records) }
}

/** Who is who: `a b (c) | d` with learners in brackets and former members behind the bar. */
function shown(configuration: Configuration): string {
  const { members, removed } = openDirectory(configuration)
  const isVoter = (node: number) => configuration.conf.voters.includes(node)
  const present = members.map(({ id, nodeId }) => (isVoter(nodeId) ? id : `(${id})`)).join(' ')
  return removed.length === 0 ? present : `${present} | ${removed.map(({ id }) => id).join(' ')}`
}

/** Plans and applies; a joint configuration is left at the next index. */
function apply(
  before: Configuration,
  index: number,
  ...changes: readonly MemberChange[]
): Configuration {
  const { change } = planChange(openDirectory(before), before.conf, changes, [])
  const after = changeConfiguration(before, entryOf(index, change))
  return isJoint(after.conf) ? changeConfiguration(after, entryOf(index + 1, LEAVE_JOINT)) : after
}

test('members come as learners, are promoted, demoted and removed, and leave their name behind', () => {
  let now = apply(FIRST, 5, { kind: 'add', id: 'd', address: 'd:1' })
  assert.equal(shown(now), 'a b c (d)')
  now = apply(now, 6, { kind: 'promote', id: 'd' })
  now = apply(now, 7, { kind: 'demote', id: 'a' })
  assert.equal(shown(now), '(a) b c d')
  now = apply(now, 8, { kind: 'remove', id: 'a' })
  assert.equal(shown(now), 'b c d | a')
  const directory = openDirectory(now)
  assert.equal(directory.confIndex, 8)
  assert.equal(isNameTaken(directory, 'a'), true)
  assert.equal(nextNode(directory), 5)
})

/** Who has which slot: `a0 b1`. */
function slotsOf(configuration: Configuration): string {
  return openDirectory(configuration)
    .members.map(({ id, slot }) => `${id}${slot}`)
    .join(' ')
}

test('a member has a slot of its own as long as it is one: the lowest that is free when it comes', () => {
  assert.equal(slotsOf(FIRST), 'a0 b1 c2')
  let now = apply(FIRST, 5, { kind: 'add', id: 'd', address: 'd:1' })
  now = apply(now, 6, { kind: 'remove', id: 'b' })
  assert.equal(slotsOf(now), 'a0 c2 d3')
  now = apply(now, 7, { kind: 'move', id: 'c', address: 'c:2' })
  now = apply(now, 8, { kind: 'promote', id: 'd' })
  now = apply(now, 9, { kind: 'demote', id: 'a' })
  assert.equal(slotsOf(now), 'a0 c2 d3')
  now = apply(now, 10, { kind: 'add', id: 'e', address: 'e:1' })
  now = apply(now, 11, { kind: 'add', id: 'f', address: 'f:1' })
  assert.equal(slotsOf(now), 'a0 c2 d3 e1 f4')
})

test('whoever goes with a change keeps its slot until the change is through', () => {
  const swap = planChange(
    openDirectory(FIRST),
    FIRST.conf,
    [
      { kind: 'add', id: 'd', address: 'd:1' },
      { kind: 'remove', id: 'a' },
    ],
    [],
  )
  const joint = changeConfiguration(FIRST, entryOf(5, swap.change))
  assert.deepEqual([isJoint(joint.conf), slotsOf(joint)], [true, 'a0 b1 c2 d3'])
  const after = changeConfiguration(joint, entryOf(6, LEAVE_JOINT))
  assert.equal(slotsOf(after), 'b1 c2 d3')
  assert.equal(slotsOf(apply(after, 7, { kind: 'add', id: 'e', address: 'e:1' })), 'b1 c2 d3 e0')
})

test('however members come and go, no two have the same slot, and nobody changes his', () => {
  const actions = fc.array(
    fc.record({ kind: fc.constantFrom('add' as const, 'remove' as const), at: fc.nat(9) }),
    { maxLength: 12 },
  )
  fc.assert(
    fc.property(fc.array(actions, { maxLength: 3 }), (changes) => {
      let now = FIRST
      let index = 5
      let added = 0
      for (const change of changes) {
        const { members } = openDirectory(now)
        const before = new Map(members.map(({ id, slot }) => [id, slot]))
        const wishes = change.map(({ kind, at }): MemberChange => {
          if (kind === 'remove') return { kind, id: members[at % members.length]!.id }
          added++
          return { kind, id: `m${added}`, address: `m${added}:1` }
        })
        try {
          now = apply(now, index, ...wishes)
        } catch (error) {
          if (!(error instanceof StoreError)) throw error
        }
        index += 2
        const after = openDirectory(now).members
        assert.equal(new Set(after.map(({ slot }) => slot)).size, after.length)
        for (const { id, slot } of after) assert.equal(slot, before.get(id) ?? slot)
      }
    }),
  )
})

test('there are no more members than slots', () => {
  let now = FIRST
  const wishes = Array.from({ length: 252 }, (_, i): MemberChange => {
    return { kind: 'add', id: `m${i}`, address: `m${i}:1` }
  })
  now = apply(now, 5, ...wishes)
  assert.equal(Math.max(...openDirectory(now).members.map(({ slot }) => slot)), 254)
  assert.throws(() => apply(now, 7, { kind: 'add', id: 'z', address: 'z:1' }), /255 members/)
  const change = step('addLearner', 999, record(999, 'z'))
  assert.equal(changeConfiguration(now, entryOf(7, change)), now)
})

test('several are changed at once through a joint configuration, in which the old ones are members still', () => {
  const now = apply(
    FIRST,
    5,
    { kind: 'add', id: 'd', address: 'd:1' },
    { kind: 'add', id: 'e', address: 'e:1' },
  )
  assert.deepEqual(
    openDirectory(now).members.map(({ nodeId }) => nodeId),
    [1, 2, 3, 4, 5],
  )
  const swap = planChange(
    openDirectory(now),
    now.conf,
    [
      { kind: 'promote', id: 'd' },
      { kind: 'remove', id: 'a' },
    ],
    [],
  )
  const joint = changeConfiguration(now, entryOf(7, swap.change))
  assert.deepEqual([isJoint(joint.conf), shown(joint)], [true, '(a) b c d (e)'])
  assert.equal(shown(changeConfiguration(joint, entryOf(8, LEAVE_JOINT))), 'b c d (e) | a')
})

test('T-55: a change that breaks a rule changes nothing, on any member', () => {
  const gone = apply(FIRST, 5, { kind: 'remove', id: 'c' })
  const wrong: [string, ConfChangeV2][] = [
    ['a number without a record', step('addLearner', 9)],
    ['a number that was used', step('addLearner', 3, record(3, 'd'))],
    ['a name that is used', step('addLearner', 4, record(4, 'a'))],
    ['a name that was used', step('addLearner', 4, record(4, 'c'))],
    ['a record of nobody', step('addLearner', 4, record(4, 'd'), record(5, 'e'))],
    ['another name for a member', step('update', 1, record(1, 'z'))],
    [
      'a removal of everybody',
      { ...step('remove', 1), steps: [1, 2].map((node) => ({ kind: 'remove', node })) },
    ],
    ['a joint configuration that is none', LEAVE_JOINT],
  ]
  for (const [title, change] of wrong) {
    assert.equal(changeConfiguration(gone, entryOf(6, change)), gone, title)
  }
})

test('T-68: a change of a newer version is not skipped', () => {
  for (const data of [
    Uint8Array.of(9, 0, 0, 0),
    Buffer.concat([encodeConfChange(step('update', 1)), Buffer.of(9)]),
  ]) {
    const entry: Entry = { index: 5, term: 1, kind: 'confChangeV2', data }
    assert.throws(() => changeConfiguration(FIRST, entry), { code: 'QUORATE_FORMAT' })
  }
})

test('an incarnation that is put on record is no change for whoever looks at the members, an address is one', () => {
  const seen = { ...record(1, 'a'), incarnation: '11'.repeat(8) }
  const known = changeConfiguration(FIRST, entryOf(5, step('update', 1, seen)))
  assert.equal(openDirectory(known).confIndex, 0)
  assert.equal(openDirectory(known).members[0]?.incarnation, '11'.repeat(8))
  const moved = apply(known, 6, { kind: 'move', id: 'a', address: 'a:2' })
  assert.equal(openDirectory(moved).confIndex, 6)
  assert.deepEqual(openDirectory(moved).members[0], { ...seen, address: 'a:2', slot: 0 })
})

test('T-14: incarnations in entries that are not applied are known all the same', () => {
  const seen = { ...record(2, 'b'), incarnation: '22'.repeat(8) }
  const entries = [
    { index: 4, term: 1, kind: 'normal' as const, data: Buffer.from('whatever') },
    entryOf(5, step('update', 1, seen, record(3, 'c'))),
    entryOf(6, LEAVE_JOINT),
  ]
  assert.deepEqual([...incarnationsIn(entries)], [[2, '22'.repeat(8)]])
})

test('a stored directory that does not belong to the configuration is corruption', () => {
  const { conf, members } = FIRST
  const less = { ...conf, voters: [1, 2] }
  assert.throws(() => openDirectory({ conf: less, members }), { code: 'QUORATE_CORRUPTION' })
  assert.throws(() => openDirectory({ conf, members: members.subarray(1) }), {
    code: 'QUORATE_CORRUPTION',
  })
})

test('what is planned is applied, whatever the changes, and keeps names and numbers unique for ever', () => {
  const name = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g')
  const change: fc.Arbitrary<MemberChange> = fc.oneof(
    name.map((id): MemberChange => ({ kind: 'add', id, address: `${id}:1` })),
    fc.record({ kind: fc.constantFrom('promote', 'demote', 'remove'), id: name }),
  )
  const batches = fc.array(fc.array(change, { minLength: 1, maxLength: 3 }), { maxLength: 20 })
  fc.assert(
    fc.property(batches, (changes) => {
      let now: Configuration = FIRST
      const everUsed = new Map([...'abc'].map((id, i) => [id, i + 1]))
      changes.forEach((batch, i) => {
        let after: Configuration
        try {
          after = apply(now, 10 * (i + 1), ...batch)
        } catch (error) {
          assert.match((error as { code: string }).code, /^QUORATE_/)
          return
        }
        const { members, removed } = openDirectory(after)
        assert.deepEqual(
          members.map(({ nodeId }) => nodeId),
          membersOf(after.conf),
        )
        for (const { id, nodeId } of [...members, ...removed]) {
          assert.equal(everUsed.get(id) ?? nodeId, nodeId, `${id} got another number`)
          everUsed.set(id, nodeId)
        }
        assert.equal(new Set(everUsed.values()).size, everUsed.size)
        assert.equal(members.length + removed.length, everUsed.size)
        now = after
      })
    }),
  )
})
