import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { DecodeError } from '../../src/wire/command.js'
import {
  type Directory,
  decodeDirectory,
  decodeRecords,
  encodeDirectory,
  encodeRecords,
  type MemberRecord,
} from '../../src/wire/directory.js'
import { SLOT_MAX } from '../../src/wire/manifest.js'

const record: fc.Arbitrary<MemberRecord> = fc.record(
  {
    nodeId: fc.maxSafeNat(),
    id: fc.stringMatching(/^[A-Za-z0-9._-]{1,64}$/),
    address: fc.constantFrom(undefined, '127.0.0.1:7101', 'unix:/run/ä.sock'),
    incarnation: fc.constantFrom(undefined, '0123456789abcdef', 'ffffffffffffffff'),
    slot: fc.nat(SLOT_MAX),
  },
  { noNullPrototype: true },
)
const directory: fc.Arbitrary<Directory> = fc.record(
  {
    confIndex: fc.maxSafeNat(),
    members: fc.array(record, { maxLength: 5 }),
    removed: fc.array(
      fc.record({ nodeId: fc.maxSafeNat(), id: fc.string() }, { noNullPrototype: true }),
      { maxLength: 5 },
    ),
  },
  { noNullPrototype: true },
)

test('a directory and records read back are what was written', () => {
  fc.assert(
    fc.property(directory, (written) => {
      assert.deepEqual(decodeDirectory(encodeDirectory(written)), written)
      const facts = written.members.map(({ slot: _, ...each }) => each)
      assert.deepEqual(decodeRecords(encodeRecords(written.members)), facts)
    }),
  )
  assert.equal(encodeRecords([]).length, 0)
})

test('a directory with any bit flipped, cut short or lengthened is a DecodeError', () => {
  const bytes = encodeDirectory({
    confIndex: 7,
    members: [{ nodeId: 1, id: 'a', address: 'a:1', incarnation: undefined, slot: 3 }],
    removed: [{ nodeId: 2, id: 'b' }],
  })
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    const damaged = Buffer.from(bytes)
    damaged[bit >> 3]! ^= 1 << (bit & 7)
    assert.throws(() => decodeDirectory(damaged), DecodeError, `bit ${bit}`)
  }
  for (const damaged of [bytes.subarray(0, -1), Buffer.concat([bytes, Buffer.of(0)])]) {
    assert.throws(() => decodeDirectory(damaged), DecodeError)
  }
})

test('a newer version is refused, whatever it holds', () => {
  const bytes = encodeDirectory({ confIndex: 0, members: [], removed: [] })
  bytes[0] = 3
  bytes.writeUInt32LE(crc32(bytes.subarray(0, -4)), bytes.length - 4)
  assert.throws(() => decodeDirectory(bytes), /unknown version 3/)
  const records = Buffer.from(
    encodeRecords([{ nodeId: 1, id: 'a', address: undefined, incarnation: undefined }]),
  )
  records[0] = 2
  assert.throws(() => decodeRecords(records), /unknown version 2/)
})

test('any other bytes are a DecodeError, and no count makes it allocate', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      for (const decode of [decodeDirectory, decodeRecords]) {
        try {
          decode(Uint8Array.of(decode === decodeDirectory ? 2 : 1, ...bytes))
        } catch (error) {
          if (!(error instanceof DecodeError)) throw error
        }
      }
    }),
    { numRuns: 1_000 },
  )
})

test('the example in docs/formats.md', () => {
  const bytes = encodeDirectory({
    confIndex: 4,
    members: [{ nodeId: 1, id: 'a', address: 'a:1', incarnation: '0123456789abcdef', slot: 0 }],
    removed: [{ nodeId: 2, id: 'b' }],
  })
  const lines = [
    '02 0400000000000000 0100 01000000',
    '0100000000000000 0100 61 0300 613a31 0123456789abcdef 00',
    '0200000000000000 0100 62 2fb69102',
  ]
  assert.equal(bytes.toString('hex'), lines.join('').replaceAll(' ', ''))
})
