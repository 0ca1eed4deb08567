import assert from 'node:assert/strict'
import { test } from 'node:test'
import { powerCuts } from '../../src/sim/power-cuts.js'
import {
  type BackupResult,
  openBackup,
  verifyBackup,
  writeBackup,
} from '../../src/snapshot/backup.js'
import type { ChunkVisitor, Image } from '../../src/snapshot/image.js'
import { loadImage } from '../../src/snapshot/load-image.js'
import { sealManifest } from '../../src/wire/image.js'
import { ChunkWriter, describeChunk } from '../../src/wire/image-chunk.js'
import { records, SnapshotHost, STATE, valueRecord, values } from './snapshot-fixture.js'

const CORRUPTION = { code: 'QUORATE_CORRUPTION' }
const NOT_EMPTY = { code: 'QUORATE_NOT_EMPTY' }

/** Some chunks of state. */
const DATA = values(60, 60_000)
/** The same with one value changed. */
const LATER = DATA.map((record, i) => (i === 30 ? valueRecord('k0030', 60_000, 252) : record))

async function source(host: SnapshotHost, data = DATA, dir = 'db'): Promise<Image> {
  return host.image(dir, records(data))
}

/** Of the power cuts so many are opened; coprime to the drawn images per boundary. */
const EVERY = 5

/** A backup of DATA in `one`, on a host of its own. */
async function backedUp(seed = 1): Promise<SnapshotHost> {
  const host = new SnapshotHost(seed)
  await host.run(writeBackup(host.disk, await source(host), 'one', {}))
  return host
}

function verify(host: SnapshotHost, dir: string): Promise<unknown> {
  return host.run(verifyBackup(host.disk, dir, {}))
}

test('what a backup holds is, loaded, the same database byte for byte', async () => {
  const host = new SnapshotHost()
  const shown: number[] = []
  const onProgress = ({ bytes }: { bytes: number }) => shown.push(bytes)
  const image = await source(host)
  const result = await host.run(writeBackup(host.disk, image, 'deep/one', { onProgress }))
  const { manifest, chunks } = await host.run(openBackup(host.disk, 'deep/one'))
  assert.deepEqual(result, {
    index: 9,
    bytes: manifest.bytes,
    chunksWritten: manifest.chunks.length,
    chunksShared: 0,
  } satisfies BackupResult)
  assert.deepEqual([shown.length, shown.at(-1)], [manifest.chunks.length, manifest.bytes])
  const database = await host.run(host.databases.open('restored'))
  await host.run(loadImage(manifest, (chunk) => chunks.read(chunk), database))
  assert.deepEqual(host.dump('restored'), host.dump('db'))
  assert.deepEqual(await verify(host, 'deep/one'), { manifest, largeValues: 0 })
})

test('an incremental backup writes what has changed, and is complete without the earlier one', async () => {
  const host = await backedUp()
  const later = await source(host, LATER, 'later')
  const result = await host.run(writeBackup(host.disk, later, 'two', { since: 'one' }))
  assert.equal(result.chunksWritten, 1)
  assert.ok(result.chunksShared >= 2)
  await host.run(host.disk.removeDir('one'))
  await verify(host, 'two')
})

test('a chunk that rotted in the earlier backup is not shared with it', async () => {
  const host = await backedUp()
  const [path] = host.disk.paths('one/chunks')
  host.disk.corrupt(path!, 50, 8)
  const result = await host.run(
    writeBackup(host.disk, await source(host, DATA, 'again'), 'two', { since: 'one' }),
  )
  assert.equal(result.chunksWritten, 1)
  await verify(host, 'two')
  await assert.rejects(verify(host, 'one'), CORRUPTION)
})

test('where files cannot have two names, chunks are written again', async () => {
  const host = await backedUp()
  host.disk.failNext('link', 'EXDEV', 'one')
  const again = await source(host, DATA, 'again')
  const result = await host.run(writeBackup(host.disk, again, 'two', { since: 'one' }))
  assert.equal(result.chunksWritten, 1)
  await verify(host, 'two')
})

test('an aborted backup is none; the next attempt goes on with it', async () => {
  const host = new SnapshotHost()
  const controller = new AbortController()
  const onProgress = () => controller.abort()
  const { signal } = controller
  const aborted = writeBackup(host.disk, await source(host), 'one', { signal, onProgress })
  await assert.rejects(host.run(aborted), { code: 'QUORATE_ABORTED', name: 'AbortError' })
  await assert.rejects(verify(host, 'one'), /no backup/)
  const again = await source(host, LATER, 'later')
  const result = await host.run(writeBackup(host.disk, again, 'one', {}))
  assert.equal(result.chunksShared, 1)
  await verify(host, 'one')
})

