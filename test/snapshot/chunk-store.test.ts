import assert from 'node:assert/strict'
import { test } from 'node:test'
import { powerCuts } from '../../src/sim/power-cuts.js'
import { ChunkStore, nameOf } from '../../src/snapshot/chunk-store.js'
import type { ImageManifest } from '../../src/wire/image.js'
import type { ImageChunk } from '../../src/wire/image-chunk.js'
import { records, SnapshotHost, values } from './snapshot-fixture.js'

interface Made {
  readonly host: SnapshotHost
  readonly manifest: ImageManifest
  readonly bytesOf: (chunk: ImageChunk) => Promise<Buffer>
}

async function made(seed = 1): Promise<Made> {
  const host = new SnapshotHost(seed)
  const image = await host.image('from', records(values(40, 60_000)))
  const manifest = await host.run(image.manifest())
  return { host, manifest, bytesOf: (chunk) => host.run(image.readChunk(chunk.firstKey)) }
}

const CORRUPTION = { code: 'QUORATE_CORRUPTION' }

test('what was put is there after a restart, and what is missing is known', async () => {
  const { host, manifest, bytesOf } = await made()
  const store = await host.run(ChunkStore.open(host.disk, 'in'))
  const [first, second] = manifest.chunks
  await host.run(store.put(first!, await bytesOf(first!)))
  await host.run(store.put(first!, await bytesOf(first!)))
  assert.deepEqual([store.has(first!), store.has(second!)], [true, false])
  await host.run(store.sync())
  host.disk.powerCut('none')
  const again = await host.run(ChunkStore.open(host.disk, 'in'))
  assert.deepEqual(again.missing(manifest), manifest.chunks.slice(1))
  assert.deepEqual(await host.run(again.read(first!)), await bytesOf(first!))
})

test('the same chunk put twice at a time is written once', async () => {
  const { host, manifest, bytesOf } = await made()
  const store = await host.run(ChunkStore.open(host.disk, 'in'))
  const [first] = manifest.chunks
  const bytes = await bytesOf(first!)
  await host.run(Promise.all([store.put(first!, bytes), store.put(first!, bytes)]))
  assert.deepEqual(host.disk.paths('in'), [`in/${nameOf(first!)}`])
})

test('bytes that are not the chunk are refused, and nothing of them is kept', async () => {
  const { host, manifest, bytesOf } = await made()
  const store = await host.run(ChunkStore.open(host.disk, 'in'))
  const [first] = manifest.chunks
  const bytes = await bytesOf(first!)
  await assert.rejects(host.run(store.put(first!, bytes.subarray(1))), CORRUPTION)
  bytes[20]! ^= 4
  await assert.rejects(host.run(store.put(first!, bytes)), CORRUPTION)
  assert.deepEqual(host.disk.paths('in'), [])
})

test('a chunk that rotted on disk is not given out, and can be put again', async () => {
  const { host, manifest, bytesOf } = await made()
  const store = await host.run(ChunkStore.open(host.disk, 'in'))
  const [first] = manifest.chunks
  await host.run(store.put(first!, await bytesOf(first!)))
  host.disk.corrupt(`in/${nameOf(first!)}`, 30, 1)
  await assert.rejects(host.run(store.read(first!)), CORRUPTION)
  assert.ok(!store.has(first!))
  await host.run(store.put(first!, await bytesOf(first!)))
  assert.deepEqual(await host.run(store.read(first!)), await bytesOf(first!))
})

test('only the chunks of a manifest are retained; without one, none', async () => {
  const { host, manifest, bytesOf } = await made()
  const store = await host.run(ChunkStore.open(host.disk, 'in'))
  for (const chunk of manifest.chunks) await host.run(store.put(chunk, await bytesOf(chunk)))
  await host.run(store.retain(manifest.chunks.slice(1, 2)))
  assert.deepEqual(host.disk.paths('in'), [`in/${nameOf(manifest.chunks[1]!)}`])
  await host.run(store.retain([]))
  assert.deepEqual(host.disk.paths('in'), [])
})

test('a put that fails leaves nothing in the way of the next one', async () => {
  const { host, manifest, bytesOf } = await made()
  const store = await host.run(ChunkStore.open(host.disk, 'in'))
  const [first] = manifest.chunks
  const bytes = await bytesOf(first!)
  for (const operation of ['write', 'sync', 'rename'] as const) {
    host.disk.failNext(operation, 'ENOSPC', 'in/')
    await assert.rejects(host.run(store.put(first!, bytes)), { code: 'ENOSPC' })
    assert.ok(!store.has(first!))
  }
  await host.run(store.put(first!, bytes))
  assert.deepEqual(await host.run(store.read(first!)), bytes)
})

test('a power cut at any boundary leaves only whole chunks, and those that were synced', async () => {
  const { host, manifest, bytesOf } = await made()
  const contents = new Map<string, Buffer>()
  for (const chunk of manifest.chunks) contents.set(nameOf(chunk), await bytesOf(chunk))
  let synced: readonly ImageChunk[] = []
  let isDone = false
  const workload = async () => {
    const store = await ChunkStore.open(host.disk, 'in')
    for (const [i, chunk] of manifest.chunks.entries()) {
      await store.put(chunk, contents.get(nameOf(chunk))!)
      if (i % 2 === 0) continue
      await store.sync()
      synced = manifest.chunks.slice(0, i + 1)
    }
    isDone = true
  }
  const running = workload()
  for await (const cut of powerCuts(
    host.world,
    host.disk,
    () => synced,
    () => isDone,
  )) {
    const after = new SnapshotHost(cut.boundary)
    after.disk.restore(cut.image)
    const store = await after.run(ChunkStore.open(after.disk, 'in'))
    for (const chunk of manifest.chunks) {
      if (store.has(chunk)) await after.run(store.read(chunk))
      else assert.ok(!cut.seen.includes(chunk), `boundary ${cut.boundary}: a synced chunk is gone`)
    }
    for (const chunk of store.missing(manifest)) {
      await after.run(store.put(chunk, contents.get(nameOf(chunk))!))
    }
    assert.equal(after.disk.paths('in').length, manifest.chunks.length)
  }
  await running
})
