import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { chooseDataShards } from '../../src/blob/data-shards.js'
import { Introduced } from '../../src/blob/introduced.js'
import { judge, type Verdict } from '../../src/blob/verdict.js'
import { coverageOf } from '../../src/machine/coverage.js'
import { type BlobId, isSameBlob } from '../../src/wire/manifest.js'
import { manifestOf } from '../wire/manifest-fixture.js'

/** One thing that is committed: a blob put into force, in its own term or refused in another, or the key deleted. */
interface Step {
  readonly term: number
  readonly blob: BlobId | undefined
}

/** Logs whose terms do not go down, with puts of blobs of any term. */
const LOGS = fc
  .array(
    fc.record({
      isNewTerm: fc.boolean(),
      blob: fc.option(fc.record({ term: fc.integer({ min: 1, max: 4 }), seq: fc.nat(3) })),
    }),
    { minLength: 1, maxLength: 20 },
  )
  .map((steps) => {
    let term = 1
    return steps.map(({ isNewTerm, blob }): Step => {
      if (isNewTerm) term++
      return { term, blob: blob === null ? undefined : { ...blob, proposer: 1 } }
    })
  })

/** What each entry leaves under the key: a put of another term is refused. */
function statesOf(log: readonly Step[]): (BlobId | undefined)[] {
  let state: BlobId | undefined
  return log.map(({ term, blob }) => {
    if (blob === undefined) state = undefined
    else if (blob.term === term) state = blob
    return state
  })
}

/** The verdict of a member that has applied the first `length` entries and remembers what it saw. */
function verdictAfter(log: readonly Step[], length: number, id: BlobId): Verdict {
  const states = statesOf(log)
  const introduced = new Introduced()
  for (let i = 0; i < length; i++) {
    const { blob } = log[i]!
    if (i > 0 && log[i]!.term !== log[i - 1]!.term) introduced.clear()
    if (blob !== undefined && states[i] === blob) introduced.note(blob, i + 1)
  }
  const state = states[length - 1]
  const { term, seq } = state ?? { term: 0, seq: 0 }
  return judge({
    id,
    part: 0,
    manifest: state && manifestOf({ term, seq }),
    applied: { index: length, term: log[length - 1]!.term },
    introducedAt: introduced.indexOf(id),
  })
}

/** Whether each blob is put at most once: its maker numbers them, and requests happen exactly once. */
function isOnce(log: readonly Step[]): boolean {
  const seen = new Set<string>()
  return log.every(({ blob }) => {
    if (blob === undefined) return true
    const name = `${blob.term} ${blob.seq}`
    if (seen.has(name)) return false
    seen.add(name)
    return true
  })
}

test('I6: no shard of a blob that the state refers to, now or after any later entry, is dead', () => {
  fc.assert(
    fc.property(LOGS.filter(isOnce), fc.nat(), (log, cut) => {
      const length = 1 + (cut % log.length)
      const states = statesOf(log)
      for (let term = 1; term <= 4; term++) {
        for (let seq = 0; seq <= 3; seq++) {
          const id = { term, proposer: 1, seq }
          const verdict = verdictAfter(log, length, id)
          const later = states.slice(length - 1)
          const isReferred = later.some((state) => state !== undefined && isSameBlob(state, id))
          if (isReferred) assert.notEqual(verdict, 'dead')
          if (verdict === 'live') assert.ok(isReferred)
        }
      }
    }),
    { numRuns: 500 },
  )
})

test('I12: everything that the state does not refer to is dead once an entry of a later term is applied', () => {
  fc.assert(
    fc.property(LOGS.filter(isOnce), (log) => {
      const after = [...log, { term: log.at(-1)!.term + 1, blob: undefined }]
      for (const { blob } of log) {
        if (blob === undefined || blob.term > log.at(-1)!.term) continue
        assert.equal(verdictAfter(after, after.length, blob), 'dead')
      }
    }),
  )
})

test('a part that the manifest of its blob does not list is dead, the others live', () => {
  const manifest = manifestOf({ parts: [{}, {}] })
  const facts = { id: manifest.id, manifest, applied: { index: 5, term: 1 }, introducedAt: 3 }
  assert.deepEqual(
    [0, 1, 2].map((part) => judge({ ...facts, part })),
    ['live', 'live', 'dead'],
  )
})

test('what is known to have been in force says nothing about a state from before', () => {
  const id = { term: 2, proposer: 1, seq: 1 }
  const facts = { id, part: 0, manifest: undefined, introducedAt: 7 }
  assert.equal(judge({ ...facts, applied: { index: 6, term: 2 } }), 'wait')
  assert.equal(judge({ ...facts, applied: { index: 7, term: 2 } }), 'dead')
})

test('k is such that those who are waited for cover the part, also in both halves of a change', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ count: fc.integer({ min: 1, max: 9 }), away: fc.nat(4) }), {
        minLength: 1,
        maxLength: 2,
      }),
      fc.option(fc.nat(2), { nil: undefined }),
      (halves, slack) => {
        const voters = halves.map(({ count, away }) => ({
          count,
          reachable: Math.max(Math.floor(count / 2) + 1, count - away),
        }))
        const dataShards = chooseDataShards({ voters, dataShardsMax: 8, slack })
        assert.ok(dataShards >= 1)
        if (dataShards === 1) return
        for (const { count, reachable } of voters) {
          const nodes = Array.from({ length: count }, (_, i) => i + 1)
          const slots = new Map(nodes.map((node) => [node, node - 1]))
          const spared = slack ?? (count >= 5 ? 1 : 0)
          const holders = nodes
            .slice(0, reachable - spared)
            .map((node) => ({ node, slot: node - 1 }))
          const members = { voters: nodes, votersOutgoing: [], slots }
          assert.ok(coverageOf(holders, members) >= dataShards)
        }
      },
    ),
  )
})

test('k for clusters of which everybody is there', () => {
  const all = [1, 2, 3, 4, 5, 6, 7, 9].map((count) =>
    chooseDataShards({
      voters: [{ count, reachable: count }],
      dataShardsMax: 8,
      slack: undefined,
    }),
  )
  assert.deepEqual(all, [1, 1, 2, 2, 2, 2, 3, 4])
})
