/** The frames between a client and a member. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { StoreError } from '../../src/base/errors.js'
import { ByteReader, ByteWriter } from '../../src/wire/byte-stream.js'
import {
  type Ask,
  type AskedDemand,
  decodeAsks,
  decodeReset,
  encodeReset,
  writeAsk,
} from '../../src/wire/client-ask.js'
import { type ClientNews, decodeNews, encodeNews } from '../../src/wire/client-news.js'
import { decodeReplies, type Reply, writeReply } from '../../src/wire/client-reply.js'
import { DecodeError } from '../../src/wire/command.js'
import { encodeCall } from '../../src/wire/envelope.js'

const bytes = (minLength: number) =>
  fc.uint8Array({ minLength, maxLength: 40 }).map((array) => Buffer.from(array))
const key = bytes(1)
const u32 = fc.nat({ max: 0xffff_ffff })
const index = fc.maxSafeNat()
const ms = fc.oneof(fc.nat().map(Number), fc.constant(Number.POSITIVE_INFINITY))
const range = fc
  .tuple(fc.constantFrom('gt', 'gte', undefined), fc.constantFrom('lt', 'lte', undefined), key, key)
  .map(([lower, upper, from, to]) => ({
    ...(lower !== undefined && { [lower]: from }),
    ...(upper !== undefined && { [upper]: to }),
  }))
const demand: fc.Arbitrary<AskedDemand> = fc.record({
  level: fc.constantFrom('strong', 'session', 'eventual'),
  onBehind: fc.constantFrom('wait', 'forward', 'fail'),
  minIndex: index,
  minTerm: index,
  maxStalenessMs: ms,
  remainingMs: ms,
})
const type = <T extends string>(name: T) => fc.constant(name)
const ask: fc.Arbitrary<Ask> = fc.oneof(
  fc.record({ type: type('view'), cut: fc.constantFrom('newest', 'exact'), demand }),
  fc.record({ type: type('values'), view: u32, keys: fc.array(key, { maxLength: 5 }) }),
  fc.record({ type: type('cursor'), view: u32, range, reverse: fc.boolean() }),
  fc.record({ type: type('entries'), cursor: u32, maxEntries: u32, maxBytes: u32 }),
  fc.record({ type: type('watch'), after: index, afterTerm: index, range }),
  fc.record({ type: type('changes'), watch: u32, maxBytes: u32 }),
  fc.record({
    type: type('applied'),
    index,
    where: fc.oneof(fc.constantFrom('here', 'all'), fc.record({ members: u32 })),
    remainingMs: ms,
  }),
  fc.record({ type: type('end'), id: u32 }),
  fc.record({ type: type('probe') }),
  fc.record({ type: type('blobOpen'), isStream: fc.boolean(), key, remainingMs: ms }),
  fc.record({ type: type('blobWrite'), upload: u32, bytes: bytes(0) }),
  fc.record({ type: fc.constantFrom('blobFinish', 'blobDrop'), upload: u32 }),
  fc.record({
    type: type('blobFetch'),
    key,
    manifest: bytes(0),
    start: index,
    end: index,
    remainingMs: ms,
  }),
) as fc.Arbitrary<Ask>

const stored = fc.record(
  { revision: index.map((n) => n || 1), value: bytes(0), isCoded: fc.constant(true as const) },
  { requiredKeys: ['revision', 'value'] },
)
const change = fc.oneof(
  fc.record(
    { type: type('put'), key, value: bytes(0), isCoded: fc.constant(true as const) },
    { requiredKeys: ['type', 'key', 'value'] },
  ),
  fc.record({ type: type('del'), key, value: fc.constant(undefined) }),
)
const reply: fc.Arbitrary<Reply> = fc.oneof(
  fc.record({
    type: type('view'),
    served: fc.record({
      index,
      term: index,
      role: fc.constantFrom('follower', 'leader'),
      stalenessMs: fc.option(fc.nat(), { nil: undefined }),
      servedBy: fc.string({ maxLength: 20 }),
    }),
  }),
  fc.record({
    type: type('values'),
    values: fc.array(fc.option(stored, { nil: undefined }), { maxLength: 5 }),
  }),
  fc.record({ type: type('entries'), entries: fc.array(fc.tuple(key, stored), { maxLength: 5 }) }),
  fc.record({
    type: type('changes'),
    through: fc.record({ index, term: index }),
    entries: fc.array(
      fc.record({ index, term: index, changes: fc.array(change, { maxLength: 3 }) }),
      { maxLength: 3 },
    ),
  }),
  fc.record({ type: type('done') }),
  fc.record({ type: type('bytes'), bytes: bytes(0) }),
) as fc.Arbitrary<Reply>

function body<T>(items: readonly { id: number; item: T }[], write: Writing<T>): Buffer {
  const writer = new ByteWriter()
  for (const { id, item } of items) write(writer, id, item)
  return writer.take()
}

type Writing<T> = (writer: ByteWriter, id: number, item: T) => void

/** The same data without prototypes: fast-check and the decoders have others. */
const plain = <T>(value: T): T => structuredClone(value)

