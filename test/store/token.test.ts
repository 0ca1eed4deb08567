import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { StoreError } from '../../src/base/errors.js'
import { decodeToken, encodeToken } from '../../src/store/token.js'

const CLUSTER = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)
const position = fc.record(
  { index: fc.maxSafeNat(), term: fc.maxSafeNat() },
  { noNullPrototype: true },
)

function isBadToken(error: unknown): boolean {
  return error instanceof StoreError && error.code === 'QUORATE_BAD_TOKEN'
}

test('a token gives back the position that went into it', () => {
  fc.assert(
    fc.property(position, (given) => {
      assert.deepEqual(decodeToken(CLUSTER, encodeToken(CLUSTER, given)), given)
    }),
  )
})

test('a token of an ordinary position is short and safe in a cookie or header', () => {
  assert.match(encodeToken(CLUSTER, { index: 1_000_000, term: 7 }), /^s1\.[A-Za-z0-9_-]{20,30}$/)
})

test('a token of another cluster is refused', () => {
  const token = encodeToken(Uint8Array.of(9, 2, 3, 4, 5, 6, 7, 8), { index: 5, term: 1 })
  assert.throws(() => decodeToken(CLUSTER, token), isBadToken)
})

test('any change of one character of a token is refused, never read as another position', () => {
  fc.assert(
    fc.property(position, fc.nat(), fc.constantFrom(...'Aa0-_.'), (given, where, character) => {
      const token = encodeToken(CLUSTER, given)
      const at = where % token.length
      const changed = token.slice(0, at) + character + token.slice(at + 1)
      try {
        // The last character of base64url may have bits that mean nothing.
        assert.deepEqual(decodeToken(CLUSTER, changed), given)
      } catch (error) {
        assert.ok(isBadToken(error))
      }
    }),
  )
})

test('text that is no token is refused', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      assert.throws(() => decodeToken(CLUSTER, text), isBadToken)
      assert.throws(() => decodeToken(CLUSTER, `s1.${text}`), isBadToken)
    }),
  )
})
