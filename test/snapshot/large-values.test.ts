/** Large values in backups: what an image lists, whose bytes somebody brings. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import { StoreError } from '../../src/base/errors.js'
import { CODED_RECORD, codedKey } from '../../src/machine/coded-keys.js'
import { DATA_PREFIX, prefixed } from '../../src/machine/key-space.js'
import { makeStoredValue } from '../../src/machine/stored-value.js'
import {
  type BackupOptions,
  type BackupResult,
  openBackup,
  verifyBackup,
  writeBackup,
} from '../../src/snapshot/backup.js'
import { chunkOf, type LargeRange, largeValuesOf } from '../../src/snapshot/large-values.js'
import { decodeManifest, encodeManifest, partDigest } from '../../src/wire/manifest.js'
import { manifestOf } from '../wire/manifest-fixture.js'
import { type DbRecord, records, SnapshotHost, valueRecord, values } from './snapshot-fixture.js'

const CORRUPTION = 'QUORATE_CORRUPTION'

/** Large values by key, as their parts. */
type Large = Readonly<Record<string, readonly string[]>>

const LARGE: Large = { a: ['one', 'two'], k0030x: ['three'], 'k0059\xff': [], z: ['one', 'four'] }

/** Records of large values, and what lists them; `stale` keys are listed without need. */
function largeRecords(large: Large, stale: readonly string[] = []): DbRecord[] {
  const coded = Object.entries(large).map(([name, parts]): DbRecord => {
    const key = Buffer.from(name, 'latin1')
    const manifest = manifestOf({ parts: parts.map(({ length }) => ({ bytes: length })) })
    const right = manifest.parts.map((part, i) => {
      return { ...part, digest: partDigest(Buffer.from(parts[i]!)) }
    })
    const value = encodeManifest({ ...manifest, parts: right })
    const put = { value, checksum: crc32(value, crc32(key)), coded: true } as const
    return [prefixed(DATA_PREFIX, key), makeStoredValue(put, 5).stored]
  })
  const listed = [...Object.keys(large), ...stale].map((name): DbRecord => {
    return [codedKey(Buffer.from(name, 'latin1')), CODED_RECORD]
  })
  return [...coded, ...listed]
}

/** A host, and how its backups are made. */
class Lab {
  readonly host = new SnapshotHost()
  /** What was asked for, as `key part`. */
  fetched: string[] = []
  #dirs = 0

  /** Backs up a state with `large` among much other data; two bytes are brought at a time. */
  async backup(dest: string, large: Large, options: BackupOptions = {}): Promise<BackupResult> {
    const content = records([...values(60, 60_000), ...largeRecords(large, ['k0001', 'none'])])
    const image = await this.host.image(`db${this.#dirs++}`, content)
    const source = { scan: image.scan.bind(image), fetch: this.#fetcher(large) }
    return this.host.run(writeBackup(this.host.disk, source, dest, options))
  }

  verify(dir: string): Promise<unknown> {
    return this.host.run(verifyBackup(this.host.disk, dir, {}))
  }

  /** The parts in the backup, in the order of the values. */
  async parts(dir: string): Promise<string[]> {
    const { manifest, chunks, values: large } = await this.host.run(openBackup(this.host.disk, dir))
    const found: string[] = []
    const walk = async (): Promise<void> => {
      for await (const value of largeValuesOf(manifest, (chunk) => chunks.read(chunk))) {
        const parts = value.manifest.parts.map((part) => large.read(chunkOf(part)))
        const key = value.key.toString('latin1')
        found.push(`${key}: ${(await Promise.all(parts)).join(' ')}`)
      }
    }
    await this.host.run(walk())
    return found
  }

  #fetcher(large: Large) {
    return async ({ key, manifest, start, end }: LargeRange): Promise<Buffer> => {
      const { parts, bytes } = decodeManifest(manifest)
      const name = Buffer.from(key).toString('latin1')
      assert.ok(end <= bytes)
      const digest = Buffer.from(parts[0]!.digest)
      const data = large[name]!.find((each) => partDigest(Buffer.from(each)).equals(digest))!
      if (start === 0) this.fetched.push(`${name} ${data}`)
      return Buffer.from(data).subarray(start, Math.min(end, start + 2))
    }
  }
}

