import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Introduced } from '../../src/blob/introduced.js'
import { Sweep } from '../../src/blob/sweep.js'
import { blobId, Crew, KEY, noise } from './blob-fixture.js'

const GRACE_MS = 2_000

/** A sweep of member 1, which is ticked. */
function begin(crew: Crew): { readonly sweep: Sweep; readonly introduced: Introduced } {
  const introduced = new Introduced()
  const { store } = crew.peer(1)
  const sweep = new Sweep(crew.time, store, crew.state, introduced, GRACE_MS, crew.work)
  const tick = (): void => {
    sweep.tick(crew.time.now())
    crew.time.after(50, tick)
  }
  tick()
  return { sweep, introduced }
}

test('what was replaced is kept for the grace and for as long as anybody asks for it, and then goes', async () => {
  const crew = await Crew.start(3)
  const { manifest } = await crew.spread(noise(3_000, 1), 2, blobId(1))
  const { store } = crew.peer(1)
  const { sweep, introduced } = begin(crew)
  introduced.note(manifest.id, await crew.put(manifest))
  await crew.world.advance(2 * GRACE_MS)
  assert.equal(store.status().shards, 1)
  await crew.apply({ type: 'del', key: KEY })
  await crew.world.advance(GRACE_MS - 100)
  assert.equal(store.status().shards, 1)
  sweep.hold(30_000)
  await crew.world.advance(29_000)
  assert.equal(store.status().shards, 1)
  await crew.world.advance(5_000)
  assert.equal(store.status().shards, 0)
  assert.equal(sweep.forgotten, 1)
})

test('what the sweep has seen referred to needs no other witness to go', async () => {
  const crew = await Crew.start(3)
  const { manifest } = await crew.spread(noise(3_000, 1), 2, blobId(1))
  begin(crew)
  await crew.put(manifest)
  await crew.world.advance(2 * GRACE_MS)
  await crew.apply({ type: 'put', key: KEY, value: Buffer.from('another') })
  await crew.world.advance(4 * GRACE_MS)
  assert.equal(crew.peer(1).store.status().shards, 0)
})

test('what nobody has seen in force waits for an entry of a later term', async () => {
  const crew = await Crew.start(3)
  await crew.spread(noise(3_000, 1), 2, blobId(1))
  const { store } = crew.peer(1)
  begin(crew)
  await crew.apply({ type: 'put', key: KEY, value: Buffer.from('another') })
  await crew.world.advance(20 * GRACE_MS)
  assert.equal(store.status().shards, 1)
  await crew.apply({ type: 'put', key: Buffer.from('x'), value: Buffer.from('x') }, 2)
  await crew.world.advance(4 * GRACE_MS)
  assert.equal(store.status().shards, 0)
})
