/** How many shards are left when members are lost, against trying out every loss. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  coverageOf,
  isCovered,
  type ShardMembers,
  shardMembersOf,
  sparedVoters,
} from '../../src/machine/coverage.js'
import { firstConfiguration } from '../../src/member/directory.js'
import { manifestOf } from '../wire/manifest-fixture.js'

const NODES = [1, 2, 3, 4, 5, 6, 7]

/** Every way to lose so many of `nodes`. */
function losses(nodes: readonly number[], count: number): number[][] {
  const [first, ...rest] = nodes
  if (count === 0) return [[]]
  if (first === undefined) return []
  const with1 = losses(rest, count - 1).map((others) => [first, ...others])
  return [...with1, ...losses(rest, count)]
}

/** The fewest different shards that are left in `voters`, whoever is lost. */
function worst(voters: readonly number[], held: ReadonlyMap<number, number>): number {
  const left = losses(voters, sparedVoters(voters.length)).map((lost) => {
    const slots = voters.filter((node) => !lost.includes(node)).map((node) => held.get(node))
    return new Set(slots.filter((slot) => slot !== undefined)).size
  })
  return Math.min(...left)
}

const slots = new Map(NODES.map((node) => [node, node + 10]))
const voters = fc.shuffledSubarray(NODES, { minLength: 1 })

test('coverage is the number of shards that are left whoever is lost, in both halves of a joint configuration', () => {
  const outgoing = fc.shuffledSubarray(NODES)
  const holders = fc.array(
    fc.record({ node: fc.constantFrom(...NODES, 9), isRight: fc.boolean() }),
    { maxLength: 12 },
  )
  fc.assert(
    fc.property(voters, outgoing, holders, (incoming, votersOutgoing, all) => {
      const members: ShardMembers = { voters: incoming, votersOutgoing, slots }
      const listed = all.map(({ node, isRight }) => ({ node, slot: node + (isRight ? 10 : 9) }))
      const counting = listed.filter(({ node, slot }) => slots.get(node) === slot)
      const held = new Map(counting.map(({ node, slot }) => [node, slot]))
      const halves = votersOutgoing.length === 0 ? [incoming] : [incoming, votersOutgoing]
      assert.equal(
        coverageOf(listed, members),
        Math.min(...halves.map((half) => worst(half, held))),
      )
    }),
    { numRuns: 2000 },
  )
})

test('learners, former members and a shard of another slot do not count', () => {
  const members = { voters: [1, 2, 3], votersOutgoing: [], slots }
  const holder = (node: number, slot = node + 10) => ({ node, slot })
  assert.equal(
    coverageOf(
      [1, 2, 3].map((node) => holder(node)),
      members,
    ),
    2,
  )
  assert.equal(coverageOf([holder(1), holder(2), holder(4)], members), 1)
  assert.equal(coverageOf([holder(1), holder(2), holder(9)], members), 1)
  assert.equal(coverageOf([holder(1), holder(2), holder(3, 14)], members), 1)
  assert.equal(coverageOf([holder(1), holder(1), holder(1)], members), 0)
})

test('a blob is covered when each of its parts is; one without parts always is', () => {
  const configuration = firstConfiguration(
    ['a', 'b', 'c'].map((id, i) => ({ id, nodeId: i + 1, address: `${id}:1` })),
  )
  const members = shardMembersOf(configuration)
  const part = (durable: readonly boolean[], dataShards = 2) => ({ durable, dataShards })
  const [all, two, one] = [
    [true, true, true],
    [true, true, false],
    [true, false, false],
  ]
  const covered = (...parts: { durable: readonly boolean[]; dataShards: number }[]) =>
    isCovered(manifestOf({ parts }), members)
  assert.equal(covered(part(all)), true)
  assert.equal(covered(part(all), part(two)), false)
  assert.equal(covered(part(all), part(two, 1)), true)
  assert.equal(covered(part(one, 1)), false)
  assert.equal(covered(), true)
})

test('a damaged directory is an error', () => {
  const { conf } = firstConfiguration([{ id: 'a', nodeId: 1, address: 'a:1' }])
  assert.throws(() => shardMembersOf({ conf, members: Uint8Array.of(1, 2, 3) }), {
    code: 'QUORATE_CORRUPTION',
  })
})
