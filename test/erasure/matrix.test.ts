import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Code } from '../../src/erasure/code.js'
import { inverse, multiply, power } from '../../src/erasure/field.js'
import { generatorMatrix, invertMatrix, multiplyMatrices } from '../../src/erasure/matrix.js'
import { subsets } from './shards.js'

/** Multiplication as it is defined: of polynomials over GF(2), modulo 0x11D. */
function product(a: number, b: number): number {
  let sum = 0
  for (let bit = 0; bit < 8; bit++) if ((b >> bit) & 1) sum ^= a << bit
  for (let bit = 15; bit >= 8; bit--) if ((sum >> bit) & 1) sum ^= 0x11d << (bit - 8)
  return sum
}

test('all 65,536 products are those of polynomials modulo 0x11D', () => {
  for (let a = 0; a < 256; a++) {
    for (let b = 0; b < 256; b++) assert.equal(multiply(a, b), product(a, b))
  }
})

test('every element but 0 has an inverse, and powers are repeated products', () => {
  for (let a = 1; a < 256; a++) assert.equal(multiply(a, inverse(a)), 1)
  for (let a = 0; a < 256; a++) {
    for (let e = 0, expected = 1; e < 300; e++, expected = multiply(expected, a)) {
      assert.equal(power(a, e), expected)
    }
  }
})

test('the generator matrices are those that Backblaze, klauspost and the Rust crate publish', () => {
  const parityRows = (k: number, m: number) => [...generatorMatrix(k + m, k).subarray(k * k)]
  assert.deepEqual(parityRows(1, 3), [1, 1, 1])
  assert.deepEqual(parityRows(2, 1), [3, 2])
  assert.deepEqual(parityRows(3, 2), [1, 1, 1, 15, 8, 6])
  assert.deepEqual(parityRows(4, 3), [27, 28, 18, 20, 28, 27, 20, 18, 18, 20, 27, 28])
})

test('every k rows of every generator matrix up to n = 10 are independent', () => {
  for (let n = 1; n <= 10; n++) {
    for (let k = 1; k <= n; k++) {
      const generator = generatorMatrix(n, k)
      const identity = generator.subarray(0, k * k)
      for (const chosen of subsets(n).filter((each) => each.length === k)) {
        const rows = Uint8Array.from(
          chosen.flatMap((r) => [...generator.subarray(r * k, r * k + k)]),
        )
        assert.deepEqual(multiplyMatrices(rows, invertMatrix(rows, k), k), identity)
      }
    }
  }
})

test('a plan is made once per pattern of loss, and old ones make room', () => {
  const code = new Code(3, 2)
  const plan = code.plan([0, 1, 3], [2])
  assert.equal(code.plan([0, 1, 3], [2]), plan)
  const wide = new Code(1, 200)
  const first = wide.plan([0], [1])
  for (let target = 2; target < 80; target++) wide.plan([0], [target])
  assert.notEqual(wide.plan([0], [1]), first)
  assert.deepEqual(wide.plan([0], [1]), first)
})

test('a code has at least one data shard and at most 255 shards', () => {
  assert.equal(new Code(200, 55).shards, 255)
  assert.equal(new Code(1, 0).shards, 1)
  for (const [k, m] of [
    [0, 1],
    [-1, 3],
    [200, 56],
    [2, -1],
    [1.5, 1],
    [Number.NaN, 1],
  ] as const) {
    assert.throws(() => new Code(k, m), RangeError)
  }
})
