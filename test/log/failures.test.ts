import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DiskOperation } from '../../src/sim/sim-disk.js'
import { entries, isFailure, LogHost } from './log-fixture.js'

const BODY = Buffer.alloc(1_000, 'x')

/** What the log does to its disk, and where. */
const OPERATIONS: readonly (readonly [DiskOperation, string])[] = [
  ['write', '.wal'],
  ['write', '.new'],
  ['sync', '.wal'],
  ['sync', '.new'],
  ['truncate', '.new'],
  ['open', '.new'],
  ['rename', '.new'],
  ['syncDir', 'log'],
  ['remove', '.wal'],
  ['freeBytes', 'log'],
]

/** Fills segments and removes them, until something fails; gives the last acknowledged index. */
async function work(host: LogHost): Promise<number> {
  let acknowledged = host.log.status().lastIndex
  for (let i = 0; i < 60; i++) {
    try {
      await host.append(entries(acknowledged + 1, '1', BODY))
      acknowledged++
      if (acknowledged % 10 === 0) await host.run(host.log.compactTo(acknowledged - 5, 1))
    } catch (error) {
      assert.ok(isFailure('QUORATE_LOG_FAILED', 'EIO')(error), String(error))
      return acknowledged
    }
  }
  throw new Error('nothing failed')
}

for (const [operation, path] of OPERATIONS) {
  test(`T-31: ${operation} of ${path} fails once and then "works": the log does nothing any more`, async () => {
    const host = await LogHost.start({ segmentBytes: 8_192 })
    for (let index = 1; index <= 8; index++) await host.append(entries(index, '1', BODY))
    host.disk.failNext(operation, 'EIO', path)
    const acknowledged = await work(host)
    const before = host.disk.image('none', 0)
    const isFailed = isFailure('QUORATE_LOG_FAILED', 'EIO')
    for (let again = 0; again < 3; again++) {
      await assert.rejects(host.append(entries(acknowledged + 1, '1')), isFailed)
      await assert.rejects(host.append([], { term: 9, vote: 4, commit: 0 }), isFailed)
    }
    await assert.rejects(host.run(host.log.compactTo(acknowledged, 1)), isFailed)
    await host.run(host.log.close())
    assert.deepEqual(host.disk.image('none', 0).files, before.files)
    host.disk.powerCut('none')
    const { recovered } = await host.open()
    assert.ok(recovered.lastIndex >= acknowledged && recovered.lastIndex <= acknowledged + 1)
    assert.equal(recovered.hardState.term, 0)
  })
}

test('a file that was cut short is refused, wherever it was cut', async () => {
  const host = await LogHost.start({ segmentBytes: 65_536 })
  for (let index = 1; index <= 3; index++) await host.append(entries(index, '1', BODY))
  host.disk.powerCut('none')
  const [path] = await host.files('.wal')
  const { files, dirs } = host.disk.image('none', 0)
  const content = host.disk.bytesOf(path!)
  for (const length of [65_535, 10_000, content.lastIndexOf(BODY) + 100, 1_500, 200, 60, 0]) {
    const other = new LogHost(1, { segmentBytes: 65_536 })
    other.disk.restore({ files: new Map(files).set(path!, content.subarray(0, length)), dirs })
    await assert.rejects(other.open(), {
      code: 'QUORATE_CORRUPTION',
      message: /00000001-1\.wal is damaged at offset \d+/,
    })
  }
})

test('a zeroed page in an earlier batch is refused, in the last one it is torn', async () => {
  const host = await LogHost.start({ segmentBytes: 262_144 })
  const large = Buffer.alloc(12_000, 'y')
  for (let index = 1; index <= 3; index++) await host.append(entries(index, '1', large))
  host.disk.powerCut('none')
  const image = host.disk.image('none', 0)
  const [path] = await host.files('.wal')
  for (const [page, found] of [
    [1, undefined],
    [4, undefined],
    [8, 2],
  ] as const) {
    const other = new LogHost(1, { segmentBytes: 262_144 })
    other.disk.restore(image)
    other.disk.overwrite(path!, page * 4_096, Buffer.alloc(4_096))
    if (found === undefined) await assert.rejects(other.open(), { code: 'QUORATE_CORRUPTION' })
    else assert.equal((await other.open()).recovered.lastIndex, found)
  }
})

test('every older segment can go: term, vote and compaction point stand at the head of each', async () => {
  const host = await LogHost.start({ segmentBytes: 4_096 })
  await host.append([], { term: 3, vote: 2, commit: 0 })
  for (let index = 1; index <= 12; index++) await host.append(entries(index, '3', BODY))
  const { segments } = host.log.status()
  assert.ok(segments >= 4)
  for (let index = 1; index <= 12; index++) {
    await host.run(host.log.compactTo(index, 3))
    host.disk.powerCut('none')
    const { recovered } = await host.open()
    const { term, vote } = recovered.hardState
    assert.deepEqual([term, vote, recovered.previous.index], [3, 2, index])
  }
  assert.equal(host.log.status().segments, 1)
})