test('a backup whose disk fails, fails with what the disk said, and can be made again', async () => {
  const host = new SnapshotHost()
  const image = await source(host)
  for (const operation of ['write', 'sync', 'rename', 'syncDir'] as const) {
    host.disk.failNext(operation, 'ENOSPC', 'one/chunks')
    const failed = writeBackup(host.disk, image, 'one', {})
    await assert.rejects(host.run(failed), { code: 'ENOSPC' }, operation)
    await assert.rejects(verify(host, 'one'), /no backup/)
  }
  await host.run(writeBackup(host.disk, image, 'one', {}))
  await verify(host, 'one')
})

test('what an ended attempt left of an older state does not stay in the backup', async () => {
  const host = new SnapshotHost()
  const controller = new AbortController()
  const onProgress = ({ chunks }: { chunks: number }) => chunks === 3 && controller.abort()
  const { signal } = controller
  const aborted = writeBackup(host.disk, await source(host), 'one', { signal, onProgress })
  await assert.rejects(host.run(aborted))
  const other = await source(host, values(20, 60_001), 'other')
  await host.run(writeBackup(host.disk, other, 'one', {}))
  const { manifest } = await host.run(openBackup(host.disk, 'one'))
  assert.equal(host.disk.paths('one/chunks').length, manifest.chunks.length)
})

test('a backup is written only where there is nothing else', async () => {
  const host = await backedUp()
  const again = await source(host, DATA, 'again')
  const write = (dest: string) => host.run(writeBackup(host.disk, again, dest, {}))
  await assert.rejects(write('one'), { ...NOT_EMPTY, message: /holds a backup already/ })
  const file = await host.run(host.disk.open('one/chunks/notes', 'create'))
  await host.run(file.close())
  await assert.rejects(write('one/chunks'), NOT_EMPTY)
  const since = writeBackup(host.disk, again, 'two', { since: 'one/chunks' })
  await assert.rejects(host.run(since), CORRUPTION)
  assert.equal(await host.run(host.disk.list('two')), undefined)
})

test('verify finds every damaged, cut and missing file', async () => {
  const paths = (await backedUp()).disk.allPaths.filter((path) => path.startsWith('one/'))
  assert.ok(paths.length > 3)
  for (const path of paths) {
    const flipped = await backedUp()
    const { length } = flipped.disk.bytesOf(path)
    flipped.disk.corrupt(path, length >> 1, 1)
    await assert.rejects(verify(flipped, 'one'), CORRUPTION, path)
    const cut = await backedUp()
    const file = await cut.run(cut.disk.open(path, 'write'))
    await cut.run(file.truncate(length - 1))
    await assert.rejects(verify(cut, 'one'), CORRUPTION, path)
    const missing = await backedUp()
    await missing.run(missing.disk.remove(path))
    await assert.rejects(verify(missing, 'one'), CORRUPTION, path)
  }
})

test('verify finds a value that was damaged before it was backed up', async () => {
  const host = new SnapshotHost()
  const [key, stored] = valueRecord('k', 100)
  stored[50]! ^= 1
  const writer = new ChunkWriter()
  for (const record of records([[key, stored]])) writer.add(...record)
  const bytes = Buffer.from(writer.take())
  const { conf, digest, sessions } = STATE
  const unchecked = {
    scan: async (visit: ChunkVisitor) => {
      const chunk = describeChunk(bytes)
      await visit(chunk, () => bytes)
      const header = { clusterId: '0102030405060708', index: 9, term: 2, conf, digest, sessions }
      return sealManifest({ ...header, members: Buffer.from('the members') }, [chunk])
    },
  }
  await host.run(writeBackup(host.disk, unchecked, 'one', {}))
  await assert.rejects(verify(host, 'one'), { ...CORRUPTION, message: /0x6b/ })
})

test('after a power cut at any boundary there is a whole backup or none, and the next attempt makes one', async () => {
  const host = await backedUp()
  const later = await source(host, LATER, 'later')
  let isDone = false
  const writing = writeBackup(host.disk, later, 'two', { since: 'one' }).then(() => {
    isDone = true
  })
  let [drawn, whole, none] = [0, 0, 0]
  for await (const cut of powerCuts(
    host.world,
    host.disk,
    () => isDone,
    () => isDone,
  )) {
    if (drawn++ % EVERY !== 0) continue
    const after = new SnapshotHost(cut.boundary)
    after.disk.restore(cut.image)
    const names = (await after.run(after.disk.list('two'))) ?? []
    if (names.includes('manifest')) whole++
    else {
      none++
      assert.ok(!cut.seen, 'a backup that was reported is gone')
      const again = await source(after, LATER, 'later')
      await after.run(writeBackup(after.disk, again, 'two', { since: 'one' }))
    }
    await verify(after, 'two')
    await verify(after, 'one')
  }
  await writing
  assert.ok(whole > 0 && none > 10, `${whole} whole, ${none} none`)
})
