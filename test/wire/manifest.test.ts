import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { DecodeError } from '../../src/wire/command.js'
import {
  type BlobPart,
  blobName,
  decodeManifest,
  encodeManifest,
  isSameBlob,
  type Manifest,
  PART_DIGEST_BYTES,
  partBytes,
  partDigest,
  SHARD_DIGEST_BYTES,
  SLOT_MAX,
  shardBytes,
} from '../../src/wire/manifest.js'
import { manifestOf } from './manifest-fixture.js'

const number = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
const bytesOf = (length: number) =>
  fc.uint8Array({ minLength: length, maxLength: length }).map((bytes) => Buffer.from(bytes))

const plain = <T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(fields, { noNullPrototype: true }) as fc.Arbitrary<T>

const manifests: fc.Arbitrary<Manifest> = fc
  .uniqueArray(fc.integer({ min: 0, max: SLOT_MAX }), { maxLength: 20 })
  .map((slots) => slots.sort((a, b) => a - b))
  .chain((slots) =>
    plain({
      id: plain({ term: number, proposer: number, seq: number }),
      isStream: fc.boolean(),
      members: fc
        .uniqueArray(number, { minLength: slots.length, maxLength: slots.length })
        .map((nodes) => nodes.map((node, i) => ({ node, slot: slots[i]! }))),
      parts: fc.uniqueArray(partsOf(slots.length), {
        maxLength: 4,
        selector: (part) => part.number,
      }),
    }),
  )
  .map((rest) => ({ ...rest, bytes: rest.parts.reduce((all, { bytes }) => all + bytes, 0) }))

function partsOf(members: number): fc.Arbitrary<BlobPart> {
  return plain({
    number: fc.integer({ min: 0, max: 0xffff_ffff }),
    bytes: fc.integer({ min: 1, max: 0xffff_ffff }),
    dataShards: fc.integer({ min: 1, max: 255 }),
    digest: bytesOf(PART_DIGEST_BYTES),
    durable: fc.array(fc.boolean(), { minLength: members, maxLength: members }),
    digests: fc.array(bytesOf(SHARD_DIGEST_BYTES), { minLength: members, maxLength: members }),
  })
}

test('a manifest is read as it was written', () => {
  fc.assert(
    fc.property(manifests, (manifest) => {
      assert.deepEqual(decodeManifest(encodeManifest(manifest)), manifest)
    }),
  )
})

test('bytes that are no manifest are refused, whatever they are', () => {
  const refusesOrReads = (bytes: Uint8Array) => {
    try {
      assert.deepEqual(encodeManifest(decodeManifest(bytes)).length, bytes.length)
    } catch (error) {
      assert.ok(error instanceof DecodeError, String(error))
    }
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), refusesOrReads))
  fc.assert(
    fc.property(manifests, fc.nat(), fc.integer({ min: 1, max: 255 }), (manifest, at, flip) => {
      const bytes = encodeManifest(manifest)
      bytes[at % bytes.length]! ^= flip
      refusesOrReads(bytes)
    }),
  )
})

test('a manifest that is cut short, or has bytes left over, is refused', () => {
  fc.assert(
    fc.property(manifests, fc.nat(), (manifest, at) => {
      const bytes = encodeManifest(manifest)
      assert.throws(() => decodeManifest(bytes.subarray(0, at % bytes.length)), DecodeError)
      assert.throws(() => decodeManifest(Buffer.concat([bytes, Buffer.of(0)])), DecodeError)
    }),
  )
})

const id = { term: 3, proposer: 2, seq: 1 }

test('members are ascending by slot, parts are not empty and are the whole value', () => {
  const shard = Buffer.alloc(SHARD_DIGEST_BYTES)
  const part: BlobPart = {
    number: 0,
    bytes: 5,
    dataShards: 2,
    digest: Buffer.alloc(PART_DIGEST_BYTES),
    durable: [true, true],
    digests: [shard, shard],
  }
  const members = [
    { node: 1, slot: 0 },
    { node: 2, slot: 1 },
  ]
  const right: Manifest = { id, bytes: 5, isStream: false, members, parts: [part] }
  assert.deepEqual(decodeManifest(encodeManifest(right)), right)
  const wrong: Manifest[] = [
    { ...right, members: [...members].reverse() },
    { ...right, members: [members[0]!, members[0]!] },
    { ...right, members: [members[0]!, { node: 2, slot: 255 }] },
    { ...right, bytes: 6 },
    { ...right, bytes: 0, parts: [{ ...part, bytes: 0 }] },
    { ...right, parts: [{ ...part, dataShards: 0 }] },
  ]
  for (const manifest of wrong) {
    assert.throws(() => decodeManifest(encodeManifest(manifest)), DecodeError)
  }
})

test('blobs of another term, proposer or number are others', () => {
  assert.equal(blobName(id), '3-2-1')
  assert.ok(isSameBlob(id, { ...id }))
  for (const other of [{ term: 4 }, { proposer: 1 }, { seq: 2 }]) {
    assert.ok(!isSameBlob(id, { ...id, ...other }))
  }
})

test('the shards of a part hold all of it, and less than one byte each is left over', () => {
  assert.equal(shardBytes({ bytes: 5, dataShards: 2 }), 3)
  assert.equal(shardBytes({ bytes: 6, dataShards: 2 }), 3)
  assert.equal(partBytes(3), 17 + 1 + 48)
  assert.equal(partBytes(9), 17 + 2 + 144)
})

test('a manifest that names a member or a part twice is refused', () => {
  const [one, other] = [manifestOf(), manifestOf({ parts: [{}, {}] })]
  const twice: Manifest[] = [
    { ...one, members: one.members.map((member) => ({ ...member, node: 1 })) },
    { ...other, parts: other.parts.map((part) => ({ ...part, number: 1 })) },
  ]
  for (const manifest of twice) {
    assert.throws(() => decodeManifest(encodeManifest(manifest)), DecodeError)
  }
})

test('the digest of a part is the XXH64 of its data, little-endian', () => {
  assert.equal(partDigest(Buffer.from('abc')).toString('hex'), '990977adf52cbc44')
})

test('the example in docs/formats.md', () => {
  const manifest = manifestOf({ term: 3, seq: 7, members: EXAMPLE_MEMBERS, parts: [{ bytes: 5 }] })
  const parts = manifest.parts.map((part) => ({
    ...part,
    digest: partDigest(Buffer.from('bytes')),
  }))
  const lines = [
    '01 00 0300000000000000 0100000000000000 0700000000000000 0500000000000000 03 01000000',
    '0100000000000000 00  0200000000000000 01  0900000000000000 02',
    '00000000 05000000 02 c4946750baaa832d 07',
    '01010101010101010101010101010101 02020202020202020202020202020202 03030303030303030303030303030303',
  ]
  const bytes = encodeManifest({ ...manifest, parts })
  assert.equal(bytes.toString('hex'), lines.join('').replaceAll(' ', ''))
})
const EXAMPLE_MEMBERS = [1, 2, 9].map((node, slot) => ({ node, slot }))
