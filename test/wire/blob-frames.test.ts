import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  type AskedPiece,
  type AskShard,
  decodeAskedPiece,
  decodeAskShard,
  decodeBlobReport,
  decodeDropShards,
  decodeHold,
  decodePutShard,
  decodeShardAck,
  encodeAskedPiece,
  encodeAskShard,
  encodeBlobReport,
  encodeDropShards,
  encodeHold,
  encodeNoPiece,
  encodePutShard,
  encodeShardAck,
  FRAME_BLOB_STATUS,
  FRAME_PUT_SHARD,
  HOLD_MS_MAX,
  isAboutBlobs,
  type StoreStatus,
} from '../../src/wire/blob-frames.js'
import { DecodeError, KEY_BYTES_MAX } from '../../src/wire/command.js'

const U32 = fc.integer({ min: 0, max: 0xffff_ffff })
const U53 = fc.maxSafeNat()
const BYTES = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes))
const BLOB = fc.record({ term: U53, proposer: U53, seq: U53 })
const ASK: fc.Arbitrary<AskShard> = fc.record({
  id: U32,
  blob: BLOB,
  part: U32,
  index: fc.integer({ min: 0, max: 254 }),
  from: U32,
  to: U32,
})
const PIECE: fc.Arbitrary<AskedPiece> = fc.record({
  id: U32,
  status: fc.constantFrom('ok' as const, 'missing' as const, 'busy' as const),
  firstBlock: U32,
  head: BYTES,
  footer: BYTES,
  blocks: BYTES,
})
const REPORT = fc.record({
  fullIndex: U53,
  missing: U53,
  shards: U53,
  bytes: U53,
  quarantined: U53,
})

test('every frame about shards is read as it was written', () => {
  fc.assert(
    fc.property(U32, BYTES, BLOB, ASK, PIECE, REPORT, (id, bytes, blob, ask, piece, report) => {
      assert.deepEqual(decodePutShard(Buffer.concat(encodePutShard(id, [bytes, bytes]))), {
        id,
        shard: Buffer.concat([bytes, bytes]),
      })
      for (const status of ['stored', 'busy', 'noSpace', 'refused'] satisfies StoreStatus[]) {
        assert.deepEqual(decodeShardAck(Buffer.from(encodeShardAck({ id, status }))), {
          id,
          status,
        })
      }
      const drop = { blob: { ...blob }, key: bytes }
      assert.deepEqual(decodeDropShards(Buffer.from(encodeDropShards(drop))), drop)
      const asked = { ...ask, blob: { ...blob } }
      assert.deepEqual(decodeAskShard(Buffer.from(encodeAskShard(asked))), asked)
      assert.deepEqual(decodeAskedPiece(Buffer.concat(encodeAskedPiece(piece))), { ...piece })
      assert.deepEqual(decodeBlobReport(encodeBlobReport(report)), { ...report })
      assert.equal(decodeHold(Buffer.from(encodeHold(id))), Math.min(id, HOLD_MS_MAX))
    }),
  )
})

test('bytes that are no such frame are a DecodeError', () => {
  const decoders: readonly ((body: Buffer) => unknown)[] = [
    decodeShardAck,
    decodeDropShards,
    decodeAskShard,
    decodeAskedPiece,
    decodeBlobReport,
    decodeHold,
  ]
  for (const decode of decoders) {
    assert.throws(() => decode(Buffer.alloc(3, 0xff)), DecodeError)
    assert.throws(() => decode(Buffer.alloc(200_000, 0xff)), DecodeError)
  }
  assert.throws(() => decodePutShard(Buffer.alloc(3)), DecodeError)
  const longKey = { blob: { term: 1, proposer: 1, seq: 1 }, key: Buffer.alloc(KEY_BYTES_MAX + 1) }
  assert.throws(() => decodeDropShards(Buffer.from(encodeDropShards(longKey))), DecodeError)
})

test('no cut of a frame is read past its end', () => {
  fc.assert(
    fc.property(ASK, PIECE, fc.nat(120), (ask, piece, cut) => {
      for (const [whole, decode] of [
        [Buffer.from(encodeAskShard(ask)), decodeAskShard],
        [Buffer.concat(encodeAskedPiece(piece)), decodeAskedPiece],
      ] as const) {
        if (cut >= whole.length) continue
        try {
          decode(whole.subarray(0, cut))
        } catch (error) {
          assert.ok(error instanceof DecodeError, String(error))
        }
      }
    }),
  )
})

test('a refusal has no bytes, and the kinds are those of shards', () => {
  const piece = decodeAskedPiece(Buffer.concat(encodeNoPiece(7, 'busy')))
  assert.deepEqual([piece.id, piece.status, piece.blocks.length], [7, 'busy', 0])
  assert.deepEqual([FRAME_PUT_SHARD - 1, FRAME_BLOB_STATUS + 1].map(isAboutBlobs), [false, false])
  assert.deepEqual([FRAME_PUT_SHARD, FRAME_BLOB_STATUS].map(isAboutBlobs), [true, true])
})
