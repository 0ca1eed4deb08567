import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Database } from '../../src/env/database.js'
import { DATA_PREFIX } from '../../src/machine/key-space.js'
import { Image } from '../../src/snapshot/image.js'
import { loadImage } from '../../src/snapshot/load-image.js'
import { type ImageManifest, sealManifest } from '../../src/wire/image.js'
import { ChunkWriter, describeChunk } from '../../src/wire/image-chunk.js'
import {
  CLUSTER,
  type DbRecord,
  records,
  SnapshotHost,
  STATE,
  valueRecord,
  values,
} from './snapshot-fixture.js'

/** Loads `content`, cut into one chunk as a sender might have done it, under a manifest that `change` altered. */
async function load(
  content: readonly DbRecord[],
  change: (manifest: ImageManifest) => ImageManifest = (manifest) => manifest,
): Promise<Database> {
  const host = new SnapshotHost()
  const writer = new ChunkWriter()
  for (const [key, value] of content) writer.add(key, value)
  const bytes = Buffer.from(writer.take())
  const { conf, digest, sessions } = STATE
  const header = { clusterId: CLUSTER, index: 9, term: 2, conf, digest, sessions }
  const members = Buffer.from('the members')
  const manifest = sealManifest({ ...header, members }, [describeChunk(bytes)])
  const database = await host.run(host.databases.open('to'))
  await host.run(loadImage(change(manifest), async () => bytes, database))
  return database
}

const CORRUPTION = { code: 'QUORATE_CORRUPTION' }

test('an image loaded into an empty database is the same database, byte for byte', async () => {
  const sizes = fc.array(fc.constantFrom(0, 100, 40_000, 300_000), { minLength: 1, maxLength: 30 })
  await fc.assert(
    fc.asyncProperty(sizes, async (drawn) => {
      const host = new SnapshotHost()
      const data = drawn.map((bytes, i) => valueRecord(`k${String(i).padStart(4, '0')}`, bytes, i))
      const image = await host.image('from', records(data))
      const manifest = await host.run(image.manifest())
      const database = await host.run(host.databases.open('to'))
      await host.run(loadImage(manifest, (chunk) => image.readChunk(chunk.firstKey), database))
      assert.deepEqual(host.dump('to'), host.dump('from'))
      const again = await host.run(new Image(database.snapshot(), CLUSTER).manifest())
      assert.deepEqual(again, manifest)
    }),
    { numRuns: 15 },
  )
})

test('the manifest says which state it is', async () => {
  const host = new SnapshotHost()
  const image = await host.image('from', records(values(3, 10)))
  assert.deepEqual([image.index, image.term], [9, 2])
  const { clusterId, index, term, conf, digest, sessions, entries } = await host.run(
    image.manifest(),
  )
  assert.deepEqual(
    [clusterId, index, term, digest, sessions, entries],
    [CLUSTER, 9, 2, STATE.digest, 1, 6],
  )
  assert.deepEqual(conf, STATE.conf)
})

test('two databases of the same content have the same manifest, however they were written', async () => {
  const host = new SnapshotHost()
  const content = records(values(60, 50_000))
  const one = await host.image('one', content)
  const two = new Image((await host.filled('two', content.toReversed(), 11)).snapshot(), CLUSTER)
  assert.deepEqual(await host.run(two.manifest()), await host.run(one.manifest()))
})

test('each chunk of the manifest can be made again from its first key, and no other begins there', async () => {
  const host = new SnapshotHost()
  const image = await host.image('from', records(values(80, 60_000)))
  const { chunks } = await host.run(image.manifest())
  assert.ok(chunks.length > 3)
  for (const chunk of chunks.toReversed()) {
    assert.deepEqual(describeChunk(await host.run(image.readChunk(chunk.firstKey))), chunk)
  }
  await assert.rejects(host.run(image.readChunk(Buffer.from('nowhere'))), CORRUPTION)
})

test('an image stays as it was while the database goes on', async () => {
  const host = new SnapshotHost()
  const content = records(values(40, 60_000))
  const database = await host.filled('from', content)
  const image = new Image(database.snapshot(), CLUSTER)
  const before = await host.run(image.manifest())
  const batch = database.batch()
  for (const [key] of content.slice(2)) batch.del(key)
  await host.run(batch.write())
  const [chunk] = before.chunks
  assert.deepEqual(describeChunk(await host.run(image.readChunk(chunk!.firstKey))), chunk)
})

test('one changed value changes one chunk', async () => {
  const host = new SnapshotHost()
  const data = values(400, 20_000)
  const changed = data.map((record, i) => (i === 200 ? valueRecord('k0200', 20_000, 252) : record))
  const before = await host.run((await host.image('before', records(data))).manifest())
  const after = await host.run((await host.image('after', records(changed))).manifest())
  const known = new Set(before.chunks.map(({ hash }) => hash))
  assert.ok(before.chunks.length > 5)
  assert.equal(after.chunks.filter(({ hash }) => !known.has(hash)).length, 1)
  assert.notEqual(after.root, before.root)
})

