import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DiskFile } from '../../src/env/disk.js'
import { type PowerCutMode, SimDisk, type SimDiskOptions } from '../../src/sim/sim-disk.js'
import { SimWorld } from '../../src/sim/world.js'
import { type DiskFixture, diskContract } from '../contract/disk.js'

interface SimFixture extends DiskFixture {
  readonly disk: SimDisk
  readonly world: SimWorld
}

async function simFixture(seed: number, options: SimDiskOptions): Promise<SimFixture> {
  const world = new SimWorld(seed)
  const disk = new SimDisk(world, 'host', options)
  const run = <T>(promise: Promise<T>) => world.complete(promise, 60_000)
  await run(disk.makeDir('dir'))
  return { disk, world, dir: 'dir', run, close: async () => {} }
}

diskContract('SimDisk', () => simFixture(1, {}))

async function fileWith(f: SimFixture, path: string, durable: string): Promise<DiskFile> {
  const file = await f.run(f.disk.open(path, 'create'))
  await f.run(file.writeDurable([Buffer.from(durable)], 0))
  await f.run(f.disk.syncDir(f.dir))
  return file
}

async function contentOf(f: SimFixture, path: string): Promise<string> {
  const file = await f.run(f.disk.open(path, 'read'))
  const bytes = Buffer.alloc(await f.run(file.size()))
  await f.run(file.read(bytes, 0))
  return bytes.toString()
}

/** What different draws of a power cut leave of a file, each once. */
function survivorsOf(f: SimFixture, path: string, mode: PowerCutMode): Set<string | undefined> {
  const found = new Set<string | undefined>()
  for (let salt = 0; salt < 64; salt++) {
    found.add(f.disk.image(mode, salt).files.get(path)?.toString('latin1'))
  }
  return found
}

test('synced bytes survive a power cut, unsynced ones only as far as its mode says', async () => {
  const f = await simFixture(1, {})
  const file = await fileWith(f, 'dir/a', '....')
  await f.run(file.write([Buffer.from('1')], 0))
  await f.run(file.write([Buffer.from('2')], 1))
  assert.deepEqual(survivorsOf(f, 'dir/a', 'none'), new Set(['....']))
  assert.deepEqual(survivorsOf(f, 'dir/a', 'prefix'), new Set(['....', '1...', '12..']))
  assert.deepEqual(survivorsOf(f, 'dir/a', 'arbitrary'), new Set(['....', '1...', '.2..', '12..']))
  await f.run(file.sync())
  assert.deepEqual(survivorsOf(f, 'dir/a', 'arbitrary'), new Set(['12..']))
})

test('writeDurable keeps its own bytes and not those written before it', async () => {
  const f = await simFixture(1, {})
  const file = await fileWith(f, 'dir/a', '....')
  await f.run(file.write([Buffer.from('1')], 0))
  await f.run(file.writeDurable([Buffer.from('2')], 1))
  assert.deepEqual(survivorsOf(f, 'dir/a', 'none'), new Set(['.2..']))
  assert.equal(await contentOf(f, 'dir/a'), '12..')
})

test('a torn write ends between sectors, with old bytes, zeros or garbage behind', async () => {
  const f = await simFixture(1, {})
  const file = await fileWith(f, 'dir/a', '.'.repeat(1_024))
  await f.run(file.write([Buffer.alloc(1_024, 'n')], 0))
  const kinds = new Set<string>()
  for (const content of survivorsOf(f, 'dir/a', 'torn')) {
    const first = content!.slice(0, 512)
    const second = content!.slice(512)
    const kind = /^\.+$/.test(second) ? 'old' : /^\0+$/.test(second) ? 'zero' : 'other'
    kinds.add(/^n+$/.test(first) ? `new, ${kind}` : 'not even the first sector')
  }
  assert.deepEqual([...kinds].sort(), [
    'new, old',
    'new, other',
    'new, zero',
    'not even the first sector',
  ])
})