const NEWS: ClientNews = {
  memberId: 'a',
  role: 'write',
  leader: 'b',
  term: 3,
  isReady: true,
  isServing: false,
  appliedIndex: 17,
  refusal: { code: 'QUORATE_NO_SPACE', message: 'full', outcome: 'none', retryable: false },
  confIndex: 5,
  members: [
    { id: 'a', address: 'a:1', as: 'voter' },
    { id: 'b', address: undefined, as: 'learner' },
  ],
  maxValueBytes: 1,
  maxRequestBytes: 2,
  maxFrameBytes: 3,
  blobThresholdBytes: 4,
}

test('asks and replies come out of their bytes as they went in', () => {
  const asks = fc.array(fc.record({ id: u32, item: ask }), { maxLength: 6 })
  fc.assert(
    fc.property(asks, (items) => {
      const expected = items.map(({ id, item }) => ({ id, ask: item }))
      assert.deepEqual(plain(decodeAsks(body(items, writeAsk))), plain(expected))
    }),
  )
  const replies = fc.array(fc.record({ id: u32, item: reply }), { maxLength: 6 })
  fc.assert(
    fc.property(replies, (items) => {
      const expected = items.map(({ id, item }) => ({ id, reply: item }))
      assert.deepEqual(plain(decodeReplies(body(items, writeReply))), plain(expected))
    }),
  )
})

test('an error keeps its code, outcome, and when to try again', () => {
  const about = { outcome: 'committed', retryable: true, retryAfterMs: 7, oldest: 9 } as const
  const error = new StoreError('QUORATE_COMPACTED', 'gone', about)
  const item: Reply = { type: 'error', error }
  const [decoded] = decodeReplies(body([{ id: 1, item }], writeReply))
  assert.ok(decoded?.reply.type === 'error')
  const { code, message, outcome, retryable, retryAfterMs, oldest } = decoded.reply.error
  assert.deepEqual([code, message], ['QUORATE_COMPACTED', 'gone'])
  assert.deepEqual({ outcome, retryable, retryAfterMs, oldest }, about)
})

test('whatever bytes come, they are decoded or refused with a DecodeError, and bounded', () => {
  const decoders = [decodeAsks, decodeReplies, decodeReset, decodeNews]
  const damaged = fc
    .tuple(ask, reply, fc.nat(), fc.nat({ max: 255 }), fc.boolean())
    .map(([anAsk, aReply, at, byte, isAsk]) => {
      const whole = isAsk
        ? body([{ id: 1, item: anAsk }], writeAsk)
        : body([{ id: 1, item: aReply }], writeReply)
      const bad = Buffer.from(whole)
      bad[at % bad.length] = byte
      return bad.subarray(0, 1 + (at % bad.length))
    })
  fc.assert(
    fc.property(fc.oneof(bytes(0), damaged), (input) => {
      for (const decode of decoders) {
        try {
          decode(input)
        } catch (error) {
          assert.ok(error instanceof DecodeError, String(error))
        }
      }
    }),
    { numRuns: 1_000 },
  )
})

test('a count is checked against what is there before anything is made of it', () => {
  const writer = new ByteWriter()
  writer.u32(0xffff_ffff)
  assert.throws(() => new ByteReader(writer.take()).list(1, () => 0), DecodeError)
})

test('a writer grows, is cut back, and never changes what was taken from it', () => {
  const writer = new ByteWriter()
  writer.bytes(Buffer.alloc(100_000, 1))
  const first = writer.take()
  writer.text('second')
  const { length } = writer
  writer.u64(2 ** 40)
  writer.truncate(length)
  writer.u16(7)
  const reader = new ByteReader(writer.take())
  assert.deepEqual([reader.text(), reader.u16(), reader.left], ['second', 7, 0])
  assert.deepEqual(first.subarray(4), Buffer.alloc(100_000, 1))
})

test('news and resets come out of their bytes as they went in, and nothing else passes for them', () => {
  assert.deepEqual(decodeNews(Buffer.from(encodeNews(NEWS))), NEWS)
  assert.equal(decodeReset(encodeReset(0xffff_fffe)), 0xffff_fffe)
  const broken = [
    { ...NEWS, role: 'king' },
    { ...NEWS, term: -1 },
    { ...NEWS, members: [{ id: 7 }] },
    { ...NEWS, refusal: 'no' },
  ]
  for (const params of broken) {
    const encoded = Buffer.from(encodeCall({ id: 0, method: 'news', params }))
    assert.throws(() => decodeNews(encoded), DecodeError)
  }
})

test('the bytes are those of docs/formats.md', () => {
  const range = { gte: Buffer.from('a'), lt: Buffer.from('b') }
  const asks: { id: number; item: Ask }[] = [
    { id: 7, item: { type: 'cursor', view: 5, range, reverse: false } },
    { id: 8, item: { type: 'entries', cursor: 7, maxEntries: 512, maxBytes: 262_144 } },
  ]
  const documented =
    '07000000 03 05000000 00 06 01000000 61 01000000 62 08000000 04 07000000 00020000 00000400'
  assert.equal(body(asks, writeAsk).toString('hex'), documented.replaceAll(' ', ''))
})
