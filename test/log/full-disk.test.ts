import assert from 'node:assert/strict'
import { test } from 'node:test'
import { entries, isFailure, LogHost } from './log-fixture.js'

const BODY = Buffer.alloc(1_000, 'x')
const WAITING = { segmentBytes: 16_384, reserveBytes: 0 }

/** Appends entries of 1,000 bytes from `from` to `to`, one after the other. */
async function fill(host: LogHost, from: number, to: number): Promise<void> {
  for (let index = from; index <= to; index++) await host.append(entries(index, '1', BODY))
}

/** Fills the present segment on a disk that has no room for the next; the last append waits. */
async function waiting(options: Partial<typeof WAITING> = {}) {
  const host = await LogHost.start({ ...WAITING, ...options })
  host.disk.capacityBytes = 20_000
  await fill(host, 1, 10)
  const outcomes: string[] = []
  const appends = [11, 12, 13, 14, 15, 16, 17].map((index) =>
    host.log
      .append({ entries: entries(index, '1', BODY), hardState: undefined, mustSync: true })
      .then(
        () => outcomes.push('done'),
        (error) => outcomes.push(`${error.code} ${error.outcome}`),
      ),
  )
  await host.world.advance(10_000)
  return { host, appends, outcomes }
}

test('ENOSPC at segment creation: appends wait, nothing has failed, and with space they go on', async () => {
  const { host, appends, outcomes } = await waiting()
  assert.equal(outcomes.length, 0)
  assert.equal(host.log.failed, undefined)
  const { isWaiting, nextSegment } = host.log.status()
  assert.deepEqual([isWaiting, nextSegment], [true, 'noSpace'])
  host.disk.capacityBytes = 1e9
  await host.run(Promise.all(appends))
  assert.deepEqual(new Set(outcomes), new Set(['done']))
  assert.equal(host.log.status().isWaiting, false)
  host.disk.powerCut('none')
  assert.equal((await host.open()).recovered.lastIndex, 17)
})

test('what waits for space fails at close, as not written', async () => {
  const { host, appends, outcomes } = await waiting()
  await host.run(Promise.all([...appends, host.log.close()]))
  assert.deepEqual(new Set(outcomes), new Set(['QUORATE_NO_SPACE none']))
  assert.equal((await host.open()).recovered.lastIndex, 10)
})

test('a compaction overtakes what waits for space, and makes room for it', async () => {
  const host = await LogHost.start(WAITING)
  await fill(host, 1, 20)
  assert.equal(host.log.status().segments, 2)
  host.disk.capacityBytes = host.disk.usedBytes
  const appends = Array.from({ length: 14 }, (_, i) =>
    host.log.append({ entries: entries(21 + i, '1', BODY), hardState: undefined, mustSync: true }),
  )
  await host.world.advance(5_000)
  assert.ok(host.log.status().isWaiting)
  await host.run(host.log.compactTo(15, 1))
  await host.run(Promise.all(appends))
  assert.equal(host.log.status().firstIndex, 16)
  host.disk.powerCut('none')
  assert.equal((await host.open()).recovered.lastIndex, 34)
})

test('votes are durable as long as the present segment has room', async () => {
  const host = await LogHost.start(WAITING)
  host.disk.capacityBytes = 20_000
  await fill(host, 1, 12)
  assert.equal(host.log.status().nextSegment, 'noSpace')
  await host.append([], { term: 7, vote: 2, commit: 0 })
  host.disk.powerCut('none')
  assert.deepEqual((await host.open()).recovered.hardState, { term: 7, vote: 2, commit: 0 })
})

