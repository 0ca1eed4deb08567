import assert from 'node:assert/strict'
import { test } from 'node:test'
import { positionInToken } from '../../../src/sim/checkers/token-position.js'
import { Tokens } from '../../../src/store/token.js'

test('the position in a token is the one for which it was made', () => {
  const tokens = new Tokens(Buffer.alloc(8, 0xff), undefined)
  for (const index of [0, 1, 127, 128, 300_000, 2 ** 40]) {
    const position = { index, term: 1000 }
    assert.deepEqual(positionInToken(tokens.encode(position)), position)
  }
})
