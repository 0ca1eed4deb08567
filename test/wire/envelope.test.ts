import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Packr } from 'msgpackr'
import { DecodeError } from '../../src/wire/command.js'
import { decodeAnswer, decodeCall, encodeAnswer, encodeCall } from '../../src/wire/envelope.js'

const plain = fc
  .letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom<unknown>(null, undefined, true, false, 0, -1, 1.5, 2 ** 31, 2 ** 40),
      fc.string(),
      fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
      fc.array(tie('value'), { maxLength: 4 }),
      fc.dictionary(fc.string({ maxLength: 5 }), tie('value'), {
        maxKeys: 4,
        noNullPrototype: true,
      }),
    ),
  }))
  .value.filter((value) => !JSON.stringify(value ?? null).includes('__proto__'))

const call = (params: unknown): Buffer => Buffer.from(encodeCall({ id: 1, method: 'm', params }))

test('a call and its answer read back are what was written', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), fc.string(), plain, (id, method, value) => {
      const body = Buffer.from(encodeCall({ id, method, params: value }))
      assert.deepEqual(decodeCall(body), { id, method, params: value })
      const answer = Buffer.from(encodeAnswer(id, { ok: value }))
      assert.deepEqual(decodeAnswer(answer), { id, result: { ok: value } })
    }),
    { numRuns: 500 },
  )
})

test('an error keeps its code, message, outcome and whether to try again', () => {
  const error = {
    code: 'QUORATE_OVERLOADED',
    message: 'full',
    outcome: 'none',
    retryable: true,
  } as const
  assert.deepEqual(decodeAnswer(Buffer.from(encodeAnswer(7, { error }))), {
    id: 7,
    result: { error },
  })
})

test('an error that does not say its outcome is of unknown outcome', () => {
  const body = Buffer.from(encodeAnswer(7, { error: { code: 'X', message: 'y' } }))
  const { result } = decodeAnswer(body)
  assert('error' in result)
  assert.equal(result.error.outcome, 'unknown')
  assert.equal(result.error.retryable, false)
})

test('changed bytes give a call or a DecodeError, never anything else', () => {
  const flips = fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { minLength: 1, maxLength: 4 })
  fc.assert(
    fc.property(plain, flips, (value, changes) => {
      const body = call(value)
      for (const [at, byte] of changes) if (at < body.length) body[at] = byte
      for (const decode of [decodeCall, decodeAnswer]) {
        try {
          decode(body)
        } catch (error) {
          if (!(error instanceof DecodeError)) throw error
        }
      }
    }),
    { numRuns: 3_000 },
  )
})

test('what could make the library build types, code or huge arrays is refused', () => {
  const refused = (body: Uint8Array) => {
    assert.throws(() => decodeCall(Buffer.from(body)), DecodeError)
  }
  refused(new Packr({ useRecords: true }).pack([1, 'm', { a: 1 }]))
  refused(new Packr({ useRecords: false, moreTypes: true }).pack([1, 'm', new Set([1])]))
  refused(new Packr({ useRecords: false }).pack([1, 'm', new Date(0)]))
  refused(Buffer.from([0x93, 0x01, 0xa1, 0x6d, 0xdd, 0xff, 0xff, 0xff, 0xff]))
  refused(Buffer.from([0x93, 0x01, 0xa1, 0x6d, 0xdf, 0xff, 0xff, 0xff, 0xff]))
  refused(Buffer.from([0x93, 0x01, 0xa1, 0x6d, 0xc6, 0xff, 0xff, 0xff, 0xff]))
  refused(Buffer.from([0x93, 0x01, 0xa1, 0x6d, 0x81, 0x90, 0x01]))
})

test('a key __proto__ reaches no prototype', () => {
  const hostile = Buffer.concat([
    Buffer.from([0x93, 0x01, 0xa1, 0x6d, 0x81, 0xa9]),
    Buffer.from('__proto__'),
    Buffer.from([0x81, 0xa1, 0x78, 0x01]),
  ])
  const { params } = decodeCall(hostile)
  assert.equal(Object.getPrototypeOf(params), Object.prototype)
  assert.equal((params as Record<string, unknown>).x, undefined)
})

test('nesting beyond 32 levels is refused', () => {
  const nested = (depth: number) => {
    let value: unknown = 1
    for (let i = 0; i < depth; i++) value = [value]
    return call(value)
  }
  decodeCall(nested(31))
  assert.throws(() => decodeCall(nested(32)), DecodeError)
  assert.throws(() => decodeCall(Buffer.alloc(1_000_000, 0x91)), DecodeError)
})
