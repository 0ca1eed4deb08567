import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { seal } from '../../src/sim/run/seal.js'

const LEAKS: readonly [name: string, call: () => unknown][] = [
  ['Date', () => Date.now()],
  ['Date', () => new Date()],
  ['performance.now', () => performance.now()],
  ['process.hrtime', () => process.hrtime()],
  ['Math.random', () => Math.random()],
  ['crypto.randomBytes', () => randomBytes(1)],
  ['randomUUID', () => crypto.randomUUID()],
  ['setTimeout', () => setTimeout(() => {}, 0)],
  ['setImmediate', () => setImmediate(() => {})],
  ['timers.promises.setTimeout', () => delay(0)],
  ['AbortSignal.timeout', () => AbortSignal.timeout(1)],
  ['fs.readFileSync', () => readFileSync(import.meta.filename)],
  ['fetch', () => fetch('http://127.0.0.1:1')],
]

test('nothing that lets in time, chance or I/O can be called under the seal, and it is told', () => {
  const told: string[] = []
  const unseal = seal('none', (name) => told.push(name))
  const outcomes = LEAKS.map(([, call]) => {
    try {
      call()
      return 'let in'
    } catch {
      return 'kept out'
    }
  })
  unseal()
  assert.deepEqual(
    outcomes,
    LEAKS.map(() => 'kept out'),
  )
  assert.deepEqual(
    told,
    LEAKS.map(([name]) => name),
  )
})

test('a date that is given, and what ends a timer, work under the seal', () => {
  const unseal = seal('none', () => {})
  const date = new Date(0)
  clearTimeout(undefined)
  unseal()
  assert.equal(date.getTime(), 0)
  assert.ok(date instanceof Date)
})

test('everything is as before when the seal is off', async () => {
  seal('none', () => {})()
  assert.ok(Date.now() > 0 && Math.random() < 1 && readFileSync(import.meta.filename).length > 0)
  await delay(1)
})
