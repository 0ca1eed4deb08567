import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { LevelDatabases } from '../../src/env/level-database.js'
import { Store } from '../../src/index.js'

const QUORATE = join(import.meta.dirname, '../../src/cli/quorate.js')
const MEMORY = { writeBufferBytes: 1024 * 1024, cacheBytes: 1024 * 1024 }
const root = mkdtempSync(join(tmpdir(), 'quorate-inspect-test-'))
/** A closed folder whose log is kept from the beginning, and one whose log was shortened. */
const WHOLE = join(root, 'whole')
const SHORT = join(root, 'short')

interface Answer {
  readonly code: number
  readonly out: string
}

function quorate(...args: readonly string[]): Promise<Answer> {
  return new Promise((resolve) => {
    execFile(process.execPath, [QUORATE, ...args], (error, out, complaint) => {
      resolve({ code: Number(error?.code ?? 0), out: out + complaint })
    })
  })
}

async function make(dir: string, keepLogBytes: number): Promise<void> {
  const storage = { segmentBytes: 65_536, checkpointBytes: 2 ** 40, keepLogBytes }
  const store = await Store.open({ dir, id: 'a', storage })
  for (let i = 0; i < 120; i++) await store.put(`key${i}`, 'x'.repeat(1_000))
  await store.checkpoint()
  await store.batch([
    { type: 'put', key: 'last', value: 1 },
    { type: 'del', key: 'key0' },
  ])
  await store.close()
}

before(async () => {
  await make(WHOLE, 2 ** 40)
  await make(SHORT, 0)
})
after(() => rmSync(root, { recursive: true, force: true }))

/** A copy of a folder, to be damaged. */
function copyOf(dir: string, name: string): string {
  const copy = join(root, name)
  cpSync(dir, copy, { recursive: true })
  return copy
}

function segments(dir: string): string[] {
  return readdirSync(join(dir, 'log'))
    .filter((name) => name.endsWith('.wal'))
    .map((name) => join(dir, 'log', name))
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path)
  bytes[at]! ^= 1
  writeFileSync(path, bytes)
}

function contents(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map((path) => `${path} ${readFileSync(path).toString('base64')}`)
}

test('inspect shows a folder, entries and states in words, and changes nothing', async () => {
  const before = contents(WHOLE)
  const summary = await quorate('inspect', WHOLE)
  assert.equal(summary.code, 0, summary.out)
  assert.match(summary.out, /member +a, node 1 of cluster [0-9a-f]{16}/)
  assert.match(summary.out, /checkpoint +index \d+ of term 1/)
  assert.match(summary.out, /log +entries 1 to \d+/)
  assert.match(summary.out, /00000001-1\.wal/)
  const { lastIndex } = JSON.parse((await quorate('inspect', WHOLE, '--json')).out).log
  const last = await quorate('inspect', WHOLE, '--entries', String(lastIndex))
  assert.match(last.out, /put "last", 1 B\n +del "key0"/)
  const frames = await quorate('inspect', WHOLE, '--log')
  assert.match(frames.out, /batch 0 {2}72 to 200\n {2}state: term 0/)
  const now = await quorate('inspect', WHOLE, '--state', '--prefix', 'last')
  assert.match(now.out, new RegExp(`"last" {2}changed at ${lastIndex}, 1 B`))
  const beyond = await quorate('inspect', WHOLE, '--state', '--at', String(lastIndex + 1))
  assert.deepEqual([beyond.code, /no entries from there/.test(beyond.out)], [1, true])
  assert.equal((await quorate('doctor', WHOLE, '--values')).code, 0)
  assert.deepEqual(contents(WHOLE), before)
})

test('inspect shows a state between checkpoint and end by applying entries to a copy', async () => {
  const dir = copyOf(WHOLE, 'older')
  // Without a checkpoint all is in the log.
  rmSync(join(dir, 'state'), { recursive: true })
  const databases = new LevelDatabases(MEMORY)
  await (await databases.open(join(dir, 'state'))).close()
  const { out } = await quorate('inspect', dir, '--state', '--at', '12', '--limit', '1000')
  const keys = out.match(/"key\d+"/g) ?? []
  assert.ok(keys.length > 5 && keys.length < 13, out)
  assert.match(out, /state at index 12 of term 1/)
})

