/** The bytes about retained checkpoints: what is written is read, and nothing else is believed. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeRetainedFile, describeRetained } from '../../src/snapshot/retained-file.js'
import { DecodeError } from '../../src/wire/command.js'
import { sealManifest } from '../../src/wire/image.js'
import {
  decodeRetainAsk,
  decodeRetained,
  decodeRetainPiece,
  decodeRetainReport,
  decodeWanted,
  encodeRetainAsk,
  encodeRetained,
  encodeRetainPiece,
  encodeRetainReport,
  encodeWanted,
  type RetainedImage,
} from '../../src/wire/retained.js'

const u64 = fc.nat({ max: Number.MAX_SAFE_INTEGER })
const u32 = fc.nat({ max: 0xffff_ffff })
const root = fc.stringMatching(/^[0-9a-f]{16}$/)
const PLAIN = { noNullPrototype: true }
const image: fc.Arbitrary<RetainedImage> = fc.record(
  {
    index: u64,
    term: u64,
    dataShards: fc.integer({ min: 1, max: 255 }),
    members: fc.array(fc.record({ node: u64, slot: fc.nat(254) }, PLAIN), { maxLength: 5 }),
  },
  PLAIN,
)
const durable = fc.tuple(image, root).map(([each, name]) => ({ ...each, root: name }))
const record = fc.record(
  {
    making: fc.option(image, { nil: undefined }),
    durable: fc.option(durable, { nil: undefined }),
  },
  PLAIN,
)

/** No byte may be missing, be one too many, or be what no version wrote. */
function refusesOthers(bytes: Uint8Array, decode: (bytes: Buffer) => unknown): void {
  for (const length of [0, 1, bytes.length - 1]) {
    assert.throws(() => decode(Buffer.from(bytes.subarray(0, length))), DecodeError)
  }
  assert.throws(() => decode(Buffer.concat([bytes, Buffer.of(0)])), DecodeError)
}

test('the record and the frames are read as they were written, and not otherwise', () => {
  fc.assert(
    fc.property(record, u64, u32, u32, root, (state, index, id, offset, name) => {
      assert.deepEqual(decodeRetained(encodeRetained(state)), state)
      refusesOthers(encodeRetained(state), decodeRetained)
      assert.equal(decodeWanted(Buffer.from(encodeWanted(index))), index)
      refusesOthers(encodeWanted(index), decodeWanted)
      for (const status of ['making', 'whole', 'lacking'] as const) {
        const report = encodeRetainReport({ index, status, root: name })
        assert.deepEqual(decodeRetainReport(Buffer.from(report)), { index, status, root: name })
        refusesOthers(report, decodeRetainReport)
      }
      const ask = encodeRetainAsk({ id, index, offset })
      assert.deepEqual(decodeRetainAsk(Buffer.from(ask)), { id, index, offset })
      refusesOthers(ask, decodeRetainAsk)
      const piece = { id, wholeBytes: offset, bytes: Buffer.from(name) }
      assert.deepEqual(decodeRetainPiece(Buffer.concat(encodeRetainPiece(piece))), piece)
    }),
  )
})

test('a description is read as it was written, and refused with any bit changed', () => {
  const conf = {
    voters: [1],
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
  }
  const header = { clusterId: '0102030405060708', index: 7, term: 2, conf, sessions: 0 }
  const chunk = { firstKey: Buffer.of(0), bytes: 9, entries: 1, hash: '00000000000000aa' }
  const about = { ...header, members: Buffer.of(5), digest: '00000000000000bb' }
  const manifest = sealManifest(about, [chunk])
  const pins = [{ term: 1, proposer: 2, seq: 3 }]
  const of = { index: 7, term: 2, dataShards: 2, members: [] }
  const { bytes } = describeRetained(of, manifest, pins)
  const file = decodeRetainedFile(bytes)
  assert.deepEqual(
    [file.index, file.term, file.dataShards, file.manifest.root],
    [7, 2, 2, manifest.root],
  )
  assert.deepEqual([...file.pins], ['1-2-3'])
  refusesOthers(bytes, decodeRetainedFile)
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const damaged = Buffer.from(bytes)
    damaged[bit >> 3]! ^= 1 << (bit & 7)
    assert.throws(() => decodeRetainedFile(damaged), DecodeError, `bit ${bit}`)
  }
})
