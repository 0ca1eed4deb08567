import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { StoredShard } from '../../src/blob/shard-index.js'
import { ShardScrub } from '../../src/blob/shard-scrub.js'
import { SegmentFiles } from '../../src/blob/shard-segment.js'
import { SimTime } from '../../src/sim/sim-time.js'
import { checksum } from '../../src/wire/checksum.js'
import { openPiece, type Shard, type ShardPiece, sealShard } from '../../src/wire/shard.js'
import { SHARD_SEGMENT_VERSION } from '../../src/wire/shard-segment.js'
import { DIR, isSystem, nameOf, ShardHost, shard } from './shard-fixture.js'

/** The position of a shard's body in the one file that holds it. */
function placeOf(host: ShardHost, { body }: Shard): { path: string; position: number } {
  for (const path of host.files) {
    const position = host.disk.bytesOf(path).indexOf(body)
    if (position !== -1) return { path, position }
  }
  throw new Error('the shard is in no file')
}

function rot(host: ShardHost, which: Shard): void {
  const { path, position } = placeOf(host, which)
  host.disk.corrupt(path, position + 3, 4)
}

function names(host: ShardHost): number[] {
  return [...host.store.shards()].map(({ id }) => id.seq).sort((a, b) => a - b)
}

function shards(from: number, to: number, bytes: number): Shard[] {
  return Array.from({ length: to - from + 1 }, (_, i) => shard(from + i, bytes))
}

test('a member without shards has no folder for them', async () => {
  const host = await ShardHost.start({})
  assert.deepEqual(host.disk.allDirs, [])
  assert.deepEqual(host.store.status(), {
    shards: 0,
    bytes: 0,
    deadBytes: 0,
    segments: 0,
    quarantined: 0,
  })
})

test('a shard is found by its name, with what its head says, and read in any range of blocks', async () => {
  const host = await ShardHost.start({})
  const mine = shard(1, 1_300, 4, 2)
  await host.append(mine, shard(1, 1_300, 4, 0), shard(1, 900, 1, 2), shard(2, 1_300, 4, 2))
  const found = host.store.find(mine.head)
  assert.ok(found)
  assert.deepEqual(
    [found.part, found.index, found.dataShards, found.partBytes, found.unit, found.bytes],
    [4, 2, 2, 2_600, 512, mine.layout.bytes],
  )
  assert.deepEqual([found.key, found.clusterId], [mine.head.key, mine.head.clusterId])
  assert.deepEqual(
    host.store.ofBlob(mine.head.id).map((each) => `${each.part}/${each.index}`),
    ['1/2', '4/0', '4/2'],
  )
  assert.equal(host.store.find({ ...mine.head, index: 1 }), undefined)
  for (const [from, to] of [
    [0, 3],
    [1, 2],
    [2, 3],
  ] as const) {
    const piece: ShardPiece | undefined = await host.run(host.store.read(found, from, to))
    assert.ok(piece)
    assert.ok(openPiece(piece).digest.equals(mine.digest))
    assert.deepEqual(piece.blocks, mine.body.subarray(512 * from, 512 * to))
  }
  for (const [from, to] of [
    [0, 4],
    [2, 2],
    [-1, 1],
  ] as const) {
    assert.throws(() => host.store.read(found, from, to), RangeError)
  }
})

test('a shard that is there already is not written again; another one of its name is refused (I4)', async () => {
  const host = await ShardHost.start({})
  const first = shard(1, 700)
  const under = [host.store.append(first), host.store.append(shard(1, 700))]
  await host.run(Promise.all(under))
  const bytes = host.disk.usedBytes
  await host.append(first)
  assert.equal(host.disk.usedBytes, bytes)
  const otherBody = sealShard(first.head, Buffer.alloc(700))
  const otherKey = sealShard({ ...first.head, part: 9, key: Buffer.from('k') }, first.body)
  const otherCode = sealShard(
    { ...first.head, index: 9, dataShards: 4, partBytes: 2_800 },
    first.body,
  )
  for (const other of [otherBody, otherKey, otherCode]) {
    await assert.rejects(host.append(other), { code: 'QUORATE_CORRUPTION' })
  }
  const both = [shard(2, 700), sealShard(shard(2, 700).head, Buffer.alloc(700))]
  const results = await host.run(Promise.allSettled(both.map((each) => host.store.append(each))))
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected'],
  )
  assert.deepEqual(names(host), [1, 2])
})

