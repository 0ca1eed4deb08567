import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { StoreError } from '../../src/base/errors.js'
import { RaftLog } from '../../src/log/raft-log.js'
import { SimTime } from '../../src/sim/sim-time.js'
import { BatchEncoder, ENTRY_DATA_BYTES_MAX } from '../../src/wire/log-frame.js'
import { DIR, entries, IDENTITY, isFailure, LogHost, OPTIONS } from './log-fixture.js'

const BODY = Buffer.alloc(1_000, 'x')

test('a new log is empty, and still is when it is opened again', async () => {
  const host = await LogHost.start({})
  await host.run(host.log.close())
  const { recovered } = await host.open()
  assert.deepEqual(recovered, {
    hardState: { term: 0, vote: 0, commit: 0 },
    previous: { term: 0, index: 0 },
    lastIndex: 0,
    terms: [],
    tail: [],
    tornBytes: 0,
  })
})

test('what was appended is read back, and given back after a restart', async () => {
  const host = await LogHost.start({})
  const list = entries(1, '1 1 2')
  const change = { index: 4, term: 2, kind: 'confChangeV2' as const, data: Buffer.alloc(0) }
  await host.append([...list, change], { term: 2, vote: 3, commit: 1 })
  assert.deepEqual(await host.entries(), [...list, change])
  await host.run(host.log.close())
  const { recovered } = await host.open()
  assert.deepEqual(recovered.hardState, { term: 2, vote: 3, commit: 1 })
  assert.deepEqual(recovered.tail, [...list, change])
  assert.deepEqual(recovered.terms, [
    { term: 1, index: 1 },
    { term: 2, index: 3 },
  ])
  assert.deepEqual(await host.entries(), [...list, change])
})

test('an entry replaces everything from its index on', async () => {
  const host = await LogHost.start({})
  await host.append(entries(1, '1 1 1 1'))
  await host.append(entries(3, '2'))
  assert.equal(await host.terms(), '1 1 2')
  await host.append(entries(2, '3 3 3 3'))
  await host.run(host.log.close())
  await host.open()
  assert.equal(await host.terms(), '1 3 3 3 3')
})

test('appends of one turn share a write, up to the bound, and settle in order', async () => {
  const host = await LogHost.start({ maxWriteBytes: 2_500 })
  const settled: number[] = []
  const appends = [1, 2, 3, 4, 5].map((index) => {
    const list = entries(index, '1', BODY)
    return host.log
      .append({ entries: list, hardState: undefined, mustSync: true })
      .then(() => settled.push(index))
  })
  await host.run(Promise.all(appends))
  assert.equal(host.log.status().writes, 3)
  assert.deepEqual(settled, [1, 2, 3, 4, 5])
  assert.equal(host.log.status().lastIndex, 5)
})

test('a moved commit hint costs no write and is kept by the next one or by close', async () => {
  const host = await LogHost.start({})
  await host.append(entries(1, '1 1'), { term: 1, vote: 7, commit: 0 })
  const { writes } = host.log.status()
  const hint = (commit: number) =>
    host.run(
      host.log.append({ entries: [], hardState: { term: 1, vote: 7, commit }, mustSync: false }),
    )
  await hint(1)
  assert.equal(host.log.status().writes, writes)
  await host.append(entries(3, '1'))
  host.disk.powerCut('none')
  assert.equal((await host.open()).recovered.hardState.commit, 1)
  await hint(3)
  await host.run(host.log.close())
  assert.equal((await host.open()).recovered.hardState.commit, 3)
})

test('T-3: a new term or vote is durable even when the caller does not ask for it', async () => {
  const host = await LogHost.start({})
  for (const hardState of [
    { term: 4, vote: 0, commit: 0 },
    { term: 4, vote: 2, commit: 0 },
  ]) {
    await host.run(host.log.append({ entries: [], hardState, mustSync: false }))
    host.disk.powerCut('none')
    assert.deepEqual((await host.open()).recovered.hardState, hardState)
  }
})

