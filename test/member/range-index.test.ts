import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { KeyRange } from '../../src/env/database.js'
import { RangeIndex } from '../../src/member/range-index.js'

const key = fc.uint8Array({ minLength: 0, maxLength: 3, max: 3 })
const range: fc.Arbitrary<KeyRange> = fc
  .tuple(fc.constantFrom('gt', 'gte', 'none'), key, fc.constantFrom('lt', 'lte', 'none'), key)
  .map(([low, from, high, to]) => ({
    ...(low !== 'none' && { [low]: from }),
    ...(high !== 'none' && { [high]: to }),
  }))

function isWithin(k: Uint8Array, { gt, gte, lt, lte }: KeyRange): boolean {
  const over = (bound: Uint8Array) => Buffer.compare(k, bound)
  return (
    (gt === undefined || over(gt) > 0) &&
    (gte === undefined || over(gte) >= 0) &&
    (lt === undefined || over(lt) < 0) &&
    (lte === undefined || over(lte) <= 0)
  )
}

test('a key finds exactly the ranges that hold it, each once', () => {
  fc.assert(
    fc.property(
      fc.array(range, { maxLength: 40 }),
      fc.array(key, { maxLength: 20 }),
      (all, keys) => {
        const items = all.map((each, at) => ({ range: each, at }))
        const index = new RangeIndex(items)
        for (const k of keys) {
          const found: number[] = []
          index.visit(k, ({ at }) => found.push(at))
          const expected = items.filter((item) => isWithin(k, item.range)).map(({ at }) => at)
          assert.deepEqual(
            found.toSorted((a, b) => a - b),
            expected,
          )
        }
      },
    ),
  )
})

test('among a thousand disjoint ranges a key is compared with few', () => {
  let looks = 0
  const items = Array.from({ length: 1000 }, (_, at) => {
    const bound = (n: number) => Buffer.from(String(n).padStart(5, '0'))
    return {
      get range() {
        looks++
        return { gte: bound(at * 10), lt: bound(at * 10 + 5) }
      },
    }
  })
  const index = new RangeIndex(items)
  looks = 0
  let found = 0
  index.visit(Buffer.from('05003'), () => found++)
  assert.equal(found, 1)
  assert.ok(looks < 60, `${looks} ranges were looked at`)
})