test('what is appended while a write is under way shares the next one', async () => {
  const host = await ShardHost.start({ segmentBytes: 1_000_000, groupBytes: 1_000_000 })
  await host.append(shard(0, 100))
  let boundaries = 0
  host.disk.onBoundary = () => {
    boundaries++
  }
  await host.append(...shards(1, 20, 700))
  // Each write begins and ends.
  assert.equal(boundaries, 2)
})

test('more than may wait is refused, and nothing else', async () => {
  const host = await ShardHost.start({ queueBytes: 10_000 })
  const appends = shards(1, 20, 1_000).map((each) => host.store.append(each))
  const results = await host.run(Promise.allSettled(appends))
  const refused = results.filter(({ status }) => status === 'rejected')
  assert.ok(refused.length >= 5 && refused.length <= 15, `${refused.length} refused`)
  for (const { reason } of refused as PromiseRejectedResult[]) {
    assert.deepEqual([reason.code, reason.retryable], ['QUORATE_OVERLOADED', true])
  }
  assert.equal(host.store.status().shards, 20 - refused.length)
  await host.append(...shards(1, 5, 1_000))
  await host.append(shard(99, 20_000))
})

test('a sealed segment is opened by its table alone', async () => {
  const host = await ShardHost.start({ segmentBytes: 4_096 })
  for (const each of shards(1, 10, 1_000)) await host.append(each)
  host.store.forget(shard(10, 1_000).head)
  host.disk.powerCut('none')
  const { files, dirs } = host.disk.image('none', 0)
  for (const [path, bytes] of [...files].slice(0, -1)) {
    const blank = Buffer.from(bytes)
    for (const each of shards(1, 10, 1_000)) {
      const at = blank.indexOf(each.body)
      if (at !== -1) blank.fill(0, at, at + each.body.length)
    }
    const other = new ShardHost(1, { segmentBytes: 4_096 })
    other.disk.restore({ files: new Map(files).set(path, blank), dirs })
    assert.equal((await other.open()).status().shards, 10)
  }
})

test('damage costs the shards that it hits, and no others', async () => {
  const all = shards(1, 9, 1_000)
  for (const where of ['sealed', 'newest'] as const) {
    const host = await ShardHost.start({ segmentBytes: where === 'sealed' ? 4_096 : 65_536 })
    for (const each of all) await host.append(each)
    rot(host, all[2]!)
    rot(host, all[4]!)
    if (where === 'newest') {
      const { path, position } = placeOf(host, all[6]!)
      for (let i = 0; i < 200; i++) host.disk.corrupt(path, position - 90 + i, 0x55)
    }
    host.disk.powerCut('none')
    await host.open()
    const hit = where === 'sealed' ? [] : [3, 5, 7]
    const { damage, tornBytes } = host.store.recovered
    assert.equal(damage.length, hit.length)
    assert.equal(tornBytes, 0)
    assert.deepEqual(
      damage.map((each) => each.shard?.id.seq),
      where === 'sealed' ? [] : [3, 5, undefined],
    )
    const left = all.map(({ head }) => head.id.seq).filter((seq) => !hit.includes(seq))
    assert.deepEqual(names(host), left)
    await host.append(...all)
    host.disk.powerCut('none')
    await host.open()
    assert.deepEqual(host.store.recovered.damage, [])
    assert.deepEqual(names(host), [1, 2, 3, 4, 5, 6, 7, 8, 9])
  }
})

