import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Entry, EntryKind } from '../../src/raft/types.js'
import { type ArchivedEntries, decodeArchive, encodeArchive } from '../../src/wire/archive.js'
import { DecodeError } from '../../src/wire/command.js'

const KINDS: readonly EntryKind[] = ['normal', 'confChange', 'confChangeV2']

function archived(first: number, data: readonly Uint8Array[]): ArchivedEntries {
  const entries = data.map(
    (bytes, i): Entry => ({
      index: first + i,
      term: 7 + i,
      kind: KINDS[i % 3]!,
      data: Buffer.from(bytes),
    }),
  )
  return { clusterId: '0102030405060708', entries }
}

test('entries read back from an archive file are those that were written', () => {
  const bodies = fc.array(fc.uint8Array({ maxLength: 50 }), { minLength: 1, maxLength: 10 })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 40 }), bodies, (first, data) => {
      const written = archived(first, data)
      assert.deepEqual(decodeArchive(encodeArchive(written)), written)
    }),
  )
})

test('an archive file with any bit flipped, cut short or lengthened is a DecodeError', () => {
  const bytes = encodeArchive(archived(9, [Buffer.from('one'), Buffer.from('two')]))
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    const damaged = Buffer.from(bytes)
    damaged[bit >> 3]! ^= 1 << (bit & 7)
    assert.throws(() => decodeArchive(damaged), DecodeError, `bit ${bit}`)
  }
  for (const damaged of [bytes.subarray(0, -1), bytes.subarray(0, 20), Buffer.alloc(0)]) {
    assert.throws(() => decodeArchive(damaged), DecodeError)
  }
})

test('the bytes are those of docs/formats.md', () => {
  assert.equal(
    encodeArchive(archived(9, [Buffer.from('data')])).toString('hex'),
    '51756f724172630a0100000001020304050607080900000000000000' +
      '01000000070000000000000000040000006461746125' +
      '4a56078ad55243',
  )
})
