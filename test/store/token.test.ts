import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { StoreError } from '../../src/base/errors.js'
import { Tokens } from '../../src/store/token.js'

const CLUSTER = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)
const plain = new Tokens(CLUSTER, undefined)
const sealed = new Tokens(CLUSTER, Buffer.from('a key of sixteen'))
const both = fc.constantFrom(plain, sealed)
const position = fc.record(
  { index: fc.maxSafeNat(), term: fc.maxSafeNat() },
  { noNullPrototype: true },
)

function isBadToken(error: unknown): boolean {
  return error instanceof StoreError && error.code === 'QUORATE_BAD_TOKEN'
}

test('a token gives back the position that went into it', () => {
  fc.assert(
    fc.property(position, both, (given, tokens) => {
      assert.deepEqual(tokens.decode(tokens.encode(given)), given)
    }),
  )
})

test('a token of an ordinary position is short and safe in a cookie or header', () => {
  assert.match(plain.encode({ index: 1_000_000, term: 7 }), /^s1\.[A-Za-z0-9_-]{20,30}$/)
})

test('a token of another cluster is refused', () => {
  const another = new Tokens(Uint8Array.of(9, 2, 3, 4, 5, 6, 7, 8), undefined)
  assert.throws(() => plain.decode(another.encode({ index: 5, term: 1 })), isBadToken)
})

test('any change of one character of a token is refused, never read as another position', () => {
  fc.assert(
    fc.property(
      position,
      fc.nat(),
      fc.constantFrom(...'Aa0-_.'),
      both,
      (given, where, character, tokens) => {
        const token = tokens.encode(given)
        const at = where % token.length
        const changed = token.slice(0, at) + character + token.slice(at + 1)
        try {
          // The last character of base64url may have bits that mean nothing.
          assert.deepEqual(tokens.decode(changed), given)
        } catch (error) {
          assert.ok(isBadToken(error))
        }
      },
    ),
  )
})

test('text that is no token is refused', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      assert.throws(() => plain.decode(text), isBadToken)
      assert.throws(() => sealed.decode(`s1.${text}`), isBadToken)
    }),
  )
})

test('with a key only what it sealed is taken, without one only what none sealed', () => {
  const other = new Tokens(CLUSTER, Buffer.from('another of sixteen'))
  const [given, made] = [{ index: 5, term: 1 }, plain.encode({ index: 6, term: 1 })]
  assert.deepEqual(sealed.decode(sealed.encode(given)), given)
  for (const token of [made, other.encode(given)]) {
    assert.throws(() => sealed.decode(token), isBadToken)
  }
  assert.throws(() => plain.decode(sealed.encode(given)), isBadToken)
})

test('a sealed token whose position was changed and whose checksum was made anew is refused', () => {
  const forged = Buffer.from(sealed.encode({ index: 5, term: 1 }).slice(3), 'base64url')
  forged[12] = 6
  assert.throws(() => sealed.decode(`s1.${forged.toString('base64url')}`), isBadToken)
  forged[0] = 1
  assert.throws(() => sealed.decode(`s1.${forged.toString('base64url')}`), isBadToken)
})
