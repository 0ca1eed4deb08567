import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { DecodeError } from '../../src/wire/command.js'
import {
  areBlocks,
  blockPlace,
  openPiece,
  openProof,
  openShard,
  SHARD_BODY_BYTES_MAX,
  SHARD_BYTES_MAX,
  type Shard,
  type ShardHead,
  type ShardPiece,
  sealShard,
  shardLayout,
} from '../../src/wire/shard.js'

const HEAD: ShardHead = {
  clusterId: Buffer.from('cluster!'),
  id: { term: 3, proposer: 7, seq: 2 ** 52 + 1 },
  part: 5,
  index: 1,
  dataShards: 2,
  partBytes: 2_700,
  unit: 512,
  key: Buffer.from('key'),
}

/** A body that fits `head`, drawn from `salt`. */
function bodyOf(head: ShardHead, salt: number): Buffer {
  const body = Buffer.alloc(shardLayout(head).bodyBytes)
  for (let i = 0; i < body.length; i++) body[i] = (i * 167 + salt * 31 + (i >> 8)) & 0xff
  return body
}

function bytesOf({ parts }: Shard): Buffer {
  return Buffer.concat(parts)
}

/** The blocks `[from, to)` of a shard as a reader gets them. */
function pieceOf(shard: Shard, from: number, to: number): ShardPiece {
  const all = bytesOf(shard)
  const { start, end } = blockPlace(shard.layout, shard.head.unit, from, to)
  const blocks = Buffer.from(all.subarray(start, end))
  return { head: shard.parts[0], footer: shard.parts[2], firstBlock: from, blocks }
}

function isRefused(open: () => unknown): boolean {
  try {
    open()
    return false
  } catch (error) {
    if (error instanceof DecodeError) return true
    throw error
  }
}

const safe = fc.maxSafeNat()
const head: fc.Arbitrary<ShardHead> = fc
  .record({
    clusterId: fc.uint8Array({ minLength: 8, maxLength: 8 }),
    id: fc.record({ term: safe, proposer: safe, seq: safe }, { noNullPrototype: true }),
    part: fc.nat(0xffff_ffff),
    index: fc.nat(254),
    dataShards: fc.integer({ min: 1, max: 255 }),
    bodyBytes: fc.oneof(fc.integer({ min: 1, max: 5_000 }), fc.constantFrom(512, 1_024, 65_537)),
    unit: fc.constantFrom(512, 1_024, 65_536),
    key: fc.uint8Array({ minLength: 1, maxLength: 40 }),
  })
  .map(({ bodyBytes, ...rest }) => ({ ...rest, partBytes: bodyBytes * rest.dataShards }))

test('what was sealed opens as it was, whole and in every range of blocks', () => {
  const property = fc.property(head, fc.nat(), fc.nat(), (any, a, b) => {
    const shard = sealShard(any, bodyOf(any, 1))
    const { head: found, digest, body, layout } = openShard(bytesOf(shard))
    const plain = { ...found, clusterId: [...found.clusterId], key: [...found.key] }
    assert.deepEqual(plain, { ...any, clusterId: [...any.clusterId], key: [...any.key] })
    assert.ok(digest.equals(shard.digest) && body.equals(shard.body))
    const [from, to] = [a % layout.blocks, 1 + (b % layout.blocks)]
    if (from >= to) return
    const proof = openPiece(pieceOf(shard, from, to))
    assert.ok(proof.digest.equals(shard.digest))
  })
  fc.assert(property, { numRuns: 150 })
})

test('I5: every flipped bit, every missing byte and every byte more is seen', () => {
  const all = bytesOf(sealShard(HEAD, bodyOf(HEAD, 1)))
  for (let bit = 0; bit < 8 * all.length; bit++) {
    all[bit >> 3]! ^= 1 << (bit & 7)
    assert.ok(
      isRefused(() => openShard(all)),
      `bit ${bit}`,
    )
    all[bit >> 3]! ^= 1 << (bit & 7)
  }
  for (let bytes = 0; bytes < all.length; bytes++) {
    assert.ok(
      isRefused(() => openShard(all.subarray(0, bytes))),
      `${bytes} bytes`,
    )
  }
  assert.ok(isRefused(() => openShard(Buffer.concat([all, Buffer.alloc(1)]))))
  openShard(all)
})

test('I5: in a piece every flipped bit of head, footer and blocks is seen', () => {
  const piece = pieceOf(sealShard(HEAD, bodyOf(HEAD, 1)), 1, 3)
  for (const bytes of [piece.head, piece.footer, piece.blocks]) {
    for (let bit = 0; bit < 8 * bytes.length; bit++) {
      bytes[bit >> 3]! ^= 1 << (bit & 7)
      assert.ok(
        isRefused(() => openPiece(piece)),
        `bit ${bit}`,
      )
      bytes[bit >> 3]! ^= 1 << (bit & 7)
    }
  }
  openPiece(piece)
})

