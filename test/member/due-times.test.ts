/** DueTimes against a list that is searched. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { DueTimes } from '../../src/member/due-times.js'

const AGAIN = 50
const step = fc.oneof(
  fc.record({
    type: fc.constant('set' as const),
    name: fc.constantFrom('a', 'b', 'c', 'd'),
    version: fc.nat(5),
    time: fc.nat(100),
  }),
  fc.record({
    type: fc.constant('settle' as const),
    name: fc.constantFrom('a', 'b', 'c', 'd'),
    version: fc.nat(5),
  }),
  fc.record({ type: fc.constant('look' as const), after: fc.nat(20) }),
)

test('what is due, and nothing else, comes up, and again until it is settled', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const due = new DueTimes()
      const plain = new Map<string, { version: number; time: number }>()
      let now = 0
      for (const each of steps) {
        const known = each.type === 'look' ? undefined : plain.get(each.name)
        if (each.type === 'set') {
          due.set(each.name, each.version, each.time)
          if (known === undefined || each.version >= known.version) {
            plain.set(each.name, { version: each.version, time: each.time })
          }
        } else if (each.type === 'settle') {
          due.settle(each.name, each.version)
          if (known !== undefined && known.version <= each.version) plain.delete(each.name)
        } else {
          now += each.after
          const expected: string[] = []
          for (const [name, one] of plain) {
            if (one.time > now) continue
            expected.push(`${name}@${one.version}`)
            one.time = now + AGAIN
          }
          assert.deepEqual(allDue(due, now), expected.sort())
        }
        assert.equal(due.size, plain.size)
      }
    }),
    { numRuns: 500 },
  )
})

function allDue(due: DueTimes, now: number): string[] {
  const found: string[] = []
  for (;;) {
    const next = due.next(now, now + AGAIN)
    if (next === undefined) return found.sort()
    found.push(`${next.name}@${next.version}`)
  }
}

test('what is kept alive or settled over and over costs no memory', () => {
  const due = new DueTimes()
  for (let i = 0; i < 20_000; i++) {
    due.set('a', i, 1e6 + (i % 2) * 1000)
    due.set(`b${i}`, 1, 1e6)
    due.settle(`b${i}`, 1)
  }
  assert.ok(due.places < 2000, `${due.places} places`)
  assert.equal(due.size, 1)
})
