/** Turns for what only so many may do at once. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Turns } from '../../../src/store/turns.js'

/** Lets what can go on go on. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('so many have a turn at once, the others in the order in which they came', async () => {
  const turns = new Turns(2)
  const begun: number[] = []
  const leaves: (() => void)[] = []
  for (let i = 0; i < 5; i++) {
    void turns.enter(undefined).then((leave) => {
      begun.push(i)
      leaves.push(leave)
    })
  }
  await settle()
  assert.deepEqual(begun, [0, 1])
  leaves[0]!()
  leaves[0]!() // a second time is nothing
  await settle()
  assert.deepEqual(begun, [0, 1, 2])
  for (let i = 1; i < 5; i++) {
    leaves[i]!()
    await settle()
  }
  assert.deepEqual(begun, [0, 1, 2, 3, 4])
  const leave = await turns.enter(undefined)
  leave()
})

test('whoever gives up while it waits does not take a turn', async () => {
  const turns = new Turns(1)
  const leave = await turns.enter(undefined)
  const controller = new AbortController()
  const given = turns.enter(controller.signal)
  const next = turns.enter(undefined)
  controller.abort()
  await assert.rejects(given, { code: 'QUORATE_ABORTED' })
  await assert.rejects(turns.enter(controller.signal), { code: 'QUORATE_ABORTED' })
  leave()
  ;(await next)()
})