test('T-3: a second vote in one term is refused and stops the log', async () => {
  const host = await LogHost.start({})
  await host.append([], { term: 4, vote: 2, commit: 0 })
  await assert.rejects(host.append([], { term: 4, vote: 3, commit: 0 }), /vote changed/)
  assert.ok(host.log.failed)
})

test('read gives at least one entry, stops at its bound and is empty outside the log', async () => {
  const host = await LogHost.start({})
  await host.append(entries(1, '1 1 1 1', BODY))
  const read = async (from: number, to: number, maxBytes: number) =>
    (await host.run(host.log.read(from, to, maxBytes))).map((found) => found.index)
  assert.deepEqual(await read(1, 4, 1), [1])
  assert.deepEqual(await read(2, 4, 2_200), [2, 3])
  assert.deepEqual(await read(2, 3, 1e9), [2, 3])
  assert.deepEqual(await read(4, 9, 1e9), [4])
  assert.deepEqual(await read(5, 9, 1e9), [])
  await host.run(host.log.compactTo(2, 1))
  assert.deepEqual(await read(2, 4, 1e9), [])
})

test('a restart gives back no more of the tail than it was asked for', async () => {
  const host = await LogHost.start({ tailBytes: 2_200 })
  await host.append(entries(1, '1 1 1 1', BODY))
  await host.run(host.log.close())
  const { recovered } = await host.open()
  assert.deepEqual(recovered.tail, entries(3, '1 1', BODY))
})

test('a log grows over many segments and compaction removes whole ones', async () => {
  const host = await LogHost.start({})
  for (let index = 1; index <= 30; index++) await host.append(entries(index, '1', BODY))
  const before = host.log.status().segments
  assert.ok(before >= 10)
  await host.run(host.log.compactTo(20, 1))
  assert.ok(host.log.status().segments <= 5)
  assert.equal((await host.files('.wal')).length, host.log.status().segments)
  assert.equal(host.log.status().firstIndex, 21)
  await host.run(host.log.close())
  const { recovered } = await host.open()
  assert.deepEqual(recovered.previous, { term: 1, index: 20 })
  assert.deepEqual(recovered.terms, [{ term: 1, index: 21 }])
  assert.equal((await host.entries()).length, 10)
})

test('a compaction point beyond the log, or of another term, empties the log', async () => {
  for (const [index, term] of [
    [9, 3],
    [2, 3],
  ] as const) {
    const host = await LogHost.start({})
    await host.append(entries(1, '1 1 1'), { term: 3, vote: 0, commit: 0 })
    await host.run(host.log.compactTo(index, term))
    host.disk.powerCut('none')
    assert.equal((await host.open()).recovered.lastIndex, index)
    await host.append(entries(index + 1, '3'))
    await host.run(host.log.close())
    const { recovered } = await host.open()
    assert.deepEqual(recovered.previous, { term, index })
    assert.equal(recovered.hardState.commit, index)
    assert.deepEqual(recovered.tail, entries(index + 1, '3'))
  }
})

test('compacting everything leaves an empty log that goes on', async () => {
  const host = await LogHost.start({})
  for (let index = 1; index <= 12; index++) await host.append(entries(index, '1', BODY))
  await host.run(host.log.compactTo(12, 1))
  assert.equal(host.log.status().segments, 1)
  await host.run(host.log.compactTo(5, 1))
  host.disk.powerCut('none')
  assert.deepEqual((await host.open()).recovered.previous, { term: 1, index: 12 })
  await host.append(entries(13, '2'))
  assert.equal(await host.terms(), '2')
})

test('T-31: after a failed fsync nothing is acknowledged or written any more', async () => {
  const host = await LogHost.start({})
  await host.append(entries(1, '1'))
  const isDiskFailure = isFailure('QUORATE_LOG_FAILED', 'EIO')
  host.disk.failNext('sync', 'EIO', '.wal')
  await assert.rejects(host.append(entries(2, '1')), isDiskFailure)
  assert.ok(host.log.failed)
  await assert.rejects(host.append(entries(2, '1')), isDiskFailure)
  await assert.rejects(host.append([], { term: 5, vote: 7, commit: 0 }), isDiskFailure)
  await assert.rejects(host.run(host.log.compactTo(1, 1)), isDiskFailure)
  assert.deepEqual(await host.entries(), entries(1, '1'))
  await host.run(host.log.close())
  host.disk.powerCut('none')
  assert.equal((await host.open()).recovered.lastIndex, 1)
})