test('I9: a torn write is no shard, though its head and its footer are there', async () => {
  const host = await ShardHost.start({ segmentBytes: 100_000, groupBytes: 100_000 })
  await host.append(shard(1, 700))
  await host.append(shard(2, 20_000), shard(3, 20_000))
  const { path, position } = placeOf(host, shard(2, 20_000))
  host.disk.powerCut('none')
  host.disk.overwrite(path, position + 8_192, Buffer.alloc(4_096))
  for (let start = 1; start <= 2; start++) {
    await host.open()
    assert.deepEqual(host.store.recovered.damage, [])
    assert.deepEqual(names(host), [1, 3])
    assert.equal((await host.contents()).size, 2)
  }
})

test('a segment whose header or table is damaged is read record by record', async () => {
  const host = await ShardHost.start({ segmentBytes: 4_096 })
  for (const each of shards(1, 9, 1_000)) await host.append(each)
  host.disk.powerCut('none')
  for (const path of host.files) {
    host.disk.corrupt(path, 9, 1)
    if (path !== host.files.at(-1)) {
      host.disk.corrupt(path, host.disk.bytesOf(path).length - 60, 1)
    }
  }
  for (let start = 1; start <= 2; start++) {
    await host.open()
    assert.equal((await host.contents()).size, 9)
    assert.deepEqual(host.store.recovered.damage, [])
  }
})

test('a file that the disk cannot read is left alone, and the others are there', async () => {
  const host = await ShardHost.start({ segmentBytes: 4_096 })
  for (const each of shards(1, 9, 1_000)) await host.append(each)
  host.disk.powerCut('none')
  const [first, ...others] = host.files
  host.disk.failNext('read', 'EIO', first!)
  await host.open()
  assert.deepEqual(
    host.store.recovered.damage.map(({ path }) => path),
    [first],
  )
  assert.deepEqual(names(host), [4, 5, 6, 7, 8, 9])
  await host.append(...shards(1, 3, 1_000))
  assert.ok(host.files.includes(first!) && others.every((path) => host.files.includes(path)))
})

test('what a newer version wrote is refused', async () => {
  const host = await ShardHost.start({})
  await host.append(shard(1, 100))
  host.disk.powerCut('none')
  const { files, dirs } = host.disk.image('none', 0)
  const [path] = host.files
  const bytes = Buffer.from(files.get(path!)!)
  bytes.writeUInt32LE(SHARD_SEGMENT_VERSION + 1, 8)
  bytes.writeBigUInt64LE(checksum(bytes.subarray(0, 16)), 16)
  host.disk.restore({ files: new Map(files).set(path!, bytes), dirs })
  await assert.rejects(host.open(), { code: 'QUORATE_FORMAT' })
})

test('a failed sync rejects what waits, and a new segment is begun', async () => {
  for (const operation of ['write', 'sync'] as const) {
    const host = await ShardHost.start({ groupBytes: 1_000 })
    await host.append(shard(1, 700))
    host.disk.failNext(operation, 'EIO', '.shards')
    const results = await host.run(
      Promise.allSettled(shards(2, 5, 700).map((each) => host.store.append(each))),
    )
    for (const result of results) {
      assert.equal(result.status, 'rejected')
      assert.ok(isSystem('EIO')(result.reason))
    }
    await host.append(shard(6, 700))
    assert.equal(host.store.status().segments, 2)
    assert.deepEqual(names(host), [1, 6])
    host.disk.powerCut('none')
    await host.open()
    const found = await host.contents()
    assert.ok(found.has(nameOf(shard(1, 700).head)) && found.has(nameOf(shard(6, 700).head)))
  }
})

test('what a start has found stays, though the sync before it had failed', async () => {
  for (let seed = 1; seed <= 8; seed++) {
    const host = new ShardHost(seed, {})
    await host.open()
    await host.append(shard(1, 700))
    host.disk.failNext('sync', 'EIO', '.shards')
    await assert.rejects(host.append(shard(2, 700)), isSystem('EIO'))
    host.disk.kill()
    await host.open()
    assert.deepEqual(names(host), [1, 2])
    host.disk.powerCut('none')
    await host.open()
    assert.deepEqual(names(host), [1, 2])
  }
})

