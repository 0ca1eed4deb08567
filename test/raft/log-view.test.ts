/** The core's view of its log, its parts, and the window: against lists that are too simple to be wrong. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { InvariantError } from '../../src/base/assert.js'
import { Inflights } from '../../src/raft/inflights.js'
import { LogView } from '../../src/raft/log-view.js'
import { Progress } from '../../src/raft/progress.js'
import { TermIndex } from '../../src/raft/term-index.js'
import type { CoreInit } from '../../src/raft/types.js'
import { conf, entries, termRuns, text } from './harness.js'

/** A log from index 1; everything in it is durable. */
function view(words: string, init: Partial<CoreInit> = {}): LogView {
  const tail = entries(1, words)
  return new LogView(
    {
      hardState: { term: 9, vote: 0, commit: 0 },
      conf: conf(1),
      previous: { term: 0, index: 0 },
      lastIndex: tail.length,
      terms: termRuns(tail),
      tail,
      applied: 0,
      ...init,
    },
    1 << 20,
  )
}

function terms(log: LogView): string {
  const list: (number | undefined)[] = []
  for (let index = log.firstIndex; index <= log.lastIndex; index++) list.push(log.termAt(index))
  return list.join(' ')
}

test('append keeps later entries when an old message arrives late', () => {
  const log = view('1: 1: 1:')
  assert.equal(log.append(0, 0, entries(1, '1: 1:')), 'appended')
  assert.equal(terms(log), '1 1 1')
})

test('append replaces a conflicting suffix from the first entry that differs (§5.3)', () => {
  const log = view('1: 1: 2: 2:')
  assert.equal(log.append(1, 1, entries(2, '1: 3: 3: 3:')), 'appended')
  assert.equal(terms(log), '1 1 3 3 3')
  assert.deepEqual([log.flushedIndex, log.hasUntaken], [2, true])
})

test('append refuses entries whose predecessor it does not have, and those that would undo a commit', () => {
  const log = view('1: 1: 1:')
  assert.equal(log.append(4, 1, []), 'mismatch')
  assert.equal(log.append(3, 2, []), 'mismatch')
  log.commitTo(3)
  assert.equal(log.append(1, 1, entries(2, '2:')), 'conflict')
  assert.equal(terms(log), '1 1 1')
})

test('what is taken for writing is what was not taken before, also after a replacement', () => {
  const log = view('')
  for (const entry of entries(1, '1:a 1:b')) log.push(entry)
  assert.deepEqual(log.takeUntaken().map(text), ['a', 'b'])
  assert.deepEqual(log.takeUntaken(), [])
  log.append(1, 1, entries(2, '2:c 2:d'))
  assert.deepEqual(log.takeUntaken().map(text), ['c', 'd'])
})

test('nothing may be applied that is not both committed and durable', () => {
  const log = view('')
  for (const entry of entries(1, '1:a 1:b 1:c')) log.push(entry)
  log.takeUntaken()
  log.commitTo(3)
  assert.equal(log.applicableIndex, 0)
  log.flushedTo(1, 2)
  assert.equal(log.applicableIndex, 2)
  assert.deepEqual(log.takeApplicable(1 << 20).map(text), ['a', 'b'])
  assert.throws(() => log.applyingTo(3), InvariantError)
})

test('a log that does not hold what was applied is refused', () => {
  assert.throws(() => view('1: 1:', { applied: 3 }), InvariantError)
})

test('T-39 the commit index is never behind what was applied', () => {
  const log = view('1: 1: 1:', { applied: 2 })
  assert.equal(log.commitIndex, 2)
})

test('compacting what is not applied is refused', () => {
  const log = view('1: 1: 1:', { applied: 2 })
  assert.throws(() => log.compactTo(3), InvariantError)
  log.compactTo(2)
  assert.deepEqual(
    [log.firstIndex, log.previous, log.termAt(1)],
    [3, { term: 1, index: 2 }, undefined],
  )
})

