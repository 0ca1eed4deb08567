import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  checkWatches,
  type GivenChange,
  type WatchedItem,
  type WatchedRange,
} from '../../../src/sim/checkers/watches.js'
import { log } from './script.js'

const LOG = log(`
  1 c/1: k=v1
  2 c/2: k=v2; l=v3
  2 d/1: k=v4
  3 -
  4 c/3: m=v5
  5 c/4: l=-
  6 -
`)

/**
 * `2: k=v2 l=v3` changes, `k=?` a put that is gone, `@4` progress, `[2: k=v1` a piece of the state, `2: k=v1]` its last
 * one, `!3` a reset.
 */
function items(text: string): WatchedItem[] {
  return text.split(',').map((word): WatchedItem => {
    const [, before, index, words = '', after] = /^([@![]?)(\d+)(?:: ?([^\]]*))?(\]?)$/.exec(
      word.trim(),
    )!
    const at = Number(index)
    if (before === '@') return { type: 'progress', index: at }
    if (before === '!') return { type: 'reset', index: at }
    const pairs = words
      .split(' ')
      .filter((one) => one !== '')
      .map((one) => one.split('=') as [string, string])
    if (before === '[' || after === ']') {
      return { type: 'state', index: at, entries: pairs, isLast: after === ']' }
    }
    const changes = pairs.map(
      ([key, value]): GivenChange =>
        value === '-' || value === '?'
          ? { type: value === '-' ? 'del' : 'gone', key }
          : { type: 'put', key, value },
    )
    return { type: 'changes', index: at, changes }
  })
}

function verdict(after: number | undefined, text: string, range: WatchedRange = {}): string {
  const result = checkWatches([{ range, after, items: items(text) }], LOG)
  return result.verdict === 'violation' ? result.rule : result.verdict
}

test('a watch may give the log from anywhere to anywhere, in its range', () => {
  assert.equal(verdict(0, '1: k=v1, 2: k=v2 l=v3 k=v4, 4: m=v5, 5: l=-, @6'), 'ok')
  assert.equal(verdict(2, '@3, 4: m=v5'), 'ok')
  assert.equal(verdict(undefined, '[2: k=v4, 2: l=v3], 4: m=v5'), 'ok')
  assert.equal(verdict(0, '2: l=v3, @4, 5: l=-', { gte: 'l', lt: 'm' }), 'ok')
  assert.equal(verdict(0, '1: k=v1, !1, 5: k=v4 m=v5], @6'), 'ok')
  assert.equal(verdict(undefined, '0:], 1: k=v1'), 'ok')
})

test('a put may be given without its value once another change has replaced it', () => {
  assert.equal(verdict(0, '1: k=?, 2: k=? l=v3 k=v4, 4: m=v5'), 'ok')
  assert.equal(verdict(1, '2: k=v2 l=? k=v4'), 'ok')
})

const FAULTS: readonly [
  rule: string,
  after: number | undefined,
  text: string,
  range?: WatchedRange,
][] = [
  ['order', 0, '1: k=v1, 1: k=v1'],
  ['order', 0, '1: k=v1, 2: k=v2 l=v3 k=v4, 1: k=v1'],
  ['order', 1, '1: k=v1'],
  ['order', 4, '@3'],
  ['gap', 0, '2: k=v2 l=v3 k=v4'],
  ['gap', 0, '@6'],
  ['gap', 1, '@2'],
  ['gap', 0, '5: l=-', { gte: 'l', lt: 'm' }],
  ['cut', 1, '2: k=v2 l=v3'],
  ['cut', 1, '2: l=v3 k=v2 k=v4'],
  ['cut', 0, '2: l=v3 k=v4', { gte: 'l' }],
  ['cut', 2, '3: k=v4'],
  ['cut', 2, '4: m=?'],
  ['cut', 1, '2: k=v2 l=v3 k=?'],
  ['cut', 4, '5: l=?'],
  ['state', undefined, '2: k=v2 l=v3]'],
  ['state', undefined, '2: k=v4]'],
  ['order', undefined, '[1: k=v1, 2: l=v3]'],
  ['order', undefined, '2: k=v4 l=v3], 2: k=v2 l=v3 k=v4'],
  ['order', 0, '1: k=v1, 2: k=v2 l=v3 k=v4, !2, 1: k=v1]'],
  ['order', 0, '1: k=v1, 2: k=v4 l=v3]'],
  ['unfinished', undefined, '[2: k=v4, 4: m=v5'],
  ['unfinished', 1, '!1, 2: k=v2 l=v3 k=v4'],
  ['uncommitted', 6, '@7'],
]

for (const [rule, after, text, range] of FAULTS) {
  test(`${rule}: after ${after}, ${text}`, () => {
    assert.equal(verdict(after, text, range), rule)
  })
}