test('a full disk rejects what does not fit, and the store goes on when there is room', async () => {
  const host = await ShardHost.start({ segmentBytes: 8_192, groupBytes: 1_000 })
  host.disk.capacityBytes = 20_000
  const results = await host.run(
    Promise.allSettled(shards(1, 30, 1_000).map((each) => host.store.append(each))),
  )
  const failed = results.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[]
  assert.ok(failed.length > 10)
  for (const { reason } of failed) assert.ok(isSystem('ENOSPC')(reason))
  const stored = names(host)
  assert.ok(stored.length >= 14, `${stored.length} stored`)
  assert.equal((await host.contents()).size, stored.length)
  const full = host.disk.usedBytes
  for (const seq of stored.slice(0, 14)) host.store.forget(shard(seq, 1_000).head)
  await host.run(host.store.reclaim(100_000))
  assert.ok(host.disk.usedBytes < full - 7_000)
  await host.append(shard(40, 1_000))
  host.disk.capacityBytes = host.disk.usedBytes
  await host.run(host.store.close())
  await host.open()
  const expected = stored.slice(14).map((seq) => nameOf(shard(seq, 1_000).head))
  const found = await host.contents()
  for (const name of [...expected, nameOf(shard(40, 1_000).head)]) assert.ok(found.has(name), name)
})

test('what a full disk let through of a write is given back', async () => {
  const host = await ShardHost.start({})
  await host.append(shard(1, 1_000))
  const before = host.disk.usedBytes
  host.disk.capacityBytes = before + 3_000
  for (const seq of [2, 3, 4]) {
    await assert.rejects(host.append(shard(seq, 5_000)), isSystem('ENOSPC'))
    assert.equal(host.disk.usedBytes, before)
  }
  await host.append(shard(5, 1_000))
  assert.deepEqual([names(host), host.files.length], [[1, 5], 1])
})

test('reclaiming gives the space of forgotten shards back, within its budget', async () => {
  const host = await ShardHost.start({ segmentBytes: 8_192 })
  for (const each of shards(1, 70, 1_000)) await host.append(each)
  const before = host.store.status()
  assert.ok(before.segments >= 10 && before.deadBytes === 0)
  assert.equal(await host.run(host.store.reclaim(1_000_000)), 0)
  for (const each of shards(1, 70, 1_000)) {
    if (each.head.id.seq % 7 !== 0) host.store.forget(each.head)
  }
  const first = await host.run(host.store.reclaim(3_000))
  assert.ok(first > 0 && first <= 3_000 + 1_100, `${first} moved`)
  for (let round = 0; round < 8; round++) await host.run(host.store.reclaim(3_000))
  const after = host.store.status()
  assert.ok(after.segments <= 4, `${after.segments} segments`)
  assert.ok(after.deadBytes < 2 * 8_192)
  assert.equal((await host.contents()).size, 10)
  assert.equal(host.files.length, after.segments)
  host.disk.powerCut('none')
  await host.open()
  const found = await host.contents()
  for (let seq = 7; seq <= 70; seq += 7) assert.ok(found.has(nameOf(shard(seq, 1_000).head)))
})

test('starts do not leave ever more small files', async () => {
  const host = await ShardHost.start({ segmentBytes: 65_536 })
  for (let life = 1; life <= 40; life++) {
    await host.append(shard(life, 40))
    host.disk.failNext('sync', 'EIO', '.shards')
    await assert.rejects(host.append(shard(1_000 + life, 40)), isSystem('EIO'))
    host.disk.powerCut('none')
    await host.open()
    await host.run(host.store.reclaim(65_536))
  }
  assert.ok(host.store.status().segments < 6, `${host.store.status().segments} segments`)
  const found = await host.contents()
  for (let life = 1; life <= 40; life++) assert.ok(found.has(nameOf(shard(life, 40).head)))
})

