import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { StoreError } from '../../src/base/errors.js'
import { ByteBudget } from '../../src/blob/byte-budget.js'
import { PartCache } from '../../src/blob/part-cache.js'
import { Upload, type UploadOptions } from '../../src/blob/upload.js'
import { coverageOf } from '../../src/machine/coverage.js'
import { decodeManifest, type Manifest } from '../../src/wire/manifest.js'
import { Crew, KEY, noise, type Peer } from './blob-fixture.js'

const SMALL: UploadOptions = {
  maxShardBytes: 600,
  unitBytes: 512,
  dataShardsMax: 8,
  slack: 0,
  stallMs: 300,
  maxManifestBytes: 10_000,
}

interface Scene {
  readonly upload: Upload
  readonly dropped: number[]
  readonly budget: ByteBudget
}

/** An upload of member 1, which is ticked for as long as it is not over. */
function begin(crew: Crew, wrong: Partial<UploadOptions> = {}, deadline = 60_000): Scene {
  const peer = crew.peer(1)
  const { sender, intake, coder } = peer
  const { time, ticks } = crew
  const dropped: number[] = []
  const budget = new ByteBudget(10_000)
  const upload = new Upload(
    {
      time,
      ticks,
      cluster: peer,
      sender,
      coder,
      budget,
      cache: new PartCache(0),
      options: { ...SMALL, ...wrong },
      store: (shard) => intake.storeOwn(shard),
      now: () => time.now(),
      pause: () => ticks.next(),
      own: () => {},
      fail: crew.work.fail,
      nextSeq: () => 1,
      drop: ({ seq }) => dropped.push(seq),
    },
    { key: KEY, isStream: false, deadline, signal: undefined },
    () => {},
  )
  const tick = (): void => {
    if (upload.isEnded) return
    sender.tick(time.now())
    upload.tick(time.now())
    ticks.fire()
    time.after(20, tick)
  }
  tick()
  return { upload, dropped, budget }
}

async function store(crew: Crew, { upload }: Scene, data: Buffer): Promise<Manifest> {
  await crew.run(upload.write(data))
  return decodeManifest(await crew.run(upload.finish()))
}

/** Which members would have their shard of the part after a power cut. */
function durableAt(peer: Peer, { id }: Manifest, part: number): boolean {
  const shard = peer.store.find({ id, part, index: peer.self - 1 })
  return shard !== undefined
}

/** Nobody hears from `node` whether it has stored anything. */
function mute(peer: Peer): void {
  peer.intake.onPut = () => {}
}

test('I1: a manifest says of no member that it has its shard that has not, and covers every part', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 5 }),
      fc.uniqueArray(fc.integer({ min: 2, max: 5 }), { maxLength: 2 }),
      fc.uniqueArray(fc.integer({ min: 2, max: 5 }), { maxLength: 2 }),
      fc.integer({ min: 1, max: 5_000 }),
      async (count, down, silent, bytes) => {
        const crew = await Crew.start(count)
        for (const node of down) if (node <= count) crew.down.add(node)
        for (const node of silent) if (node <= count) mute(crew.peer(node))
        const left = crew.peers.filter(({ self }) => !down.includes(self) && !silent.includes(self))
        const data = noise(bytes, 1)
        const scene = begin(crew)
        const isPossible = left.length > Math.floor(count / 2)
        if (!isPossible) {
          await assert.rejects(store(crew, scene, data), (error: StoreError) => {
            assert.deepEqual([error.code, error.outcome], ['QUORATE_UNDERCOVERED', 'none'])
            return true
          })
          return
        }
        const manifest = await store(crew, scene, data)
        for (const { durable, number, dataShards } of manifest.parts) {
          const holders = manifest.members.filter((_, i) => durable[i])
          assert.ok(coverageOf(holders, crew.members) >= dataShards)
          for (const { node } of holders) {
            assert.ok(durableAt(crew.peer(node), manifest, number), `${node} has no shard`)
          }
        }
        assert.equal(manifest.bytes, bytes)
        await crew.world.advance(1_000)
        assert.equal(scene.budget.usedBytes, 0)
        crew.down.clear()
        for (const part of manifest.parts) {
          const call = { giveUpAt: Number.POSITIVE_INFINITY, ended: () => undefined }
          const source = { key: KEY, manifest, part }
          const read = await crew.run(crew.peer(1).reader.read(source, 0, part.bytes, call))
          const at = manifest.parts.slice(0, manifest.parts.indexOf(part))
          const start = at.reduce((sum, before) => sum + before.bytes, 0)
          assert.ok(read.equals(data.subarray(start, start + part.bytes)))
        }
      },
    ),
    { numRuns: 60 },
  )
})

