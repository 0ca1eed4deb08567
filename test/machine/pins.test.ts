import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DatabaseSnapshot } from '../../src/env/database.js'
import { Pins } from '../../src/machine/pins.js'

const SNAPSHOT = {} as DatabaseSnapshot

test('a cut that is dropped before its index comes keeps nothing, and ends no batch', async () => {
  const pins = new Pins()
  const { coming, drop } = pins.addCut(2 ** 31)
  assert.ok(pins.has(2 ** 31))
  drop()
  assert.ok(!pins.has(2 ** 31))
  assert.equal(await coming, undefined)
})

test('dropping one cut leaves the others of its index, and dropping one that has come does nothing', async () => {
  const pins = new Pins()
  const [one, other] = [pins.addCut(5), pins.addCut(5)]
  one.drop()
  pins.settle(5, () => SNAPSHOT)
  other.drop()
  assert.equal(await one.coming, undefined)
  assert.equal(await other.coming, SNAPSHOT)
})