test('a read that has begun gets its bytes, though the shard is moved and its file removed meanwhile', async () => {
  const host = await ShardHost.start({ segmentBytes: 8_192 })
  for (const each of shards(1, 14, 1_000)) await host.append(each)
  const mine = shard(3, 1_000)
  for (const each of shards(1, 7, 1_000)) {
    if (each.head.id.seq !== 3) host.store.forget(each.head)
  }
  const [first] = host.files
  host.disk.slowness = 100
  const readings = [host.store.readWhole(mine.head), host.store.read(mine.head, 0, 2)] as const
  host.disk.slowness = 1
  const forgotten = host.store.readWhole(shard(9, 1_000).head)
  host.store.forget(shard(9, 1_000).head)
  const moved = await host.run(host.store.reclaim(10_000))
  assert.ok(moved > 0)
  assert.ok(!host.files.includes(first!))
  assert.deepEqual(await host.run(readings[0]), Buffer.concat(mine.parts))
  const piece = await host.run(readings[1])
  assert.ok(piece && openPiece(piece).digest.equals(mine.digest))
  assert.deepEqual(await host.run(forgotten), Buffer.concat(shard(9, 1_000).parts))
  assert.equal(await host.run(host.store.readWhole(shard(9, 1_000).head)), undefined)
  assert.ok((await host.read(mine.head))?.digest.equals(mine.digest))
})

test('reclaiming does not move what is damaged or is another shard, but quarantines it', async () => {
  const host = await ShardHost.start({ segmentBytes: 8_192 })
  for (const each of shards(1, 14, 1_000)) await host.append(each)
  for (const each of shards(4, 7, 1_000)) host.store.forget(each.head)
  rot(host, shard(2, 1_000))
  const replaced = shard(3, 1_000)
  const { path, position } = placeOf(host, replaced)
  const misdirected = Buffer.concat(sealShard(replaced.head, Buffer.alloc(1_000)).parts)
  host.disk.overwrite(path, position - replaced.layout.headBytes, misdirected)
  await host.run(host.store.reclaim(100_000))
  assert.deepEqual(names(host), [1, 8, 9, 10, 11, 12, 13, 14])
  assert.equal((await host.contents()).size, 8)
})

test('a disk that fails once to read a shard is asked again; one that fails twice has lost it', async () => {
  const host = await ShardHost.start({})
  await host.append(shard(1, 1_000), shard(2, 1_000))
  const [first, second] = [...host.store.shards()]
  host.disk.failNext('read', 'EIO', '.shards')
  assert.notEqual(await host.run(host.store.readSound(first!)), 'damaged')
  host.disk.failNext('read', 'EIO', '.shards')
  host.disk.failNext('read', 'EIO', '.shards')
  assert.equal(await host.run(host.store.readSound(second!)), 'damaged')
  host.store.forget(second!)
  assert.equal(await host.run(host.store.readSound(second!)), 'gone')
})

test('a file is neither closed nor removed between two reads of one user', async () => {
  const host = await ShardHost.start({})
  await host.append(shard(1, 1_000))
  const [path] = host.files
  const files = new SegmentFiles(host.disk)
  const target = Buffer.alloc(8)
  const reading = files.use(path!, async (file) => {
    await file.read(target, 0)
    return file.read(target, 0)
  })
  const ends = [files.remove(path!), files.close()]
  assert.equal(await host.run(reading), 8)
  assert.equal(target.toString('latin1'), 'QuorShd\n')
  await host.run(Promise.all(ends))
  assert.deepEqual(host.files, [])
})

test('more segments than files may be open can be read', async () => {
  const host = await ShardHost.start({ segmentBytes: 512 })
  const all = shards(1, 80, 600)
  for (const each of all) await host.append(each)
  assert.ok(host.store.status().segments >= 79)
  const reads = all.map(({ head }) => host.store.readWhole(head))
  for (const [i, bytes] of (await host.run(Promise.all(reads))).entries()) {
    assert.deepEqual(bytes, Buffer.concat(all[i]!.parts))
  }
  assert.equal((await host.contents()).size, 80)
})

