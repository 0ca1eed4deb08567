import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compareBytes } from '../../../src/base/bytes.js'
import type { KeyRange } from '../../../src/env/database.js'
import { LevelKeySpace, type LevelRange, rangeFrom } from '../../../src/store/level/key-space.js'

/** Few different bytes, those at the edge among them, so that keys meet and prefixes end in 0xff. */
const bytes = (maxLength: number): fc.Arbitrary<Uint8Array> =>
  fc.array(fc.constantFrom(0, 1, 0xfe, 0xff), { maxLength }).map((all) => Uint8Array.from(all))
const bound = fc.option(bytes(3), { nil: undefined })
const levelRange: fc.Arbitrary<LevelRange> = fc.record({
  gt: bound,
  gte: bound,
  lt: bound,
  lte: bound,
})

function isIn({ gt, gte, lt, lte }: LevelRange, key: Uint8Array): boolean {
  const isAbove =
    gte !== undefined ? compareBytes(key, gte) >= 0 : gt === undefined || compareBytes(key, gt) > 0
  const isBelow =
    lte !== undefined ? compareBytes(key, lte) <= 0 : lt === undefined || compareBytes(key, lt) < 0
  return isAbove && isBelow
}

test('a range means the same keys of the database behind any prefix, and none of anybody else', () => {
  const run = (prefix: Uint8Array, range: LevelRange, key: Uint8Array, foreign: Uint8Array) => {
    const keys = new LevelKeySpace(prefix)
    const inStore = keys.rangeToStore(range)
    assert.deepEqual(keys.fromStore(keys.toStore(key)), Buffer.from(key))
    assert.equal(isIn(inStore, keys.toStore(key)), isIn(range, key))
    const isForeign = compareBytes(foreign.subarray(0, prefix.length), prefix) !== 0
    if (isForeign) assert.equal(isIn(inStore, foreign), false)
  }
  fc.assert(fc.property(bytes(2), levelRange, bytes(3), bytes(4), run), { numRuns: 2000 })
})

test('after a seek the keys of the range on the far side of the target are left, and outside it none', () => {
  const order = fc.constantFrom('forward' as const, 'reverse' as const)
  const run = (
    range: LevelRange,
    target: Uint8Array,
    key: Uint8Array,
    way: 'forward' | 'reverse',
  ) => {
    const within = new LevelKeySpace(new Uint8Array(0)).rangeToStore(range)
    const left: KeyRange | undefined = rangeFrom(within, target, way)
    const isAhead =
      way === 'forward' ? compareBytes(key, target) >= 0 : compareBytes(key, target) <= 0
    const expected = isIn(range, target) && isIn(range, key) && isAhead
    assert.equal(left !== undefined && isIn(left, key), expected)
  }
  fc.assert(fc.property(levelRange, bytes(3), bytes(3), order, run), { numRuns: 2000 })
})
