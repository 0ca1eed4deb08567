import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import fc from 'fast-check'
import { StoreError } from '../../../src/base/errors.js'
import { Fence } from '../../../src/store/level/fence.js'

/** A read begins, the nth open read is settled, or a write is asked for. */
const step = fc.oneof(
  fc.constant({ type: 'read' } as const),
  fc.record({ type: fc.constant('settle' as const), nth: fc.nat(3) }),
  fc.constant({ type: 'write' } as const),
)

test('a write begins when all reads before it are settled, in the order of the writes, and not later', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const fence = new Fence()
      const open: number[] = []
      const asked: { readonly behind: readonly number[] }[] = []
      const begun: number[] = []
      const expected = () => {
        const first = asked.findIndex(({ behind }) => behind.some((read) => open.includes(read)))
        return [...asked.keys()].slice(0, first < 0 ? asked.length : first)
      }
      for (const each of steps) {
        if (each.type === 'read') open.push(fence.enter())
        else if (each.type === 'settle') {
          for (const read of open.splice(each.nth, 1)) fence.settled(read)
        } else {
          const number = asked.push({ behind: [...open] }) - 1
          const write = async () => {
            begun.push(number)
          }
          void (fence.isClosed ? fence.pass(1, write) : write())
        }
        await turn()
        assert.deepEqual(begun, expected())
        assert.equal(fence.isClosed, open.length > 0 || begun.length < asked.length)
      }
    }),
    { numRuns: 100 },
  )
})

test('when too much waits, a write is refused and may be tried again', async () => {
  const fence = new Fence()
  const read = fence.enter()
  const large = fence.pass(16 * 1024 * 1024, async () => 'done')
  await assert.rejects(
    fence.pass(1, async () => 'never'),
    (error: unknown) => {
      assert.ok(error instanceof StoreError)
      assert.deepEqual(
        [error.code, error.outcome, error.retryable],
        ['QUORATE_OVERLOADED', 'none', true],
      )
      return true
    },
  )
  fence.settled(read)
  assert.equal(await large, 'done')
  assert.equal(fence.isClosed, false)
})
