import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { DecodeError } from '../../src/wire/command.js'
import {
  type Ask,
  decodeAsk,
  decodeIndex,
  decodeOffer,
  decodePiece,
  decodeProgress,
  encodeAsk,
  encodeIndex,
  encodeOffer,
  encodePiece,
  encodeProgress,
  MANIFEST_BYTES_MAX,
  type Offer,
  type Piece,
  type Progress,
} from '../../src/wire/snapshot-transfer.js'

const PLAIN = { noNullPrototype: true } as const
const u64 = fc.maxSafeNat()
const u32 = fc.nat(0xffff_ffff)
const bytes = fc.uint8Array({ maxLength: 40 }).map((each) => Buffer.from(each))
const offer: fc.Arbitrary<Offer> = fc.record(
  {
    index: u64,
    term: u64,
    leaderTerm: u64,
    session: u64,
    root: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((n) => n.toString(16).padStart(16, '0')),
    manifestBytes: fc.nat(MANIFEST_BYTES_MAX),
    holders: fc.array(u64, { maxLength: 64 }),
  },
  PLAIN,
)
const ask: fc.Arbitrary<Ask> = fc.record(
  {
    id: u32,
    index: u64,
    offset: u32,
    maxBytes: u32,
    firstKey: bytes,
  },
  PLAIN,
)
const piece: fc.Arbitrary<Piece> = fc.record(
  {
    id: u32,
    status: fc.constantFrom('ok', 'gone', 'busy'),
    wholeBytes: u32,
    bytes,
  },
  PLAIN,
)
const progress: fc.Arbitrary<Progress> = fc.record(
  {
    index: u64,
    status: fc.constantFrom('fetching', 'loading', 'done', 'failed'),
    bytes: u64,
    totalBytes: u64,
  },
  PLAIN,
)

function buffer(...parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat(parts)
}

test('what is said about images comes out as it went in', () => {
  fc.assert(
    fc.property(offer, ask, piece, progress, u64, (anOffer, anAsk, aPiece, aProgress, index) => {
      assert.deepEqual(decodeOffer(buffer(encodeOffer(anOffer))), anOffer)
      assert.deepEqual(decodeAsk(buffer(encodeAsk(anAsk))), anAsk)
      assert.deepEqual(decodePiece(buffer(...encodePiece(aPiece))), aPiece)
      assert.deepEqual(decodeProgress(buffer(encodeProgress(aProgress))), aProgress)
      assert.equal(decodeIndex(buffer(encodeIndex(index))), index)
    }),
  )
})

test('any other bytes are refused with a DecodeError, or are what somebody may have meant', () => {
  const decoders = [decodeOffer, decodeAsk, decodePiece, decodeProgress, decodeIndex]
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (garbage) => {
      for (const decode of decoders) {
        try {
          decode(Buffer.from(garbage))
        } catch (error) {
          assert.ok(error instanceof DecodeError, String(error))
        }
      }
    }),
    { numRuns: 1000 },
  )
})

test('an offer of a manifest beyond the bound is refused before memory is taken for it', () => {
  const [sample] = fc.sample(offer, 1)
  const body = buffer(encodeOffer({ ...sample!, manifestBytes: MANIFEST_BYTES_MAX + 1 }))
  assert.throws(() => decodeOffer(body), DecodeError)
})

/** Example of docs/formats.md. */
test('an ask for the first piece of a chunk looks like this', () => {
  const body = buffer(
    encodeAsk({ id: 7, index: 300, offset: 0, maxBytes: 262_144, firstKey: Buffer.from('\x01a') }),
  )
  assert.equal(body.toString('hex'), '070000002c0100000000000000000000000004000161')
})