test('a quarantined shard is not there until it is appended anew, and then for good', async () => {
  const host = await ShardHost.start({ segmentBytes: 4_096 })
  for (const each of shards(1, 6, 1_000)) await host.append(each)
  const mine = shard(2, 1_000)
  rot(host, mine)
  const stored = host.store.find(mine.head)!
  host.store.quarantine(stored)
  assert.equal(stored.isStored, false)
  assert.equal(host.store.find(mine.head), undefined)
  assert.equal(await host.run(host.store.readWhole(mine.head)), undefined)
  assert.equal(host.store.status().quarantined, 1)
  await host.append(mine)
  host.store.quarantine(stored)
  assert.ok(await host.read(mine.head))
  assert.equal(host.store.status().quarantined, 0)
  host.disk.powerCut('none')
  await host.open()
  assert.equal((await host.contents()).size, 6)
})

test('calls after close are refused; those before it are carried out', async () => {
  const host = await ShardHost.start({})
  const append = host.store.append(shard(1, 700))
  const closing = host.store.close()
  await host.run(Promise.all([append, closing, host.store.close()]))
  const refused = { code: 'QUORATE_NOT_OPEN' }
  await assert.rejects(host.store.append(shard(2, 700)), refused)
  await assert.rejects(host.store.readWhole(shard(1, 700).head), refused)
  await assert.rejects(host.store.read(shard(1, 700).head, 0, 1), refused)
  await assert.rejects(host.store.reclaim(1), refused)
  await host.open()
  assert.deepEqual(names(host), [1])
})

test('a scrub finds what has rotted, at its rate, and quarantines it before it tells', async () => {
  const host = await ShardHost.start({ segmentBytes: 8_192 })
  const all = shards(1, 20, 1_000)
  for (const each of all) await host.append(each)
  rot(host, all[4]!)
  rot(host, all[11]!)
  const bad: number[] = []
  const work: Promise<void>[] = []
  const time = new SimTime(host.world)
  const scrub = new ShardScrub(time, host.store, 10_000, {
    own: (promise) => work.push(promise),
    onBad(found: StoredShard) {
      assert.equal(found.isStored, false)
      assert.equal(host.store.find(found), undefined)
      bad.push(found.id.seq)
    },
    fail: (error) => assert.fail(String(error)),
  })
  scrub.tick(time.now())
  assert.equal(work.length, 0, 'not right after the start')
  await host.world.advance(5_001)
  const start = time.now()
  scrub.tick(start)
  scrub.tick(start)
  assert.equal(work.length, 1)
  await host.run(work[0]!)
  assert.deepEqual(bad, [5, 12])
  const { bytes } = host.store.status()
  assert.ok(time.now() - start > 1_900, 'twenty thousand bytes at ten thousand a second')
  assert.ok(time.now() - start < 2_600)
  const { runs, runBytes, bad: count } = scrub.status
  assert.deepEqual([runs, count], [1, 2])
  assert.ok(runBytes > bytes)
  await host.world.advance(3_600_001)
  scrub.tick(time.now())
  scrub.end()
  await host.run(work[1]!)
  scrub.tick(time.now())
  assert.equal(work.length, 2)
  assert.equal(scrub.status.runs, 1)
})

test('shards may be walked piece by piece while others come and go', async () => {
  const host = await ShardHost.start({})
  await host.append(...shards(1, 20, 50))
  const walk = host.store.shards()
  const seen: number[] = []
  for (let i = 0; i < 10; i++) seen.push(walk.next().value!.id.seq)
  for (const each of shards(5, 15, 50)) host.store.forget(each.head)
  await host.append(shard(30, 50))
  for (const each of walk) seen.push(each.id.seq)
  for (const seq of [1, 2, 3, 4, 16, 17, 18, 19, 20]) {
    assert.equal(seen.filter((each) => each === seq).length, 1, `${seq}`)
  }
  assert.ok(host.files.every((path) => path.startsWith(DIR)))
})