/** Shards whose bodies have the length of HEAD's, and that differ from it in one thing. */
const OTHERS: readonly (readonly [what: string, head: ShardHead])[] = [
  ['cluster', { ...HEAD, clusterId: Buffer.from('cluster?') }],
  ['term', { ...HEAD, id: { ...HEAD.id, term: 4 } }],
  ['proposer', { ...HEAD, id: { ...HEAD.id, proposer: 8 } }],
  ['attempt', { ...HEAD, id: { ...HEAD.id, seq: HEAD.id.seq - 1 } }],
  ['part', { ...HEAD, part: 6 }],
  ['index', { ...HEAD, index: 2 }],
  ['code', { ...HEAD, dataShards: 3, partBytes: 4_050 }],
  ['length', { ...HEAD, partBytes: 2_699 }],
  ['key', { ...HEAD, key: Buffer.from('kez') }],
]

for (const [what, other] of OTHERS) {
  test(`I5: with the same body, a shard of another ${what} never passes for this one`, () => {
    const mine = sealShard(HEAD, bodyOf(HEAD, 1))
    const theirs = sealShard(other, bodyOf(HEAD, 1))
    assert.equal(theirs.layout.blocks, mine.layout.blocks)
    assert.ok(!theirs.digest.equals(mine.digest))
    for (let block = 0; block < mine.layout.blocks; block++) {
      const { blocks } = pieceOf(theirs, block, block + 1)
      assert.ok(areBlocks(theirs, block, blocks))
      // The blocks are the same bytes: only the sums tell them apart.
      assert.notEqual(
        theirs.sums.readBigUInt64LE(8 * block),
        mine.sums.readBigUInt64LE(8 * block),
        `block ${block}`,
      )
    }
    const [myHead, myBody, myFooter] = mine.parts
    const [theirHead, , theirFooter] = theirs.parts
    assert.ok(isRefused(() => openShard(Buffer.concat([theirHead, myBody, myFooter]))))
    assert.ok(isRefused(() => openShard(Buffer.concat([myHead, myBody, theirFooter]))))
    assert.ok(isRefused(() => openProof(myHead, theirFooter)))
  })
}

test('I5: a block passes at its own place only', () => {
  const shard = sealShard(HEAD, bodyOf(HEAD, 1))
  for (let from = 0; from < shard.layout.blocks; from++) {
    const { blocks } = pieceOf(shard, from, from + 1)
    for (let at = -1; at <= shard.layout.blocks; at++) {
      assert.equal(areBlocks(shard, at, blocks), at === from, `${from} at ${at}`)
    }
  }
  const { blocks } = pieceOf(shard, 0, 2)
  assert.ok(!areBlocks(shard, 0, blocks.subarray(0, 600)), 'a block that is cut short')
  assert.ok(!areBlocks(shard, 0, Buffer.alloc(0)), 'no block')
  const even = sealShard(HEAD, Buffer.alloc(shardLayout(HEAD).bodyBytes, 1))
  assert.notEqual(even.sums.readBigUInt64LE(0), even.sums.readBigUInt64LE(8), 'equal blocks')
})

test('lengths are bounded before anything is read by them', () => {
  const wrong: readonly Partial<ShardHead>[] = [
    { unit: 500 },
    { unit: 256 },
    { unit: 2 ** 21 },
    { index: 255 },
    { index: -1 },
    { dataShards: 0 },
    { dataShards: 256 },
    { partBytes: 0 },
    { partBytes: SHARD_BODY_BYTES_MAX + 1, dataShards: 1 },
    { part: 2 ** 32 },
    { part: 0.5 },
    { key: Buffer.alloc(0) },
    { key: Buffer.alloc(65_537) },
    { clusterId: Buffer.alloc(7) },
  ]
  for (const change of wrong) {
    const any = { ...HEAD, ...change }
    assert.throws(() => sealShard(any, bodyOf(HEAD, 1)), RangeError, JSON.stringify(change))
  }
  assert.throws(() => sealShard(HEAD, bodyOf(HEAD, 1).subarray(1)), RangeError)
  const largest = { ...HEAD, dataShards: 1, partBytes: SHARD_BODY_BYTES_MAX }
  assert.ok(shardLayout({ ...largest, key: { length: 65_536 } }).bytes <= SHARD_BYTES_MAX)
})

test('a version or codec that this one does not know is refused', () => {
  const all = bytesOf(sealShard(HEAD, bodyOf(HEAD, 1)))
  for (const [at, words] of [
    [4, /unknown version 2/],
    [5, /unknown codec 2/],
  ] as const) {
    const newer = Buffer.from(all)
    newer[at] = 2
    assert.throws(() => openShard(newer), words)
  }
})

test('the bytes of a shard are those of docs/formats.md', () => {
  const tiny = { ...HEAD, id: { term: 3, proposer: 7, seq: 9 }, dataShards: 1, partBytes: 4 }
  assert.equal(
    bytesOf(sealShard(tiny, Buffer.from('body'))).toString('hex'),
    [
      '515348440101010100020000050000000400000003000000',
      '636c757374657221',
      '030000000000000007000000000000000900000000000000',
      '897eb522baa507af',
      '6b6579626f6479',
      'dbbd0dcdbb839538',
      '1b6c26d49c9c87d114851ca3d45cf046',
      '6f00000000000000',
      '0100000051534845',
    ].join(''),
  )
})
