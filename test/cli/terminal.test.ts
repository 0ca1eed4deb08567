/** Tables and figures for people. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bytes, count, milliseconds, table } from '../../src/cli/terminal.js'

test('a table sets names to the left and figures to the right', () => {
  const text = table(
    ['name', 'p50'],
    [
      ['put', '0.42 ms'],
      ['get strong', '17.3 ms'],
    ],
  )
  assert.equal(
    text,
    ['name            p50', 'put         0.42 ms', 'get strong  17.3 ms'].join('\n'),
  )
})

test('figures carry their unit and no more digits than they deserve', () => {
  assert.deepEqual(
    [bytes(999), bytes(2048), bytes(20 * 1024 * 1024), count(12345.6), milliseconds(0.4242)],
    ['999 B', '2.0 KiB', '20.0 MiB', '12,346', '0.42 ms'],
  )
  assert.deepEqual([milliseconds(17.34), milliseconds(1203.7)], ['17.3 ms', '1,204 ms'])
})
