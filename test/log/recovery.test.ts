import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StoreError } from '../../src/base/errors.js'
import { BatchEncoder, entryFrameBytes } from '../../src/wire/log-frame.js'
import { entries, LogHost } from './log-fixture.js'

const BODY = Buffer.alloc(1_000, 'x')

/** A host whose log holds `count` entries, each written on its own, with nothing running. */
async function stopped(count: number, segmentBytes: number): Promise<LogHost> {
  const host = await LogHost.start({ segmentBytes })
  for (let index = 1; index <= count; index++) await host.append(entries(index, '1', BODY))
  host.disk.powerCut('none')
  return host
}

/** The offset at which `bytes` stand for the `nth` time in a file. */
async function offsetOf(host: LogHost, path: string, bytes: Buffer, nth: number): Promise<number> {
  const content = await contentOf(host, path)
  let at = -1
  for (let i = 0; i < nth; i++) at = content.indexOf(bytes, at + 1)
  assert.notEqual(at, -1)
  return at
}

async function contentOf(host: LogHost, path: string): Promise<Buffer> {
  const file = await host.run(host.disk.open(path, 'read'))
  const content = Buffer.alloc(await host.run(file.size()))
  await host.run(file.read(content, 0))
  return content
}

async function overwrite(host: LogHost, path: string, at: number, bytes: Buffer): Promise<void> {
  const file = await host.run(host.disk.open(path, 'write'))
  await host.run(file.writeDurable([bytes], at))
  await host.run(file.close())
}

test('T-32: damage in the last batch is a torn write: it is cut off and kept aside', async () => {
  const host = await stopped(3, 65_536)
  const [path] = await host.files('.wal')
  host.disk.corrupt(path!, await offsetOf(host, path!, BODY, 3), 0x10)
  const { recovered } = await host.open()
  assert.equal(recovered.lastIndex, 2)
  assert.ok(recovered.tornBytes > 1_000)
  const [broken] = await host.files('.broken')
  assert.equal((await contentOf(host, broken!)).length, recovered.tornBytes)
})

test('T-32: damage in an earlier batch is refused, with file and offset', async () => {
  for (const nth of [1, 2]) {
    const host = await stopped(3, 65_536)
    const [path] = await host.files('.wal')
    host.disk.corrupt(path!, await offsetOf(host, path!, BODY, nth), 0x10)
    await assert.rejects(host.open(), {
      code: 'QUORATE_CORRUPTION',
      message: /00000001-1\.wal is damaged at offset \d+: .* a later one is intact at \d+/,
    })
    assert.deepEqual(await host.files('.broken'), [])
  }
})

test('T-32: every flipped bit of an acknowledged batch is refused, wherever it is', async () => {
  const clean = await LogHost.start({ segmentBytes: 65_536 })
  await clean.append(entries(1, '1'), { term: 1, vote: 7, commit: 0 })
  const { bytes } = clean.log.status()
  await clean.append(entries(2, '1'))
  const image = clean.disk.image('none', 0)
  const [path] = await clean.files('.wal')
  for (let at = 0; at < bytes; at++) {
    const host = new LogHost(1, { segmentBytes: 65_536 })
    host.disk.restore(image)
    host.disk.corrupt(path!, at, 1 << (at % 8))
    const opened = await host.open().then(
      ({ recovered }) => recovered.lastIndex,
      (error) => error,
    )
    // The zeros behind a frame are not part of what was acknowledged.
    if (opened === 2) continue
    assert.ok(opened instanceof StoreError, `offset ${at}: the log opened up to ${opened}`)
    assert.match(opened.code, /CORRUPTION|FORMAT|WRONG/)
  }
})

test('T-32: two damaged batches at the end are refused: the second proves the first', async () => {
  const host = await stopped(3, 65_536)
  const [path] = await host.files('.wal')
  const second = await offsetOf(host, path!, BODY, 2)
  const third = await offsetOf(host, path!, BODY, 3)
  for (const at of [second, third]) host.disk.corrupt(path!, at, 1)
  await assert.rejects(host.open(), { code: 'QUORATE_CORRUPTION' })
})

test('T-32: damage in a segment that is not the last is refused', async () => {
  const host = await stopped(6, 4_096)
  const [first] = await host.files('.wal')
  host.disk.corrupt(first!, await offsetOf(host, first!, BODY, 3), 1)
  await assert.rejects(host.open(), {
    code: 'QUORATE_CORRUPTION',
    message: /00000001-1\.wal .* later segments exist/,
  })
})

test('T-33: a shorter write over a torn one is followed by zeros', async () => {
  const host = await stopped(3, 65_536)
  const [path] = await host.files('.wal')
  host.disk.corrupt(path!, await offsetOf(host, path!, BODY, 3), 1)
  await host.open()
  const { bytes } = host.log.status()
  assert.ok((await contentOf(host, path!)).subarray(bytes).every((byte) => byte === 0))
  await host.append(entries(3, '2'))
  host.disk.powerCut('none')
  const { recovered } = await host.open()
  assert.equal(await host.terms(), '1 1 2')
  assert.equal(recovered.tornBytes, 0)
})

test('T-33: garbage far behind the end is cut off too', async () => {
  const host = await stopped(2, 65_536)
  const [path] = await host.files('.wal')
  await overwrite(host, path!, 60_000, Buffer.from('garbage'))
  assert.ok((await host.open()).recovered.tornBytes > 50_000)
  assert.ok((await contentOf(host, path!)).subarray(50_000).every((byte) => byte === 0))
})