test('the reserve is left to others, and an entry larger than a segment waits for it, too', async () => {
  for (const body of [BODY, Buffer.alloc(40_000, 'large')]) {
    const host = await LogHost.start({ ...WAITING, reserveBytes: 30_000 })
    await fill(host, 1, 12)
    host.disk.capacityBytes = host.disk.usedBytes + 45_000
    let index = 12
    const go = async () => {
      while (index < 200) {
        await host.log.append({
          entries: entries(++index, '1', body),
          hardState: undefined,
          mustSync: true,
        })
      }
    }
    const going = assert.rejects(go(), { code: 'QUORATE_NO_SPACE' })
    await host.world.advance(20_000)
    assert.ok(host.log.status().isWaiting)
    assert.ok(host.disk.capacityBytes - host.disk.usedBytes >= 30_000)
    await host.run(Promise.all([host.log.close(), going]))
  }
})

test('ENOSPC in the middle of a write stops the log; what was acknowledged is there afterwards', async () => {
  const host = await LogHost.start(WAITING)
  await fill(host, 1, 3)
  host.disk.failNext('write', 'ENOSPC', '.wal')
  await assert.rejects(host.append(entries(4, '1')), isFailure('QUORATE_NO_SPACE', 'ENOSPC'))
  assert.ok(host.log.failed)
  await assert.rejects(host.append(entries(4, '1')), { code: 'QUORATE_NO_SPACE' })
  host.disk.kill()
  const { recovered } = await host.open()
  assert.equal(recovered.lastIndex, 3)
})

test('a log opens on a disk without a free byte; torn bytes are then cut off without a copy', async () => {
  const host = await LogHost.start({ segmentBytes: 65_536 })
  await fill(host, 1, 3)
  host.disk.powerCut('none')
  const [path] = await host.files('.wal')
  host.disk.corrupt(path!, host.disk.bytesOf(path!).lastIndexOf(BODY), 1)
  host.disk.capacityBytes = host.disk.usedBytes
  const { recovered } = await host.open()
  assert.equal(recovered.lastIndex, 2)
  assert.ok(recovered.tornBytes > 0)
  assert.deepEqual(await host.files('.broken'), [])
  await host.append(entries(3, '1'), { term: 1, vote: 3, commit: 0 })
})

test('a log that may not wait is stopped by a full disk, with everything acknowledged', async () => {
  const host = await LogHost.start({})
  host.disk.capacityBytes = 10_000
  const fill = async () => {
    for (let index = 1; index <= 20; index++) await host.append(entries(index, '1', BODY))
  }
  await assert.rejects(fill(), { code: 'QUORATE_NO_SPACE', outcome: 'none' })
  const { lastIndex } = host.log.status()
  assert.ok(lastIndex > 3)
  host.disk.powerCut('none')
  host.disk.capacityBytes = 1e9
  assert.equal((await host.open()).recovered.lastIndex, lastIndex)
})

test('when there is no space for the next segment, the present one is used to its end', async () => {
  const host = await LogHost.start({ segmentBytes: 16_384 })
  host.disk.capacityBytes = 20_000
  for (let index = 1; index <= 14; index++) await host.append(entries(index, '1', BODY))
  assert.equal(host.log.status().nextSegment, 'noSpace')
  assert.deepEqual(await host.files('.new'), [])
  host.disk.capacityBytes = 1e9
  for (let index = 15; index <= 30; index++) await host.append(entries(index, '1', BODY))
  assert.notEqual(host.log.status().nextSegment, 'noSpace')
  assert.equal((await host.entries()).length, 30)
})

test('once a compaction has made room, the next segment is prepared after all', async () => {
  const host = await LogHost.start({ segmentBytes: 16_384 })
  for (let index = 1; index <= 16; index++) await host.append(entries(index, '1', BODY))
  assert.equal(host.log.status().segments, 2)
  host.disk.capacityBytes = 40_000
  for (let index = 17; index <= 26; index++) await host.append(entries(index, '1', BODY))
  assert.equal(host.log.status().nextSegment, 'noSpace')
  await host.run(host.log.compactTo(25, 1))
  await host.append(entries(27, '1', BODY))
  assert.equal(host.log.status().nextSegment, 'preparing')
  await host.world.advance(100)
  assert.equal((await host.files('.new')).length, 1)
})