test('the index of terms answers like a list of them, through appends, cuts and compaction', () => {
  const step = fc.oneof(
    fc.record({ type: fc.constant('push' as const), n: fc.nat(2) }),
    fc.record({ type: fc.constant('truncate' as const), n: fc.nat(10) }),
    fc.record({ type: fc.constant('compact' as const), n: fc.nat(10) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const index = new TermIndex({ term: 0, index: 0 }, 0, [])
      let previous = { term: 0, index: 0 }
      let list: number[] = []
      const last = () => list.at(-1) ?? previous.term
      for (const { type, n } of steps) {
        if (type === 'push') {
          list.push(last() + n || 1)
          index.push(list.at(-1)!)
        } else if (type === 'truncate') {
          list = list.slice(0, Math.min(n, list.length))
          index.truncateFrom(previous.index + list.length + 1)
        } else if (list.length > 0) {
          const count = 1 + (n % list.length)
          previous = { index: previous.index + count, term: list[count - 1]! }
          list = list.slice(count)
          index.compactTo(previous.index)
        }
        index.checkInvariants()
        compare(index, previous, list)
      }
    }),
    { numRuns: 300 },
  )
})

function compare(
  index: TermIndex,
  previous: { readonly term: number; readonly index: number },
  list: readonly number[],
): void {
  const all = [previous.term, ...list]
  const lastIndex = previous.index + list.length
  assert.deepEqual([index.lastIndex, index.lastTerm], [lastIndex, all.at(-1)])
  for (let at = previous.index; at <= lastIndex; at++) {
    assert.equal(index.termAt(at), all[at - previous.index])
    for (const term of [0, 1, 3]) {
      let expected = at
      while (expected >= previous.index && all[expected - previous.index]! > term) expected--
      assert.equal(index.lastIndexAtMost(at, term), Math.max(expected, 0), `${at} ${term}`)
    }
  }
  assert.equal(index.termAt(lastIndex + 1), undefined)
  assert.equal(index.termAt(previous.index - 1), undefined)
}

test('a window counts like a list of messages', () => {
  const step = fc.tuple(fc.boolean(), fc.nat(40))
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 200 }),
      fc.integer({ min: 1, max: 40 }),
      (steps, size) => {
        const window = new Inflights(size, 200)
        let list: [index: number, bytes: number][] = []
        let lastIndex = 0
        const bytes = () => list.reduce((sum, [, count]) => sum + count, 0)
        for (const [isAdd, n] of steps) {
          if (isAdd && !window.isFull) {
            window.add(++lastIndex, n)
            list.push([lastIndex, n])
          } else {
            const upTo = lastIndex - n
            window.freeTo(upTo)
            list = list.filter(([index]) => index > upTo)
          }
          assert.deepEqual([window.count, window.bytes], [list.length, bytes()])
          assert.equal(window.isFull, list.length >= size || bytes() >= 200)
        }
      },
    ),
    { numRuns: 200 },
  )
})

test('progress never expects more than one past what it sent, and never falls behind its match', () => {
  const step = fc.tuple(
    fc.constantFrom('match', 'reject', 'send', 'probe', 'replicate', 'snapshot'),
    fc.nat(30),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const limits = { maxInflightMessages: 4, maxInflightBytes: 100 }
      const peer = new Progress(2, 1, 5, 'voter', limits)
      let match = 0
      for (const [kind, n] of steps) {
        if (kind === 'match') peer.matchTo(n)
        if (kind === 'reject') peer.backOff(n, n - 2)
        if (kind === 'send' && !peer.isPaused && !peer.inflights.isFull) peer.sent(1, n)
        if (kind === 'probe') peer.becomeProbe()
        if (kind === 'replicate') peer.becomeReplicate()
        if (kind === 'snapshot') peer.becomeSnapshot(n)
        peer.checkInvariants()
        assert.ok(peer.match >= match, 'match never falls')
        match = peer.match
      }
    }),
  )
})
