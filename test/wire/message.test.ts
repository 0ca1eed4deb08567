import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { InvariantError } from '../../src/base/assert.js'
import type { Entry, Message, ProposedEntry } from '../../src/raft/types.js'
import { DecodeError } from '../../src/wire/command.js'
import { decodeMessage, encodeMessage } from '../../src/wire/message.js'

/** Records as object literals make them, which is what decoders return. */
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(model, { noNullPrototype: true })

const MAX = Number.MAX_SAFE_INTEGER
const LARGE = 4_096

const number = fc.oneof(fc.constantFrom(0, 1, 2 ** 32 - 1, 2 ** 32, MAX), fc.maxSafeNat())
const positive = number.map((n) => Math.max(n, 1))
const data = fc.oneof(
  { weight: 5, arbitrary: fc.uint8Array({ maxLength: 40 }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(LARGE - 1, LARGE, LARGE + 1).map((n) => Buffer.alloc(n, n)),
  },
)
const proposed: fc.Arbitrary<ProposedEntry> = record({
  kind: fc.constantFrom('normal', 'confChange', 'confChangeV2'),
  data,
})
const head = { from: positive, to: positive, term: positive }
const maybeLocal = { ...head, term: number }
const nodes = fc.array(positive, { maxLength: 5 })
const conf = record({
  voters: nodes,
  votersOutgoing: nodes,
  learners: nodes,
  learnersNext: nodes,
  autoLeave: fc.boolean(),
})

/** An append as a leader sends it: contiguous, terms never falling and none beyond the message's. */
const append: fc.Arbitrary<Message> = fc
  .record({
    from: positive,
    to: positive,
    prevIndex: fc.oneof(fc.constantFrom(0, 2 ** 32 - 1, MAX - 20), fc.nat()),
    terms: fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 2, maxLength: 12 }),
    bodies: fc.array(proposed, { maxLength: 10 }),
    commit: number,
    session: number,
  })
  .map(({ prevIndex, terms, bodies, ...rest }) => {
    let term = 1
    const rising = [...bodies, undefined].map((_, i) => {
      term += terms[i % terms.length]!
      return term
    })
    const entries: Entry[] = bodies.map((body, i) => ({
      ...body,
      index: prevIndex + 1 + i,
      term: rising[i]!,
    }))
    return { type: 'append', ...rest, prevIndex, prevTerm: 1, entries, term: rising.at(-1)! }
  })

const message: fc.Arbitrary<Message> = fc.oneof(
  { weight: 4, arbitrary: append },
  record({
    type: fc.constantFrom('vote', 'preVote'),
    ...head,
    lastIndex: number,
    lastTerm: number,
    transfer: fc.boolean(),
  }),
  record({
    type: fc.constantFrom('voteResponse', 'preVoteResponse'),
    ...head,
    reject: fc.boolean(),
  }),
  record({
    type: fc.constant('appendResponse'),
    ...head,
    index: number,
    reject: fc.boolean(),
    hintIndex: number,
    hintTerm: number,
    session: number,
  }),
  record({ type: fc.constant('heartbeat'), ...head, commit: number, context: number }),
  record({ type: fc.constant('heartbeatResponse'), ...head, context: number }),
  record({
    type: fc.constant('snapshot'),
    ...head,
    snapshot: record({ index: positive, term: positive, conf }),
    session: number,
  }),
  record({ type: fc.constant('timeoutNow'), ...head }),
  record({ type: fc.constantFrom('transferLeader', 'forgetLeader'), ...maybeLocal }),
  record({
    type: fc.constant('propose'),
    ...maybeLocal,
    entries: fc.array(proposed, { minLength: 1, maxLength: 5 }),
  }),
  record({ type: fc.constant('readIndex'), ...maybeLocal, context: number }),
  record({
    type: fc.constant('readIndexResponse'),
    ...maybeLocal,
    index: number,
    context: number,
  }),
)

const bytesOf = (message: Message): Buffer => Buffer.concat(encodeMessage(message))

/** Entry data is compared as bytes, whatever class holds it. */
const plain = (message: Message): unknown =>
  'entries' in message
    ? { ...message, entries: message.entries.map((e) => ({ ...e, data: Buffer.from(e.data) })) }
    : message

const appendOf = (terms: string, term: number): Message & { type: 'append' } => ({
  type: 'append',
  from: 1,
  to: 2,
  term,
  prevIndex: 7,
  prevTerm: 3,
  entries: terms.split(' ').map((t, i) => ({
    term: Number(t),
    index: 8 + i,
    kind: 'normal',
    data: Buffer.from('x'),
  })),
  commit: 5,
  session: 9,
})

