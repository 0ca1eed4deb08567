import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Zipfian } from '../../bench/zipfian.js'

const N = 1000
const DRAWS = 200_000

function counts(draw: (uniform: number) => number): number[] {
  const found = new Array<number>(N).fill(0)
  for (let i = 0; i < DRAWS; i++) found[draw((i + 0.5) / DRAWS)]!++
  return found
}

test('a rank is drawn in proportion to 1 / (rank + 1) ^ 0.99', () => {
  const zipfian = new Zipfian(N)
  const found = counts((uniform) => zipfian.rank(uniform))
  let sum = 0
  for (let i = 1; i <= N; i++) sum += i ** -0.99
  for (const rank of [0, 1]) {
    const expected = DRAWS / (rank + 1) ** 0.99 / sum
    assert.ok(Math.abs(found[rank]! / expected - 1) < 0.01, `rank ${rank}: ${found[rank]}`)
  }
  // Beyond the first two the method approximates: a tenth of the ranks has its share of the draws.
  const head = found.slice(0, 100).reduce((a, b) => a + b)
  let expected = 0
  for (let i = 1; i <= 100; i++) expected += i ** -0.99
  assert.ok(Math.abs(head / DRAWS / (expected / sum) - 1) < 0.05, `the head has ${head}`)
})

test('every draw is within the range, for any size', () => {
  for (const n of [1, 2, 3, 10, 1000]) {
    const zipfian = new Zipfian(n)
    for (const uniform of [0, 0.25, 0.5, 0.999999, 1 - Number.EPSILON]) {
      const [rank, number] = [zipfian.rank(uniform), zipfian.scattered(uniform)]
      assert.ok(rank >= 0 && rank < n && Number.isInteger(rank), `${n}: rank ${rank}`)
      assert.ok(number >= 0 && number < n && Number.isInteger(number), `${n}: ${number}`)
    }
  }
})