test('a backup has the bytes of every large value, once each, whatever is listed besides', async () => {
  const lab = new Lab()
  const result = await lab.backup('one', LARGE)
  assert.deepEqual(await lab.parts('one'), [
    'a: one two',
    'k0030x: three',
    'k0059\xff: ',
    'z: one four',
  ])
  assert.deepEqual(lab.fetched, ['a one', 'a two', 'k0030x three', 'z four'])
  const proven = (await lab.verify('one')) as { largeValues: number }
  assert.equal(proven.largeValues, 4)
  const paths = lab.host.disk.paths('one/values')
  assert.deepEqual(
    [paths.length, result.chunksWritten],
    [4, lab.host.disk.paths('one/chunks').length + 4],
  )
})

test('a state without large values is backed up as ever, also where there were some in an attempt before', async () => {
  const lab = new Lab()
  const controller = new AbortController()
  const { signal } = controller
  const onProgress = () => lab.fetched.length > 1 && controller.abort()
  await assert.rejects(lab.backup('one', LARGE, { signal, onProgress }), {
    code: 'QUORATE_ABORTED',
  })
  assert.ok(lab.host.disk.paths('one/values').length > 0)
  await lab.backup('one', {})
  assert.deepEqual(lab.host.disk.paths('one/values'), [])
  await lab.verify('one')
})

test('an incremental backup fetches what is new, and is complete without the earlier one', async () => {
  const lab = new Lab()
  await lab.backup('one', LARGE)
  lab.fetched = []
  await lab.backup('two', { ...LARGE, a: ['one', 'five'] }, { since: 'one' })
  assert.deepEqual(lab.fetched, ['a five'])
  await lab.host.run(lab.host.disk.removeDir('one'))
  await lab.verify('two')
  assert.equal((await lab.parts('two'))[0], 'a: one five')
})

test('a part that is missing, cut or damaged is found, and its key named', async () => {
  for (const harm of ['remove', 'flip'] as const) {
    const lab = new Lab()
    await lab.backup('one', LARGE)
    const { hash, bytes } = chunkOf({
      ...manifestOf().parts[0]!,
      bytes: 5,
      digest: partDigest(Buffer.from('three')),
    })
    const path = `one/values/${hash}-${bytes}`
    if (harm === 'remove') await lab.host.run(lab.host.disk.remove(path))
    else lab.host.disk.corrupt(path, 1, 1)
    const message = new RegExp(`${Buffer.from('k0030x').toString('hex')}.*${hash}`)
    await assert.rejects(lab.verify('one'), { code: CORRUPTION, message })
  }
})

test('bytes that nobody brings, or that are others, make no backup', async () => {
  const lab = new Lab()
  const content = records(largeRecords({ a: ['one'] }))
  const image = await lab.host.image('db', content)
  const scan = image.scan.bind(image)
  const refusal = new StoreError('QUORATE_BLOB_UNREADABLE', 'b and c are down')
  const refusing = (): Promise<Buffer> => Promise.reject(refusal)
  const wrong = async (): Promise<Buffer> => Buffer.from('two')
  const none = async (): Promise<Buffer> => Buffer.alloc(0)
  const sources = [
    [{ scan }, 'QUORATE_BLOB_UNREADABLE'],
    [{ scan, fetch: refusing }, 'QUORATE_BLOB_UNREADABLE'],
    [{ scan, fetch: none }, 'QUORATE_BLOB_UNREADABLE'],
    [{ scan, fetch: wrong }, CORRUPTION],
  ] as const
  for (const [source, code] of sources) {
    const writing = writeBackup(lab.host.disk, source, 'one', {})
    await assert.rejects(lab.host.run(writing), { code })
    await assert.rejects(lab.verify('one'), /no backup/)
  }
})

test('a source hears when nothing more is asked of it, also after a failure', async () => {
  const lab = new Lab()
  const image = await lab.host.image(
    'db',
    records([valueRecord('a', 5), ...largeRecords({ b: ['x'] })]),
  )
  let ended = 0
  const source = {
    scan: image.scan.bind(image),
    end: async () => {
      ended++
    },
  }
  const writing = writeBackup(lab.host.disk, source, 'one', {})
  await assert.rejects(lab.host.run(writing), { code: 'QUORATE_BLOB_UNREADABLE' })
  assert.equal(ended, 1)
})