test('T-31: what waited behind a failed write is known not to be written', async () => {
  const host = await LogHost.start({ maxWriteBytes: 1_000 })
  host.disk.failNext('write', 'EIO', '.wal')
  const outcomes = [1, 2, 3].map((index) =>
    host.log
      .append({ entries: entries(index, '1', BODY), hardState: undefined, mustSync: true })
      .catch((error: StoreError) => error.outcome),
  )
  assert.deepEqual(await host.run(Promise.all(outcomes)), ['unknown', 'none', 'none'])
})

test('T-31: what a restart finds in the cache after a failed fsync is made durable first', async () => {
  const host = await LogHost.start({})
  host.disk.failNext('sync', 'EIO', '.wal')
  await assert.rejects(host.append(entries(1, '1'), { term: 1, vote: 7, commit: 0 }))
  host.disk.kill()
  const { recovered } = await host.open()
  host.disk.powerCut('none')
  assert.deepEqual((await host.open()).recovered, recovered)
})

test('T-36: what a restart finds in the cache of a killed process is made durable first', async () => {
  let found = 0
  for (let seed = 1; seed <= 20; seed++) {
    const host = new LogHost(seed, {})
    await host.open()
    host.log
      .append({ entries: entries(1, '1'), hardState: undefined, mustSync: true })
      .catch(assert.ifError)
    await host.world.advance(0)
    host.disk.kill()
    const { recovered } = await host.open()
    found += recovered.lastIndex
    host.disk.powerCut('none')
    assert.equal((await host.open()).recovered.lastIndex, recovered.lastIndex)
  }
  assert.ok(found > 0 && found < 20, `the write survived ${found} of 20 kills`)
})

test('T-34: a new log, a rotation and a compaction survive a power cut', async () => {
  const host = await LogHost.start({})
  host.disk.powerCut('none')
  await host.open()
  for (let index = 1; index <= 9; index++) await host.append(entries(index, '1', BODY))
  host.disk.powerCut('none')
  assert.equal((await host.open()).recovered.lastIndex, 9)
  await host.run(host.log.compactTo(8, 1))
  const files = await host.files('.wal')
  host.disk.powerCut('none')
  assert.deepEqual(await host.files('.wal'), files)
  assert.equal((await host.open()).recovered.lastIndex, 9)
})

test('T-35: a segment is removed only after the compaction point is durable', async () => {
  const host = await LogHost.start({})
  for (let index = 1; index <= 9; index++) await host.append(entries(index, '1', BODY))
  host.disk.failNext('sync', 'EIO', '.wal')
  const files = await host.files('.wal')
  await assert.rejects(host.run(host.log.compactTo(8, 1)), { code: 'QUORATE_LOG_FAILED' })
  assert.deepEqual(await host.files('.wal'), files)
  host.disk.powerCut('none')
  assert.equal((await host.open()).recovered.lastIndex, 9)
  assert.equal(host.log.status().firstIndex, 1)
})

test('T-41: a read that fails is an error, not the end of the log', async () => {
  const host = await LogHost.start({})
  for (let index = 1; index <= 9; index++) await host.append(entries(index, '1', BODY))
  for (const operation of ['read', 'open'] as const) {
    host.disk.failNext(operation, 'EIO', '')
    const reading = host.run(host.log.read(1, 9, 1e9))
    await assert.rejects(reading, isFailure('QUORATE_LOG_FAILED', 'EIO'))
  }
  assert.equal((await host.run(host.log.read(1, 9, 1e9))).length, 9)
})

test('T-41: a damaged entry is reported with its file and offset, and never returned', async () => {
  const host = await LogHost.start({})
  await host.append(entries(1, '1 1 1', BODY))
  const [path] = await host.files('.wal')
  host.disk.corrupt(path!, 1_800, 1)
  await assert.rejects(host.run(host.log.read(1, 3, 1e9)), {
    code: 'QUORATE_CORRUPTION',
    message: /00000001-1\.wal is damaged at offset \d+: entry 2/,
  })
  assert.equal((await host.run(host.log.read(3, 3, 1e9))).length, 1)
})

