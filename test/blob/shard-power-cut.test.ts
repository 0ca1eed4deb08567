/**
 * Every power cut of a workload: at each beginning and end of a disk operation, what could be left is opened (I9).
 * Every acknowledged shard must be there and whole; every other is whole or not there.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { keyedBelow } from '../../src/base/prng.js'
import { powerCuts } from '../../src/sim/power-cuts.js'
import type { DiskImage } from '../../src/sim/sim-disk.js'
import { ShardHost, shard } from './shard-fixture.js'
import { assertExpected, type Call, type Expectation, Workload } from './shard-workload.js'

type Draw = (bound: number, purpose: string) => number

const SIZES = [40, 300, 900, 2_500, 300, 700, 1_400, 20_000]

function drawnCall(draw: Draw, round: number): Call {
  switch (draw(8, 'kind')) {
    case 0:
    case 1:
      return { kind: 'forget', every: 3 + draw(4, 'every'), rest: draw(6, 'rest') }
    case 2:
      return { kind: 'reclaim', bytes: 1 + draw(20_000, 'budget') }
    case 3:
      return { kind: 'quarantine', pick: draw(50, 'pick') }
    default: {
      const count = 1 + draw(3, 'count')
      const sizes = Array.from({ length: count }, (_, i) => SIZES[draw(8, `size${i}`)]!)
      return { kind: 'append', first: draw(3, 'again') === 0 ? draw(20, 'old') : 4 * round, sizes }
    }
  }
}

/** Several calls under way at a time. */
async function run(workload: Workload, seed: number, rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    const count = 1 + keyedBelow(seed, 3, round, 'calls')
    const calls = Array.from({ length: count }, (_, i) =>
      workload.start(
        drawnCall((bound, purpose) => keyedBelow(seed, bound, round, i, purpose), round),
      ),
    )
    await Promise.all(calls)
  }
}

/** What a process finds that starts on `image`. */
async function opened(image: DiskImage): Promise<{ host: ShardHost; found: Map<string, string> }> {
  const host = new ShardHost(1, {})
  host.disk.restore(image)
  const { recovered } = await host.open()
  assert.deepEqual(recovered.damage, [])
  return { host, found: await host.contents() }
}

/** The store must also be fit to go on, and what it has shown must not be lost by the next power cut. */
async function assertGoesOn(host: ShardHost, found: ReadonlyMap<string, string>): Promise<void> {
  const next = shard(999_999, 600)
  await host.append(next)
  host.disk.powerCut('none')
  const again = await opened(host.disk.image('none', 0))
  assert.deepEqual(new Set([...again.found.keys()]).size, found.size + 1)
}

/** Recovery itself may be cut off at any point. */
async function assertRecoveryMayFail(image: DiskImage, seen: Expectation): Promise<void> {
  const host = new ShardHost(1, {})
  host.disk.restore(image)
  let isOpen = false
  const opening = host.begin().then(() => {
    isOpen = true
  })
  const cuts = powerCuts(
    host.world,
    host.disk,
    () => undefined,
    () => isOpen,
  )
  for await (const cut of cuts) assertExpected((await opened(cut.image)).found, seen)
  await opening
}

for (const seed of [1, 2, 3]) {
  test(`I9: every power cut leaves each acknowledged shard whole, and no other in part (seed ${seed})`, async (t) => {
    const host = new ShardHost(seed, {})
    const workload = new Workload(await host.open(), undefined, false)
    let isDone = false
    const running = run(workload, seed, 30).then(() => {
      isDone = true
    })
    const observe = () => workload.expectation
    let count = 0
    for await (const cut of powerCuts(host.world, host.disk, observe, () => isDone)) {
      const { host: next, found } = await opened(cut.image)
      try {
        assertExpected(found, cut.seen)
      } catch (error) {
        throw new Error(`boundary ${cut.boundary}, ${cut.mode}`, { cause: error })
      }
      count++
      if (count % 7 === 0) await assertGoesOn(next, found)
      if (count % 151 === 0) await assertRecoveryMayFail(cut.image, cut.seen)
    }
    await running
    t.diagnostic(`${count} images, ${JSON.stringify(host.store.status())}`)
    assert.ok(count > 500)
  })
}