test('a value that fails its checksum gets no manifest', async () => {
  const host = new SnapshotHost()
  const [key, stored] = valueRecord('k', 100)
  stored[50]! ^= 1
  const image = await host.image('from', records([[key, stored]]))
  await assert.rejects(host.run(image.manifest()), { ...CORRUPTION, message: /0x6b/ })
})

test('an image of nothing is not ready; one without members is damaged', async () => {
  const host = new SnapshotHost()
  await assert.rejects(host.image('empty', []), { code: 'QUORATE_NOT_READY' })
  const [state] = records([])
  await assert.rejects(host.image('no members', [state!]), CORRUPTION)
})

test('an aborted manifest is forgotten, and a closed image ends what is under way', async () => {
  const host = new SnapshotHost()
  const image = await host.image('from', records(values(60, 50_000)))
  const aborted = image.manifest(AbortSignal.abort())
  await assert.rejects(host.run(aborted), { code: 'QUORATE_ABORTED' })
  await host.run(image.manifest())
  const reading = assert.rejects(host.run(image.scan(() => {})), { code: 'QUORATE_NOT_OPEN' })
  await host.run(image.close())
  await reading
  await assert.rejects(host.run(image.readChunk(Buffer.of(0))), { code: 'QUORATE_NOT_OPEN' })
})

test('a session table missing from the snapshot is found (trap T-67)', async () => {
  const content = records(values(3, 10))
  await load(content)
  await assert.rejects(load(content.slice(0, -1)), {
    ...CORRUPTION,
    message: /0 sessions.*counts 1/,
  })
})

test('records that the manifest does not speak of are refused', async () => {
  const [, members, ...others] = records(values(3, 10))
  await assert.rejects(load([members!, ...others]), CORRUPTION)
  const [state] = records([], { appliedIndex: 10 })
  await assert.rejects(load([state!, members!, ...others]), { message: /state record/ })
  const [ours] = records([])
  await assert.rejects(load([ours!, ...others]), CORRUPTION)
  const [otherConf] = records([], { conf: { ...STATE.conf, learners: [] } })
  await assert.rejects(load([otherConf!, members!, ...others]), { message: /state record/ })
})

test('a manifest that was altered after it was sealed is refused', async () => {
  await assert.rejects(
    load(records([]), (manifest) => ({ ...manifest, clusterId: 'ffffffffffffffff' })),
    CORRUPTION,
  )
})

test('a chunk that is damaged, in the wrong place or of another image is refused', async () => {
  const host = new SnapshotHost()
  const image = await host.image('from', records(values(60, 50_000)))
  const manifest = await host.run(image.manifest())
  const { chunks } = manifest
  const [first, second] = chunks
  const open = (dir: string) => host.run(host.databases.open(dir))
  const refused = async (
    altered: ImageManifest,
    dir: string,
    read: (firstKey: Uint8Array) => Promise<Buffer>,
  ) => {
    const database = await open(dir)
    await assert.rejects(
      host.run(loadImage(altered, (chunk) => read(chunk.firstKey), database)),
      CORRUPTION,
    )
  }
  await refused(manifest, 'flipped', async (firstKey) => {
    const bytes = await image.readChunk(firstKey)
    // In the last value of each chunk of data: the structure stays as it was.
    if (firstKey[0] === DATA_PREFIX) bytes[bytes.length - 1]! ^= 1
    return bytes
  })
  await refused(manifest, 'other', () => image.readChunk(first!.firstKey))
  const renamed = [{ ...first!, firstKey: Buffer.of(0, 0) }, ...chunks.slice(1)]
  await refused(sealManifest(manifest, renamed), 'renamed', (key) =>
    image.readChunk(key.length === 2 ? first!.firstKey : key),
  )
  const swapped = [second!, first!, ...chunks.slice(2)]
  await refused(sealManifest(manifest, swapped), 'swapped', (key) => image.readChunk(key))
})

test('an image is not loaded over other records: old keys would stay', async () => {
  const host = new SnapshotHost()
  const image = await host.image('from', records(values(3, 10)))
  const manifest = await host.run(image.manifest())
  const database = await host.filled('to', [valueRecord('old', 10)])
  await assert.rejects(
    host.run(loadImage(manifest, (chunk) => image.readChunk(chunk.firstKey), database)),
    TypeError,
  )
})

test('a load that did not reach the disk says so', async () => {
  const host = new SnapshotHost()
  const image = await host.image('from', records(values(3, 10)))
  const manifest = await host.run(image.manifest())
  const database = await host.run(host.databases.open('to'))
  host.databases.failNextFlush()
  await assert.rejects(
    host.run(loadImage(manifest, (chunk) => image.readChunk(chunk.firstKey), database)),
    { code: 'QUORATE_NO_SPACE', retryable: true },
  )
})
