import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  decodeKey,
  decodeValue,
  encodeKey,
  encodeValue,
  type ValueEncoding,
} from '../../src/store/encoding.js'

const MAX = 1 << 20

function roundTrip(value: unknown, encoding: ValueEncoding): unknown {
  return decodeValue(Buffer.from(encodeValue(value, encoding, MAX)), encoding)
}

test('msgpack keeps what JSON keeps, and Map, Set, Date, BigInt and bytes besides', () => {
  fc.assert(
    // A key named __proto__ is left out on purpose by msgpackr: decoding it would reach the prototype.
    fc.property(fc.jsonValue(), (value) => {
      const text = JSON.stringify(value)
      fc.pre(!text.includes('__proto__'))
      // What JSON keeps: a negative zero is none.
      assert.deepEqual(roundTrip(value, 'msgpack'), JSON.parse(text))
    }),
  )
  const rich = {
    m: new Map([[1, 'a']]),
    s: new Set([1, 2]),
    d: new Date(5),
    b: 12345678901234567890n,
  }
  assert.deepEqual(roundTrip(rich, 'msgpack'), rich)
  assert.deepEqual(roundTrip(Buffer.from('bytes'), 'msgpack'), Buffer.from('bytes'))
})

test('json, utf8 and binary give back what went in', () => {
  assert.deepEqual(roundTrip({ a: [1, null, 'x'] }, 'json'), { a: [1, null, 'x'] })
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      assert.equal(roundTrip(text, 'utf8'), text)
    }),
  )
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      assert.deepEqual(new Uint8Array(roundTrip(bytes, 'binary') as Buffer), bytes)
    }),
  )
})

test('values that an encoding has no form for are a TypeError at the call', () => {
  assert.throws(() => encodeValue(undefined, 'msgpack', MAX), TypeError)
  assert.throws(() => encodeValue(() => 1, 'msgpack', MAX), TypeError)
  assert.throws(() => encodeValue(Symbol('x'), 'json', MAX), TypeError)
  assert.throws(() => encodeValue(1, 'utf8', MAX), TypeError)
  assert.throws(() => encodeValue('text', 'binary', MAX), TypeError)
})

test('a value over the limit is a RangeError that names both sizes', () => {
  assert.throws(() => encodeValue('12345', 'utf8', 4), /at most 4 bytes, not 5/)
  assert.equal(encodeValue('1234', 'utf8', 4).length, 4)
})

test('keys are 1 to 65,536 bytes of text or bytes, counted in UTF-8', () => {
  assert.throws(() => encodeKey(''), RangeError)
  assert.throws(() => encodeKey(new Uint8Array(65_537)), RangeError)
  assert.throws(() => encodeKey('ä'.repeat(32_769)), RangeError)
  assert.equal(encodeKey('ä'.repeat(32_768)).length, 65_536)
  assert.throws(() => encodeKey(5 as unknown as string), TypeError)
  assert.equal(decodeKey(encodeKey('schlüssel'), 'utf8'), 'schlüssel')
})