test('a stale copy of a batch in another place is not part of the log', async () => {
  const host = await stopped(2, 65_536)
  const [path] = await host.files('.wal')
  const content = await contentOf(host, path!)
  const { bytes } = (await host.open()).status()
  host.disk.kill()
  const second = await offsetOf(host, path!, BODY, 2)
  await overwrite(host, path!, bytes, content.subarray(second - 48, bytes))
  const { recovered } = await host.open()
  assert.equal(recovered.lastIndex, 2)
  assert.ok(recovered.tornBytes > 0)
})

test('frames of two attempts at one batch do not add up to a batch', async () => {
  const host = await stopped(1, 65_536)
  const [path] = await host.files('.wal')
  const { bytes: position } = (await host.open()).status()
  host.disk.kill()
  const encode = (terms: string) => {
    const place = { segment: 1, batch: 2, position }
    const { parts } = new BatchEncoder(65_536).encode(place, undefined, entries(2, terms))
    return Buffer.concat(parts)
  }
  const mixed = encode('1 1')
  encode('2 2').copy(mixed, 0, 0, entryFrameBytes(entries(2, '2')[0]!))
  await overwrite(host, path!, position, encode('1 1'))
  assert.equal((await host.open()).recovered.lastIndex, 3)
  host.disk.kill()
  await overwrite(host, path!, position, mixed)
  assert.equal((await host.open()).recovered.lastIndex, 1)
})

test('a whole batch that skips a number is proof of a lost one, not the next', async () => {
  const host = await stopped(1, 65_536)
  const [path] = await host.files('.wal')
  const { bytes: position } = (await host.open()).status()
  host.disk.kill()
  const place = { segment: 1, batch: 3, position }
  const { parts } = new BatchEncoder(65_536).encode(place, undefined, entries(2, '1'))
  await overwrite(host, path!, position, Buffer.concat(parts))
  await assert.rejects(host.open(), { code: 'QUORATE_CORRUPTION' })
})

test("a user's value that holds a piece of the log does not pass for the log", async () => {
  const host = await stopped(3, 65_536)
  const [path] = await host.files('.wal')
  const piece = (await contentOf(host, path!)).subarray(0, 4_096)
  await host.open()
  await host.append(entries(4, '1', piece))
  host.disk.powerCut('none')
  host.disk.corrupt(path!, await offsetOf(host, path!, Buffer.from('QuorLog'), 2), 1)
  assert.equal((await host.open()).recovered.lastIndex, 3)
})

test('a missing segment is refused', async () => {
  for (const missing of [0, 1]) {
    const host = await stopped(9, 4_096)
    const files = await host.files('.wal')
    assert.ok(files.length >= 3)
    await host.run(host.disk.remove(files[missing]!))
    await assert.rejects(host.open(), { code: 'QUORATE_CORRUPTION', message: /a segment is gone/ })
    assert.equal((await host.files('.wal')).length, files.length - 1)
  }
})

test('an interrupted compaction is completed', async () => {
  const host = await LogHost.start({})
  for (let index = 1; index <= 9; index++) await host.append(entries(index, '1', BODY))
  const files = await host.files('.wal')
  host.disk.failNext('remove', 'EIO', files[1]!)
  await assert.rejects(host.run(host.log.compactTo(8, 1)), { code: 'QUORATE_LOG_FAILED' })
  host.disk.kill()
  assert.equal((await host.files('.wal')).length, files.length - 1)
  const { recovered } = await host.open()
  assert.deepEqual(recovered.previous, { term: 1, index: 8 })
  assert.ok((await host.files('.wal')).length <= 2)
})

test('segments that a power cut brought back are removed, whichever they are', async () => {
  const host = await LogHost.start({})
  for (let index = 1; index <= 15; index++) await host.append(entries(index, '1', BODY))
  const before = host.disk.image('none', 0)
  await host.run(host.log.compactTo(14, 1))
  const after = host.disk.image('none', 0)
  const gone = [...before.files.keys()].filter((path) => !after.files.has(path))
  assert.ok(gone.length >= 4)
  for (const back of [[0], [1], [0, 2], [1, 2], [3], [0, 1, 2, 3]]) {
    const files = new Map(after.files)
    for (const i of back) files.set(gone[i]!, before.files.get(gone[i]!)!)
    const other = new LogHost(1, {})
    other.disk.restore({ files, dirs: after.dirs })
    const { recovered } = await other.open()
    assert.deepEqual(recovered.previous, { term: 1, index: 14 })
    const expected = [...after.files.keys()].filter((path) => path.endsWith('.wal')).sort()
    assert.deepEqual(await other.files('.wal'), expected)
  }
})

test('what was cut off a segment goes when the segment goes', async () => {
  const host = await stopped(3, 4_096)
  const [path] = await host.files('.wal')
  host.disk.corrupt(path!, await offsetOf(host, path!, BODY, 3), 1)
  await host.open()
  assert.equal((await host.files('.broken')).length, 1)
  for (let index = 3; index <= 9; index++) await host.append(entries(index, '1', BODY))
  await host.run(host.log.compactTo(8, 1))
  assert.equal((await host.files('.broken')).length, 0)
})

test('a failure while opening leaves the log as it is', async () => {
  const host = await stopped(9, 4_096)
  for (const operation of ['list', 'open', 'read', 'size', 'write', 'sync', 'syncDir'] as const) {
    host.disk.failNext(operation, 'EIO', '')
    await assert.rejects(host.open(), { code: 'QUORATE_LOG_FAILED' })
  }
  assert.equal((await host.open()).recovered.lastIndex, 9)
})
