import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DecodeError } from '../../src/wire/command.js'
import { decodeSpace, encodeSpace } from '../../src/wire/forward.js'

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