test('a message read back is the message that was written', () => {
  fc.assert(
    fc.property(message, (written) => {
      assert.deepEqual(plain(decodeMessage(bytesOf(written))), plain(written))
    }),
    { numRuns: 500 },
  )
})

test('bytes changed, cut or added anywhere give a message or a DecodeError, never anything else (T-70)', () => {
  const damage = record({
    cut: fc.option(fc.nat(120)),
    flips: fc.array(fc.tuple(fc.nat(200), fc.nat(255)), { maxLength: 4 }),
    tail: fc.uint8Array({ maxLength: 3 }),
  })
  fc.assert(
    fc.property(message, damage, (written, { cut, flips, tail }) => {
      const body = Buffer.concat([bytesOf(written).subarray(0, cut ?? undefined), tail])
      for (const [at, value] of flips) if (at < body.length) body[at] = value
      try {
        const read = decodeMessage(body)
        assert.deepEqual(bytesOf(read), body, 'what was let through is not what was read')
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error
      }
    }),
    { numRuns: 2_000 },
  )
})

test('random bytes give a DecodeError or a message that is written as the same bytes', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 16 }), fc.uint8Array({ maxLength: 80 }), (type, rest) => {
      const body = Buffer.from([type, 0, ...rest])
      try {
        assert.deepEqual(bytesOf(decodeMessage(body)), body)
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error
      }
    }),
    { numRuns: 2_000 },
  )
})

test('entry data views the bytes it came in', () => {
  const body = bytesOf(appendOf('3 4', 4))
  const read = decodeMessage(body)
  assert(read.type === 'append')
  for (const entry of read.entries) assert.equal(entry.data.buffer, body.buffer)
})

test('large entry data travels as a part of its own, small data is packed', () => {
  const large = Buffer.alloc(LARGE)
  const message = appendOf('3 3 3', 3)
  const entries = message.entries.map((e, i) => (i === 1 ? { ...e, data: large } : e))
  const parts = encodeMessage({ ...message, entries })
  assert.equal(parts.length, 3)
  assert.equal(parts[1], large)
})

test('entries that are not contiguous cannot be written', () => {
  const message = appendOf('3 3', 3)
  const entries = message.entries.map((entry) => ({ ...entry, index: 8 }))
  assert.throws(() => encodeMessage({ ...message, entries }), InvariantError)
})

const refused = (body: Buffer, why: RegExp): void => {
  assert.throws(
    () => decodeMessage(body),
    (error) => error instanceof DecodeError && why.test(error.message),
  )
}

test('entries whose terms fall, or exceed the term of their message, are refused (T-70)', () => {
  refused(bytesOf(appendOf('4 3', 4)), /terms of entries fall/)
  refused(bytesOf(appendOf('2', 4)), /terms of entries fall/)
  refused(bytesOf(appendOf('3 5', 4)), /later term than its message/)
})

test('a number beyond the safe integers is refused (T-70: term 2^53)', () => {
  const body = bytesOf({ type: 'timeoutNow', from: 1, to: 2, term: MAX })
  decodeMessage(body)
  body.writeUInt16LE(0x20, 24)
  refused(body, /safe integers/)
  const append = bytesOf({ ...appendOf('3 3', 3), prevIndex: MAX - 2, entries: [] })
  refused(
    Buffer.concat([append.subarray(0, 58), bytesOf(appendOf('3 3 3', 3)).subarray(58)]),
    /index/,
  )
})

test('a message that belongs to a term is refused without one: term 0 marks local messages (T-70)', () => {
  const body = bytesOf({ type: 'heartbeat', from: 1, to: 2, term: 1, commit: 0, context: 0 })
  body[18] = 0
  refused(body, /without a term/)
})

test('a count beyond the bytes that follow is refused before anything is allocated (T-70)', () => {
  const body = bytesOf(appendOf('3', 3))
  body.writeUInt32LE(0xffff_ffff, 58)
  refused(body, /count beyond the end/)
})

test('an unknown type, kind of entry or flag is refused, never guessed', () => {
  const vote = bytesOf({
    type: 'vote',
    from: 1,
    to: 2,
    term: 1,
    lastIndex: 1,
    lastTerm: 1,
    transfer: false,
  })
  for (const type of [0, 16, 255]) refused(Buffer.from([type, ...vote.subarray(1)]), /type/)
  for (const flags of [2, 3, 255]) refused(Buffer.from([1, flags, ...vote.subarray(2)]), /flags/)
  const append = bytesOf(appendOf('3', 3))
  append[70] = 3
  refused(append, /unknown kind of entry/)
})

test('a proposal without entries is refused', () => {
  refused(
    bytesOf({ type: 'propose', from: 1, to: 2, term: 0, entries: [] }),
    /proposal without entries/,
  )
})
