import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SimRandom } from '../../src/sim/sim-random.js'
import { SimTime } from '../../src/sim/sim-time.js'
import { SimWorld } from '../../src/sim/world.js'

/** A process whose timers write down when they ran. */
function lab() {
  const world = new SimWorld(1)
  const time = new SimTime(world)
  const ran: string[] = []
  const timer = (name: string, ms: number) => time.after(ms, () => ran.push(`${world.now} ${name}`))
  return { world, time, ran, timer }
}

test('timers run in order of their time, and those of one moment in the order they were set', async () => {
  const { world, time, ran, timer } = lab()
  timer('late', 20)
  timer('first', 10)
  timer('second', 10)
  time.soon(() => ran.push('soon'))
  await world.advance(50)
  assert.deepEqual(ran, ['soon', '10 first', '10 second', '20 late'])
})

test('a cancelled timer does not run, also not when it was due during a pause', async () => {
  const { world, time, ran, timer } = lab()
  const early = timer('early', 10)
  const held = timer('held', 20)
  time.cancel(early)
  time.pause()
  await world.advance(30)
  time.cancel(held)
  time.resume()
  await world.advance(30)
  assert.equal(ran.length, 0)
})

test('a pause holds everything back and lets it go at once, in the order it came', async () => {
  const { world, time, ran, timer } = lab()
  timer('one', 10)
  timer('two', 20)
  timer('after', 100)
  time.pause()
  await world.advance(50)
  assert.equal(ran.length, 0)
  time.resume()
  // Comes in the moment the pause ends, but after what was held.
  world.schedule(0, () => time.deliver(() => ran.push(`${world.now} new`)))
  await world.advance(100)
  assert.deepEqual(ran, ['50 one', '50 two', '50 new', '100 after'])
})

test('a process that pauses again while it catches up keeps the order', async () => {
  const { world, time, ran } = lab()
  time.after(1, () => {
    ran.push('one')
    time.pause()
  })
  time.after(2, () => ran.push('two'))
  time.pause()
  await world.advance(10)
  time.resume()
  await world.advance(10)
  assert.deepEqual(ran, ['one'])
  time.resume()
  await world.advance(10)
  assert.deepEqual(ran, ['one', 'two'])
})

test('nothing reaches a killed process, also nothing that was held back', async () => {
  const { world, time, ran, timer } = lab()
  timer('one', 10)
  time.pause()
  await world.advance(20)
  timer('two', 10)
  time.kill()
  time.resume()
  await world.advance(20)
  assert.equal(ran.length, 0)
  assert(time.isKilled)
})

test('a drifting clock shows another time and runs its timers by it; the wall can jump alone', async () => {
  const { world, time, ran, timer } = lab()
  await world.advance(100)
  time.drift(2)
  timer('fast', 100)
  await world.advance(100)
  assert.equal(time.now(), 300)
  assert.deepEqual(ran, ['150 fast'])
  time.stepWall(-250)
  assert.equal(time.wall(), 50)
  assert.equal(time.now(), 300)
})

test('draws depend on seed, host, purpose and how many came before, and on nothing else', () => {
  const draws = (seed: number, host: string, purpose: string) => {
    const random = new SimRandom(new SimWorld(seed), host)
    return [random.u32(purpose), random.u32(purpose), ...random.bytes(8, purpose)].join()
  }
  const base = draws(1, 'a', 'x')
  assert.equal(draws(1, 'a', 'x'), base)
  for (const other of [draws(2, 'a', 'x'), draws(1, 'b', 'x'), draws(1, 'a', 'y')]) {
    assert.notEqual(other, base)
  }
  const random = new SimRandom(new SimWorld(1), 'a')
  random.u32('y')
  assert.equal(random.u32('x'), Number(base.split(',')[0]))
})
