import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checksum, checksumOf } from '../../src/wire/checksum.js'

test('the checksum is XXH64 with seed 0', () => {
  assert.equal(checksum(new Uint8Array(0)), 0xef46db3751d8e999n)
  assert.equal(checksum(Buffer.from('abc')), 0x44bc2cf5ad770999n)
})

test('a view is hashed from its beginning to its end', () => {
  assert.equal(checksum(Buffer.from('xxabcxx').subarray(2, 5)), checksum(Buffer.from('abc')))
})

test('parts hash as if they were one, gathered or streamed', () => {
  for (const size of [0, 5, 16_384, 16_385, 1_000_000]) {
    const whole = Buffer.alloc(size, 'some bytes ')
    const middle = Math.floor(size / 3)
    const parts = [whole.subarray(0, middle), Buffer.alloc(0), whole.subarray(middle)]
    assert.equal(checksumOf(parts), checksum(whole))
  }
})
