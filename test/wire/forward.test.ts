import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { DecodeError } from '../../src/wire/command.js'
import {
  type Answer,
  type AnswerStatus,
  decodeAnswers,
  decodeSpace,
  encodeAnswers,
  encodeSpace,
} from '../../src/wire/forward.js'

const STATUSES: readonly AnswerStatus[] = [
  'applied',
  'duplicate',
  'gap',
  'expired',
  'stale',
  'refused',
  'appended',
]
const answers: fc.Arbitrary<Answer[]> = fc.array(
  fc.record({
    link: fc.nat(0xffffffff),
    status: fc.constantFrom(...STATUSES),
    seq: fc.maxSafeNat(),
    index: fc.maxSafeNat(),
    term: fc.maxSafeNat(),
    results: fc.oneof(fc.constant(new Uint8Array(0)), fc.uint8Array({ maxLength: 300 })),
  }),
  { maxLength: 6 },
)

test('answers arrive as they were given, and keep nothing of their frame', () => {
  fc.assert(
    fc.property(answers, (given) => {
      const body = Buffer.from(encodeAnswers(given))
      const arrived = decodeAnswers(body)
      body.fill(0xaa)
      assert.deepEqual(
        arrived.map((each) => ({ ...each, results: Uint8Array.from(each.results) })),
        given.map((each) => ({ ...each, results: Uint8Array.from(each.results) })),
      )
    }),
  )
})

test('answers that are cut short or malformed are refused', () => {
  fc.assert(
    fc.property(answers, fc.nat(), (given, at) => {
      const body = Buffer.from(encodeAnswers(given))
      fc.pre(body.length > 0)
      const cut = body.subarray(0, at % body.length)
      try {
        assert.ok(decodeAnswers(cut).length < given.length)
      } catch (error) {
        assert.ok(error instanceof DecodeError, String(error))
      }
    }),
  )
  const one = { link: 1, status: 'applied', seq: 1, index: 1, term: 1 } as const
  const body = Buffer.from(encodeAnswers([{ ...one, results: new Uint8Array(0) }]))
  body[4] = STATUSES.length
  assert.throws(() => decodeAnswers(body), DecodeError)
})

test('what is said about the room on a disk arrives as it was said, and nothing else is taken for it', () => {
  for (const isLow of [false, true]) {
    for (const refuses of [false, true]) {
      assert.deepEqual(decodeSpace(encodeSpace({ isLow, refuses })), { isLow, refuses })
    }
  }
  for (const body of [[], [4], [255], [1, 0]]) {
    assert.throws(() => decodeSpace(Uint8Array.from(body)), DecodeError)
  }
})