test('doctor finds a sound folder sound', async () => {
  const { code, out } = await quorate('doctor', SHORT, '--values')
  assert.equal(code, 0, out)
  assert.match(out, /All 120 values pass their checks/)
  assert.match(out, /The log is whole/)
})

test('damage in the log is shown with file and offset, and what can be done', async () => {
  const dir = copyOf(WHOLE, 'damaged')
  const [first] = segments(dir)
  flip(first!, 5_000)
  const shown = await quorate('inspect', dir)
  assert.equal(shown.code, 1)
  assert.match(shown.out, /damaged: .*00000001-1\.wal, offset \d+: a batch fails its checks/)
  const { code, out } = await quorate('doctor', dir)
  assert.equal(code, 1)
  assert.match(out, /The log is damaged: .*00000001-1\.wal/)
  assert.match(out, /quorate restore/)
})

test('a missing segment, one that was cut short and one with a damaged header are each told', async () => {
  const missing = copyOf(WHOLE, 'missing')
  rmSync(segments(missing)[1]!)
  assert.match((await quorate('doctor', missing)).out, /a segment is gone/)
  const cut = copyOf(WHOLE, 'cut')
  truncateSync(segments(cut).at(-1)!, 300)
  assert.match((await quorate('doctor', cut)).out, /it was cut short/)
  const headless = copyOf(WHOLE, 'headless')
  flip(segments(headless).at(-1)!, 30)
  const { code, out } = await quorate('doctor', headless)
  assert.deepEqual([code, /its header fails its check/.test(out)], [1, true])
})

test('a torn tail is a note: the member starts, and nothing acknowledged is lost', async () => {
  const dir = copyOf(WHOLE, 'torn')
  const path = segments(dir).at(-1)!
  const bytes = readFileSync(path)
  bytes.write('half a write', bytes.length - 4_096)
  writeFileSync(path, bytes)
  const { code, out } = await quorate('doctor', dir)
  assert.equal(code, 0, out)
  assert.match(out, /The last write never finished/)
  const store = await Store.open({ dir })
  await store.close()
})

test('a LevelDB that does not open is a note while the log has everything, else it is wrong', async () => {
  for (const [source, expected] of [
    [WHOLE, 0],
    [SHORT, 1],
  ] as const) {
    const dir = copyOf(source, `no-manifest-${expected}`)
    const state = join(dir, 'state')
    for (const name of readdirSync(state)) {
      if (name.startsWith('MANIFEST')) rmSync(join(state, name))
    }
    const { code, out } = await quorate('doctor', dir)
    assert.equal(code, expected, out)
    assert.match(out, expected === 0 ? /rebuilds it/ : /Restore a backup/)
    rmSync(state, { recursive: true })
    assert.equal((await quorate('doctor', dir)).code, expected)
  }
})

test('a value that fails its check is named', async () => {
  const dir = copyOf(SHORT, 'bad-value')
  const database = await new LevelDatabases(MEMORY).open(join(dir, 'state'))
  const batch = database.batch()
  batch.put(Buffer.from('\u0001key7'), Buffer.alloc(40, 1))
  await batch.write()
  assert.ok(await database.flush())
  await database.close()
  const { code, out } = await quorate('doctor', dir, '--values')
  assert.equal(code, 1)
  assert.match(out, /1 of 120 values fail their checks: "key7"/)
})

test('a folder without its identity, with a damaged one, or that is none at all is told apart', async () => {
  const orphan = copyOf(WHOLE, 'orphan')
  rmSync(join(orphan, 'member.json'))
  assert.match(
    (await quorate('doctor', orphan)).out,
    /member\.json, which says whose it is, is gone/,
  )
  const garbled = copyOf(WHOLE, 'garbled')
  writeFileSync(join(garbled, 'member.json'), '{')
  assert.equal((await quorate('doctor', garbled)).code, 1)
  assert.equal((await quorate('inspect', garbled)).code, 1)
  const none = join(root, 'none')
  assert.match((await quorate('doctor', none)).out, /there is no folder/)
  assert.equal((await quorate('doctor')).code, 2)
  assert.equal((await quorate('inspect', WHOLE, '--at', '3')).code, 2)
})
