import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { StoreError } from '../../src/base/errors.js'
import { decodeAppliedIndex, encodeAppliedIndex } from '../../src/wire/applied-call.js'
import { DecodeError } from '../../src/wire/command.js'
import {
  decodeReadAnswers,
  decodeReadCalls,
  encodeReadAnswers,
  encodeReadCalls,
  type ReadAnswer,
  type ReadCall,
  readAnswerBytes,
  readCallBytes,
} from '../../src/wire/read-call.js'

const bytes = (least: number) =>
  fc.uint8Array({ minLength: least, maxLength: 40 }).map((array) => Buffer.from(array))
const u32 = fc.nat(0xffff_ffff)
const duration = fc.oneof(fc.double({ min: 0, noNaN: true }), fc.constant(Number.POSITIVE_INFINITY))

const call: fc.Arbitrary<ReadCall> = fc.record(
  {
    id: u32,
    level: fc.constantFrom('strong', 'session', 'eventual'),
    onBehind: fc.constantFrom('wait', 'forward', 'fail'),
    minIndex: fc.maxSafeNat(),
    minTerm: fc.maxSafeNat(),
    maxStalenessMs: duration,
    remainingMs: duration,
    keys: fc.array(bytes(1), { maxLength: 5 }),
  },
  { noNullPrototype: true },
)

const value = fc.record(
  {
    value: bytes(0),
    revision: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    isCoded: fc.constant(true as const),
  },
  { noNullPrototype: true, requiredKeys: ['value', 'revision'] },
)
const found: fc.Arbitrary<ReadAnswer> = fc.record(
  {
    id: u32,
    index: fc.maxSafeNat(),
    term: fc.maxSafeNat(),
    servedBy: fc.string({ maxLength: 64 }),
    role: fc.constantFrom('follower', 'preCandidate', 'candidate', 'leader'),
    stalenessMs: fc.option(duration, { nil: undefined }),
    values: fc.array(fc.option(value, { nil: undefined }), { maxLength: 5 }),
  },
  { noNullPrototype: true },
)
const failed: fc.Arbitrary<ReadAnswer> = fc
  .tuple(u32, fc.string(), fc.boolean(), fc.option(fc.nat(10_000), { nil: undefined }))
  .map(([id, message, retryable, retryAfterMs]) => ({
    id,
    error: new StoreError('QUORATE_OVERLOADED', message, { retryable, retryAfterMs }),
  }))
const answer = fc.oneof(found, failed)

/** Errors compare by what they say and not by where they were made. */
function plain(given: ReadAnswer): unknown {
  if (!('error' in given)) return given
  const { code, message, retryable, retryAfterMs } = given.error
  return { id: given.id, code, message, retryable, retryAfterMs }
}

test('calls and answers come out as they went in, many in one body', () => {
  fc.assert(
    fc.property(fc.array(call), fc.array(answer), (calls, answers) => {
      assert.deepEqual(decodeReadCalls(encodeReadCalls(calls)), calls)
      const decoded = decodeReadAnswers(encodeReadAnswers(answers))
      assert.deepEqual(decoded.map(plain), answers.map(plain))
    }),
  )
})

test('the bytes of a body are no more than what was counted', () => {
  fc.assert(
    fc.property(call, answer, (given, answered) => {
      assert.equal(encodeReadCalls([given]).length, readCallBytes(given))
      assert.ok(encodeReadAnswers([answered]).length <= readAnswerBytes(answered))
    }),
  )
})

test('a body that is cut short or made up is a DecodeError or another body, never anything else', () => {
  const decodes = [decodeReadCalls, decodeReadAnswers, decodeAppliedIndex]
  const survives = (body: Buffer) => {
    for (const decode of decodes) {
      try {
        decode(body)
      } catch (error) {
        assert.ok(error instanceof DecodeError, String(error))
      }
    }
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (body) => survives(Buffer.from(body))))
  fc.assert(
    fc.property(call, found, fc.nat(), fc.nat(255), (given, answered, where, byte) => {
      for (const body of [encodeReadCalls([given]), encodeReadAnswers([answered])]) {
        survives(body.subarray(0, where % body.length))
        body[where % body.length] = byte
        survives(body)
      }
    }),
  )
})

test('a count of keys or values that the body cannot hold is refused before anything is allocated', () => {
  const body = encodeReadCalls([
    {
      id: 1,
      level: 'session',
      onBehind: 'wait',
      minIndex: 1,
      minTerm: 1,
      maxStalenessMs: 1,
      remainingMs: 1,
      keys: [],
    },
  ])
  body.writeUInt32LE(0xffff_ffff, 38)
  assert.throws(() => decodeReadCalls(body), DecodeError)
})

test('the bytes are those of docs/formats.md', () => {
  const example = '0700000001002c010000000000000200000000000000000000000000f07f000000000088a340'
  assert.equal(
    encodeReadCalls([
      {
        id: 7,
        level: 'session',
        onBehind: 'wait',
        minIndex: 300,
        minTerm: 2,
        maxStalenessMs: Number.POSITIVE_INFINITY,
        remainingMs: 2500,
        keys: [Buffer.from('k')],
      },
    ]).toString('hex'),
    `${example}01000000010000006b`,
  )
})

test('an applied index comes out as it went in', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), (index) => {
      assert.equal(decodeAppliedIndex(encodeAppliedIndex(index)), index)
    }),
  )
})
