/**
 * The power goes at every beginning and end of a disk operation of a member under load, in every way a disk
 * may lose what was not synced: what was acknowledged is there, and nothing is that nobody wrote.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { powerCuts } from '../../src/sim/power-cuts.js'
import { SimHost } from '../../src/sim/sim-host.js'
import { SimNetwork } from '../../src/sim/sim-network.js'
import { SimWorld } from '../../src/sim/world.js'
import { openStore, type Store } from '../../src/store/store.js'

const OPTIONS = {
  dir: 'data',
  valueEncoding: 'utf8',
  storage: { segmentBytes: 64 * 1024, checkpointBytes: 64 * 1024, keepLogBytes: 64 * 1024 },
  limits: { maxRequestBytes: 4096 },
} as const
const KEYS = 12
/** Every so many boundaries one is opened and checked; coprime to the drawn images per boundary. */
const EVERY = 5

/** What callers know at a moment: by key the newest acknowledged number, and the newest one asked for. */
interface Knowledge {
  readonly acknowledged: ReadonlyMap<string, number>
  readonly asked: ReadonlyMap<string, number>
}

function newHost(seed: number): { world: SimWorld; host: SimHost } {
  const world = new SimWorld(seed)
  return { world, host: new SimHost(world, new SimNetwork(world), 'a') }
}

/** Writes with several in flight over rotating segments and checkpoints, each key's numbers rising. */
async function workload(
  store: Store,
  known: { acknowledged: Map<string, number>; asked: Map<string, number> },
) {
  let number = 0
  const writer = async (which: number) => {
    for (let round = 0; round < 24; round++) {
      const key = `k${(which + 3 * round) % KEYS}`
      const mine = ++number
      known.asked.set(key, mine)
      await store.put(key, `${mine} ${'x'.repeat((mine * 97) % 3000)}`)
      known.acknowledged.set(key, Math.max(mine, known.acknowledged.get(key) ?? 0))
      if (which === 0 && round % 10 === 9) await store.checkpoint()
    }
  }
  await Promise.all([0, 1, 2].map(writer))
  await store.close()
}

async function check(seed: number, host: SimHost, world: SimWorld, seen: Knowledge): Promise<void> {
  const store = await world.complete(openStore(host.boot(), OPTIONS), 60_000)
  for (let i = 0; i < KEYS; i++) {
    const key = `k${i}`
    const value = await world.complete(store.get<string>(key), 60_000)
    const number = value === undefined ? 0 : Number.parseInt(value, 10)
    const least = seen.acknowledged.get(key) ?? 0
    assert.ok(number >= least, `seed ${seed}: ${key} was acknowledged at ${least} and is ${number}`)
    assert.ok(
      number <= (seen.asked.get(key) ?? 0),
      `seed ${seed}: ${key} is ${number}, never asked for`,
    )
    if (value !== undefined)
      assert.equal(value.length, `${number} `.length + ((number * 97) % 3000))
  }
  await world.complete(store.put('k0', '999999 after'), 60_000)
}

test('a power cut at any boundary of a disk operation loses nothing acknowledged and invents nothing', async (t) => {
  let images = 0
  for (const seed of [1, 2]) {
    const { world, host } = newHost(seed)
    const known = { acknowledged: new Map<string, number>(), asked: new Map<string, number>() }
    let isDone = false
    const running = openStore(host.boot(), OPTIONS)
      .then((store) => workload(store, known))
      .finally(() => {
        isDone = true
      })
    const observe = () => ({
      acknowledged: new Map(known.acknowledged),
      asked: new Map(known.asked),
      databases: host.databases.image(),
    })
    let drawn = 0
    for await (const cut of powerCuts(world, host.disk, observe, () => isDone)) {
      if (drawn++ % EVERY !== 0) continue
      const after = newHost(seed + cut.boundary)
      after.host.disk.restore(cut.image)
      after.host.databases.restore(cut.seen.databases)
      await check(seed, after.host, after.world, cut.seen)
      images++
    }
    await running
  }
  t.diagnostic(`${images} power-cut images`)
  assert.ok(images > 200, `only ${images} images: the test has lost its bite`)
})