test('I4: what an attempt left and what the next one stores have different numbers', async () => {
  const crew = await Crew.start(5)
  mute(crew.peer(4))
  mute(crew.peer(5))
  const manifest = await store(crew, begin(crew), noise(1_800, 1))
  assert.deepEqual(
    manifest.parts.map(({ number, dataShards }) => [number, dataShards]),
    [
      [1, 1],
      [2, 1],
      [3, 1],
    ],
  )
  const numbers = new Set([...crew.peer(2).store.shards()].map(({ part }) => part))
  assert.deepEqual([...numbers].sort(), [0, 1, 2, 3])
})

test('a term that begins meanwhile ends the upload: its manifest could not be put into force', async () => {
  const crew = await Crew.start(3)
  const scene = begin(crew)
  await crew.run(scene.upload.write(noise(5_000, 1)))
  crew.peer(1).term = 2
  await assert.rejects(crew.run(scene.upload.finish()), (error: StoreError) => {
    assert.deepEqual([error.code, error.retryable], ['QUORATE_UNDERCOVERED', true])
    return true
  })
})

test('writers are held back while much is under way, and go on when it is stored', async () => {
  const crew = await Crew.start(3)
  const scene = begin(crew)
  const most: number[] = []
  for (let i = 0; i < 40; i++) {
    await crew.run(scene.upload.write(noise(1_200, i)))
    most.push(scene.budget.usedBytes)
  }
  assert.ok(Math.max(...most) <= 4 * 1_200, `${Math.max(...most)}`)
  const manifest = decodeManifest(await crew.run(scene.upload.finish()))
  assert.equal(manifest.parts.length, 40)
})

test('a value of more parts than its manifest lists is refused, whatever has been stored of it', async () => {
  const crew = await Crew.start(3)
  const { upload } = begin(crew, { maxManifestBytes: 500 })
  await assert.rejects(crew.run(upload.write(noise(20_000, 1))), (error: StoreError) => {
    assert.equal(error.code, 'QUORATE_TOO_LARGE')
    return error.outcome === 'none'
  })
  await assert.rejects(crew.run(upload.finish()), StoreError)
})

test('a disk of this member that has too much to do is waited for, one that is full is done without', async () => {
  const busy = await Crew.start(3)
  const { intake } = busy.peer(1)
  const { storeOwn } = intake
  let refused = 0
  intake.storeOwn = (shard) => {
    if (refused++ >= 3) return storeOwn.call(intake, shard)
    return Promise.reject(new StoreError('QUORATE_OVERLOADED', 'too much'))
  }
  const { parts } = await store(busy, begin(busy), noise(500, 1))
  assert.deepEqual(
    parts.map(({ dataShards, durable }) => [dataShards, durable]),
    [[2, [true, true, true]]],
  )
  const full = await Crew.start(3)
  full.peer(1).disk.capacityBytes = 0
  const { parts: whole } = await store(full, begin(full), noise(500, 1))
  assert.deepEqual(
    whole.map(({ dataShards, durable }) => [dataShards, durable]),
    [[1, [false, true, true]]],
  )
})

test('what is given up is dropped everywhere, what has no time left fails', async () => {
  const crew = await Crew.start(3)
  const scene = begin(crew)
  await crew.run(scene.upload.write(noise(5_000, 1)))
  scene.upload.drop()
  assert.deepEqual(scene.dropped, [1])
  await assert.rejects(crew.run(scene.upload.finish()), StoreError)
  const late = begin(crew, {}, crew.time.now() + 100)
  mute(crew.peer(2))
  mute(crew.peer(3))
  await assert.rejects(store(crew, late, noise(5_000, 1)), (error: StoreError) => {
    return error.code === 'QUORATE_TIMEOUT'
  })
})