test('T-41: an intact entry in the place of another is not returned', async () => {
  const host = await LogHost.start({})
  await host.append(entries(1, '1'))
  const [path] = await host.files('.wal')
  const file = await host.run(host.disk.open(path!, 'write'))
  // Behind the opening batch; the entry is the first frame of its batch.
  const place = { segment: 1, batch: 1, position: 200 }
  const { parts, positions } = new BatchEncoder(4_096).encode(place, undefined, entries(1, '2'))
  assert.deepEqual(positions, [200])
  await host.run(file.writeDurable(parts, 200))
  await assert.rejects(host.run(host.log.read(1, 1, 1e9)), { code: 'QUORATE_CORRUPTION' })
})

test('T-66: an entry larger than a segment gets a segment of its own size', async () => {
  const host = await LogHost.start({})
  const large = Buffer.alloc(50_000, 'large')
  await host.append(entries(1, '1'))
  await host.append(entries(2, '1', large))
  await host.append(entries(3, '1'))
  assert.deepEqual(await host.entries(), [
    ...entries(1, '1'),
    ...entries(2, '1', large),
    ...entries(3, '1'),
  ])
  host.disk.powerCut('none')
  assert.equal((await host.open()).recovered.lastIndex, 3)
})

test('T-66: an entry beyond the format is a RangeError before anything is written', async () => {
  const host = await LogHost.start({})
  // Only its length is looked at.
  const data = Object.defineProperty(new Uint8Array(0), 'length', {
    value: ENTRY_DATA_BYTES_MAX + 1,
  })
  const huge = { index: 1, term: 1, kind: 'normal' as const, data }
  await assert.rejects(host.append([huge]), RangeError)
  await host.append(entries(1, '1'))
  assert.equal(host.log.failed, undefined)
})

test('T-69: the log of another cluster, member or format is refused', async () => {
  const host = await LogHost.start({})
  await host.run(host.log.close())
  const time = new SimTime(host.world)
  const open = (identity: typeof IDENTITY) =>
    host.run(RaftLog.open(host.disk, time, DIR, identity, OPTIONS))
  const clusterId = Buffer.from('another!')
  await assert.rejects(open({ ...IDENTITY, clusterId }), { code: 'QUORATE_WRONG_CLUSTER' })
  await assert.rejects(open({ ...IDENTITY, nodeId: 8 }), { code: 'QUORATE_WRONG_MEMBER' })
  const [path] = await host.files('.wal')
  host.disk.corrupt(path!, 9, 0xff)
  await assert.rejects(open(IDENTITY), { code: 'QUORATE_FORMAT' })
})

test('the next segment is prepared while the present one is filled, and unused ones go', async () => {
  const host = await LogHost.start({ segmentBytes: 16_384 })
  for (let index = 1; index <= 12; index++) await host.append(entries(index, '1', BODY))
  await host.world.advance(100)
  const [path] = await host.files('.new')
  const file = await host.run(host.disk.open(path!, 'read'))
  assert.equal(await host.run(file.size()), 16_384)
  host.disk.kill()
  await host.open()
  assert.deepEqual(await host.files('.new'), [])
  for (let index = 13; index <= 20; index++) await host.append(entries(index, '1', BODY))
  await host.run(host.log.close())
  assert.deepEqual(await host.files('.new'), [])
})

test('a closed log takes nothing more', async () => {
  const host = await LogHost.start({})
  const write = { entries: entries(1, '1'), hardState: undefined, mustSync: true }
  const last = host.log.append(write)
  const closing = host.log.close()
  await assert.rejects(host.log.append(write), { code: 'QUORATE_NOT_OPEN' })
  await host.run(Promise.all([last, closing]))
  assert.equal((await host.open()).recovered.lastIndex, 1)
})

test('an append that leaves a gap stops the log', async () => {
  const host = await LogHost.start({})
  await assert.rejects(host.append(entries(2, '1')), /leaves a gap/)
  assert.ok(host.log.failed)
})