test('names survive once their folder is synced', async () => {
  const f = await simFixture(1, {})
  await fileWith(f, 'dir/a', 'a')
  await f.run(f.disk.open('dir/b', 'create'))
  await f.run(f.disk.rename('dir/a', 'dir/c'))
  const names = (mode: PowerCutMode, salt: number) =>
    [...f.disk.image(mode, salt).files.keys()].sort().join()
  assert.equal(names('none', 0), 'dir/a')
  const all = new Set(Array.from({ length: 64 }, (_, salt) => names('arbitrary', salt)))
  assert.deepEqual(all, new Set(['dir/a', 'dir/a,dir/b', 'dir/c', 'dir/b,dir/c']))
  await f.run(f.disk.syncDir('dir'))
  assert.equal(names('none', 0), 'dir/b,dir/c')
})

test('after a failed sync the bytes may be lost although a later sync succeeds', async () => {
  const f = await simFixture(1, {})
  const file = await fileWith(f, 'dir/a', '..')
  await f.run(file.write([Buffer.from('1')], 0))
  f.disk.failNext('sync', 'EIO', 'dir/a')
  await assert.rejects(f.run(file.sync()), { code: 'EIO' })
  await f.run(file.write([Buffer.from('2')], 1))
  await f.run(file.sync())
  assert.equal(await contentOf(f, 'dir/a'), '12')
  assert.deepEqual(survivorsOf(f, 'dir/a', 'prefix'), new Set(['.2', '12']))
})

test('a full disk takes what fits and says ENOSPC', async () => {
  const f = await simFixture(1, { capacityBytes: 10 })
  const file = await fileWith(f, 'dir/a', 'four')
  await assert.rejects(f.run(file.write([Buffer.from('seven..')], 4)), { code: 'ENOSPC' })
  assert.ok((await f.run(file.size())) <= 10)
  await f.run(f.disk.remove('dir/a'))
  assert.equal(await f.run(f.disk.freeBytes('dir')), 10)
})

test('a failed operation fails once and only for its path', async () => {
  const f = await simFixture(1, {})
  f.disk.failNext('rename', 'EIO', 'b')
  await fileWith(f, 'dir/a', '')
  await fileWith(f, 'dir/b', '')
  await f.run(f.disk.rename('dir/a', 'dir/c'))
  await assert.rejects(f.run(f.disk.rename('dir/b', 'dir/d')), { code: 'EIO' })
  await f.run(f.disk.rename('dir/b', 'dir/d'))
})

test('a kill keeps written bytes, which a later power cut may still take', async () => {
  const f = await simFixture(1, {})
  const file = await fileWith(f, 'dir/a', '.')
  await f.run(file.write([Buffer.from('1')], 0))
  f.disk.kill()
  assert.equal(await contentOf(f, 'dir/a'), '1')
  f.disk.powerCut('none')
  assert.equal(await contentOf(f, 'dir/a'), '.')
})

test('of a dead process no call completes, also none made later, and its locks are free', async () => {
  for (const die of ['kill', 'powerCut'] as const) {
    const f = await simFixture(1, {})
    const file = await fileWith(f, 'dir/a', '.')
    await f.run(f.disk.lock('dir/lock'))
    let settled = false
    const mark = () => {
      settled = true
    }
    file.write([Buffer.from('1')], 0).then(mark, mark)
    if (die === 'kill') f.disk.kill()
    else f.disk.powerCut('none')
    file.sync().then(mark, mark)
    await f.world.advance(1_000)
    assert.equal(settled, false)
    await f.run(f.disk.lock('dir/lock'))
  }
})

test('what a dead process still calls on its mounted disk does nothing', async () => {
  const f = await simFixture(1, {})
  const mounted = f.disk.mount()
  await f.run(mounted.makeDir('dir/alive'))
  f.disk.kill()
  let settled = false
  const mark = () => {
    settled = true
  }
  mounted.makeDir('dir/dead').then(mark, mark)
  await f.world.advance(1_000)
  assert.equal(settled, false)
  assert.deepEqual(await f.run(f.disk.list('dir')), ['alive'])
})

test('the same seed gives the same survivors', async () => {
  const survivors = async () => {
    const f = await simFixture(42, {})
    const file = await fileWith(f, 'dir/a', '.'.repeat(9_000))
    for (let i = 0; i < 5; i++) await f.run(file.write([Buffer.alloc(700, 65 + i)], i * 1_500))
    f.disk.powerCut('torn')
    return contentOf(f, 'dir/a')
  }
  assert.equal(await survivors(), await survivors())
})
