/** Frames about damage: everything decodes to what was encoded, anything else is refused. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { DecodeError, KEY_BYTES_MAX } from '../../src/wire/command.js'
import {
  decodeCompare,
  decodeDigest,
  decodeNeed,
  decodeStored,
  encodeCompare,
  encodeDigest,
  encodeNeed,
  encodeStored,
  FRAME_COMPARE,
  FRAME_STORED,
  isAboutDamage,
  type StoredStatus,
} from '../../src/wire/integrity.js'

const index = fc.nat({ max: Number.MAX_SAFE_INTEGER })
const id = fc.nat({ max: 0xffff_ffff })
const hex16 = fc
  .uint8Array({ minLength: 8, maxLength: 8 })
  .map((bytes) => Buffer.from(bytes).toString('hex'))
const status = fc.constantFrom<StoredStatus>('found', 'absent', 'behind', 'damaged')

test('every frame decodes to what was encoded', () => {
  fc.assert(
    fc.property(
      index,
      hex16,
      id,
      status,
      fc.uint8Array({ minLength: 1, maxLength: 100 }),
      (at, digest, call, what, bytes) => {
        assert.equal(decodeCompare(Buffer.from(encodeCompare(at))), at)
        const found = { index: at, digest }
        assert.deepEqual(decodeDigest(Buffer.from(encodeDigest(found))), found)
        const need = { id: call, atLeast: at, key: Buffer.from(bytes) }
        assert.deepEqual(decodeNeed(Buffer.from(encodeNeed(need))), need)
        const stored = { id: call, status: what, index: at, bytes: Buffer.from(bytes) }
        assert.deepEqual(decodeStored(Buffer.concat(encodeStored(stored))), stored)
      },
    ),
  )
})

test('frames that are too short, too long, or out of bounds are refused', () => {
  const huge = Buffer.alloc(16, 0xff)
  for (const refused of [
    () => decodeCompare(Buffer.alloc(7)),
    () => decodeCompare(Buffer.alloc(9)),
    () => decodeCompare(huge.subarray(0, 8)),
    () => decodeDigest(Buffer.alloc(15)),
    () => decodeDigest(huge),
    () => decodeNeed(Buffer.alloc(12)),
    () => decodeNeed(Buffer.alloc(13 + KEY_BYTES_MAX)),
    () => decodeNeed(huge),
    () => decodeStored(Buffer.alloc(12)),
    () => decodeStored(Buffer.from([0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0])),
    () => decodeStored(huge),
  ]) {
    assert.throws(refused, DecodeError)
  }
})

test('their kinds are told from those of other frames', () => {
  assert.ok(isAboutDamage(FRAME_COMPARE) && isAboutDamage(FRAME_STORED))
  assert.ok(!isAboutDamage(FRAME_COMPARE - 1) && !isAboutDamage(FRAME_STORED + 1))
})
