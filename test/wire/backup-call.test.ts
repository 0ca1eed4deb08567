import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { asBackupBegun, asBackupCall, asBackupPiece } from '../../src/wire/backup-call.js'
import { DecodeError } from '../../src/wire/command.js'
import { decodeAnswer, decodeCall, encodeAnswer, encodeCall } from '../../src/wire/envelope.js'

test('calls and answers about backups come out of their envelopes as they went in', () => {
  const firstKey = Buffer.from('key')
  for (const call of [
    { type: 'begin', level: 'strong', timeoutMs: 5 },
    { type: 'begin', level: 'eventual', timeoutMs: 5 },
    { type: 'piece', id: 1, firstKey, offset: 7 },
    { type: 'end', id: 1 },
  ]) {
    const bytes = Buffer.from(encodeCall({ id: 9, method: 'backup', params: call }))
    assert.deepEqual(asBackupCall(decodeCall(bytes).params), call)
  }
  const overTheWire = (ok: unknown): unknown => {
    const { result } = decodeAnswer(Buffer.from(encodeAnswer(9, { ok })))
    return 'ok' in result ? result.ok : undefined
  }
  const begun = { id: 1, manifestBytes: 100 }
  assert.deepEqual(asBackupBegun(overTheWire(begun)), begun)
  const piece = { wholeBytes: 10, bytes: Buffer.from('piece') }
  assert.deepEqual(asBackupPiece(overTheWire(piece)), piece)
})

test('anything else is a DecodeError', () => {
  const malformed = [
    undefined,
    { type: 'begin', level: 'session', timeoutMs: 5 },
    { type: 'begin', level: 'strong', timeoutMs: -1 },
    { type: 'piece', id: 1, firstKey: 'text', offset: 0 },
    { type: 'piece', id: 1.5, firstKey: Buffer.of(), offset: 0 },
    { type: 'end' },
  ]
  for (const params of malformed) assert.throws(() => asBackupCall(params), DecodeError)
  assert.throws(() => asBackupPiece({ wholeBytes: 1, bytes: Buffer.of() }), DecodeError)
  fc.assert(
    fc.property(fc.anything(), (value) => {
      for (const read of [asBackupCall, asBackupBegun, asBackupPiece]) {
        try {
          read(value)
        } catch (error) {
          assert.ok(error instanceof DecodeError)
        }
      }
    }),
  )
})
