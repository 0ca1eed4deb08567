import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { DecodeError } from '../../src/wire/command.js'
import {
  decodeChallenge,
  decodeHello,
  decodeRefusal,
  encodeChallenge,
  encodeHello,
  encodeRefusal,
  HANDSHAKE_BYTES_MAX,
  type Hello,
} from '../../src/wire/handshake.js'

/** Records as object literals make them, which is what decoders return. */
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(model, { noNullPrototype: true })

const fixed = (bytes: number) =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((b) => Buffer.from(b))
const memberId = fc.string({ maxLength: 60, unit: 'grapheme' }).filter((id) => {
  return Buffer.byteLength(id) <= 256 && Buffer.from(id).toString() === id
})
const hello: fc.Arbitrary<Hello> = record({
  role: fc.constantFrom('member', 'client'),
  clusterId: fixed(8),
  from: fc.maxSafeNat(),
  to: fc.maxSafeNat(),
  memberId,
  nonce: fixed(16),
  incarnation: fixed(8).map((bytes) => bytes.toString('hex')),
  priority: fc.integer({ min: -100, max: 100 }),
  address: fc.constantFrom('', '127.0.0.1:7101', 'unix:/run/ä.sock'),
})

test('hello, challenge and refusal read back are what was written', () => {
  fc.assert(
    fc.property(hello, fc.maxSafeNat(), (written, node) => {
      assert.deepEqual(decodeHello(encodeHello(written)), written)
      const { clusterId, memberId, nonce, incarnation } = written
      const challenge = { clusterId, memberId, nonce, node, incarnation }
      assert.deepEqual(decodeChallenge(encodeChallenge(challenge)), challenge)
    }),
  )
  const refusal = { code: 'QUORATE_WRONG_CLUSTER', message: 'of another cluster' } as const
  assert.deepEqual(decodeRefusal(encodeRefusal(refusal)), refusal)
})

test('any other bytes are a DecodeError or harmless', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
      for (const decode of [decodeHello, decodeChallenge, decodeRefusal]) {
        try {
          decode(Buffer.from(bytes))
        } catch (error) {
          if (!(error instanceof DecodeError)) throw error
        }
      }
    }),
    { numRuns: 1_000 },
  )
})

test('a hello with a member id or an address beyond its bound is refused, and the longest fits', () => {
  const sample = fc.sample(hello, 1)[0]!
  const longest = { ...sample, memberId: 'm'.repeat(256), address: 'a'.repeat(512) }
  const body = encodeHello(longest)
  assert.deepEqual(decodeHello(body), longest)
  assert.ok(body.length <= HANDSHAKE_BYTES_MAX)
  for (const beyond of [{ memberId: 'm'.repeat(257) }, { address: 'a'.repeat(513) }]) {
    assert.throws(() => decodeHello(encodeHello({ ...longest, ...beyond })), DecodeError)
  }
})

test('a refusal with a long message is cut to what a handshake frame may carry', () => {
  const body = encodeRefusal({ code: 'QUORATE_FORMAT', message: 'x'.repeat(5_000) })
  assert.equal(body.length, HANDSHAKE_BYTES_MAX)
})
