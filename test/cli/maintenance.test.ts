/** Backup, verify, restore and recover as their users meet them: as processes, by their output and exit code. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readdir, rm, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type BackupResult, Store } from '../../src/index.js'

const COMMAND = join(import.meta.dirname, '../../src/cli/quorate.js')
let root: string

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'quorate-maintenance-'))
})

after(() => rm(root, { recursive: true, force: true }))

function path(name: string): string {
  return join(root, name)
}

function quorate(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [COMMAND, ...args], (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err })
    })
  })
}

async function succeeds(...args: string[]): Promise<string> {
  const { code, out, err } = await quorate(...args)
  assert.deepEqual([code, err], [0, ''], args.join(' '))
  return out
}

/** A closed store in `name` with `count` values. */
async function filled(name: string, count: number): Promise<void> {
  await using store = await Store.open({ dir: path(name) })
  const keys = Array.from({ length: count }, (_, i) => `k${i}`)
  await Promise.all(keys.map((key, i) => store.put(key, { i, text: 'x'.repeat(500) })))
}

async function valueAt(dir: string, key: string): Promise<unknown> {
  await using store = await Store.open({ dir })
  return await store.get(key)
}

test('a folder is backed up, verified and restored; an incremental backup shares files', async () => {
  await filled('data', 6000)
  const [data, one, two, fresh] = ['data', 'one', 'two', 'fresh'].map(path)
  assert.match(await succeeds('backup', '--dir', data!, one!), /holds the state at index \d+/)
  await using store = await Store.open({ dir: data! })
  await store.put('k5', 'changed')
  await store.close()
  const args = ['--dir', data!, two!, '--since', one!, '--json']
  const result = JSON.parse(await succeeds('backup', ...args)) as BackupResult
  assert.ok(result.chunksWritten >= 1 && result.chunksShared >= 1, JSON.stringify(result))
  assert.match(await succeeds('verify', two!), /is whole: .* in \d+ chunks/)
  assert.match(await succeeds('restore', two!, '--dir', fresh!, '--id', 'z'), /member z of the new/)
  assert.equal(await valueAt(fresh!, 'k5'), 'changed')
  const again = await quorate('restore', two!, '--dir', fresh!)
  assert.equal(again.code, 1)
  assert.match(again.err, /QUORATE_NOT_EMPTY/)
  const [chunk] = await readdir(join(two!, 'chunks'))
  await truncate(join(two!, 'chunks', chunk!), 100)
  const damaged = await quorate('verify', two!)
  assert.equal(damaged.code, 1)
  assert.match(damaged.err, /damaged.*QUORATE_CORRUPTION/)
})

test('a folder that is open is not backed up from outside, and the holder is named', async () => {
  await filled('open', 1)
  await using store = await Store.open({ dir: path('open') })
  const { code, err } = await quorate('backup', '--dir', path('open'), path('never'))
  assert.equal(code, 1)
  assert.match(err, new RegExp(`process ${process.pid} .*QUORATE_LOCKED`))
  await store.backup(path('inside'))
  assert.match(await succeeds('verify', path('inside')), /is whole/)
})

test('a running member sends its state to whoever asks it, and goes on', async () => {
  const listen = `unix:${path('s')}`
  await using store = await Store.open({ dir: path('served'), id: 'a', listen })
  const keys = Array.from({ length: 5000 }, (_, i) => `k${i}`)
  await Promise.all(keys.map((key) => store.put(key, 'x'.repeat(500))))
  const [one, two] = [path('fetched'), path('fetched-again')]
  assert.match(await succeeds('backup', one, '--at', listen), /holds the state at index \d+/)
  await store.put('k7', 'changed')
  const args = ['--at', listen, '--since', one, '--json']
  const result = JSON.parse(await succeeds('backup', two, ...args)) as BackupResult
  assert.ok(result.chunksWritten <= 4 && result.chunksShared >= 1, JSON.stringify(result))
  assert.match(await succeeds('verify', two), /is whole/)
  await succeeds('restore', two, '--dir', path('from-fetched'))
  assert.equal(await valueAt(path('from-fetched'), 'k7'), 'changed')
})

test('a backup and an archive are restored to an exact entry', async () => {
  const archive = path('archive')
  const storage = { segmentBytes: 65_536, checkpointBytes: 65_536, keepLogBytes: 0, archive }
  await using store = await Store.open({ dir: path('archived'), storage })
  await store.put('k', 'first')
  await store.backup(path('early'))
  const { index } = await store.put('k', 'wanted')
  await store.put('k', 'not wanted')
  await store.checkpoint()
  const args = [path('early'), '--dir', path('exact'), '--at-index', `${index}`]
  const { code, err } = await quorate('restore', ...args)
  assert.equal(code, 2)
  assert.match(err, /--at-index needs --archive/)
  await succeeds('restore', ...args, '--archive', archive)
  assert.equal(await valueAt(path('exact'), 'k'), 'wanted')
})

test('recover says first what there is, and does it only when it is told to', async () => {
  await filled('survivor', 10)
  const preview = await succeeds('recover', '--dir', path('survivor'), '--preview')
  assert.match(preview, /is member a of cluster [0-9a-f]{16}/)
  assert.match(preview, /its log ends in term \d+ at index \d+/)
  assert.match(preview, /Nothing is lost/)
  const hesitant = await quorate('recover', '--dir', path('survivor'), '--to', path('recovered'))
  assert.equal(hesitant.code, 2)
  assert.match(hesitant.err, /--force-new-cluster/)
  const args = ['--dir', path('survivor'), '--to', path('recovered'), '--force-new-cluster']
  assert.match(await succeeds('recover', ...args), /member a of the new cluster/)
  assert.deepEqual(await valueAt(path('recovered'), 'k7'), { i: 7, text: 'x'.repeat(500) })
  await succeeds('recover', '--dir', path('survivor/'), '--force-new-cluster')
  assert.deepEqual(await valueAt(path('survivor.recovered'), 'k8'), { i: 8, text: 'x'.repeat(500) })
})

test('a wrong command line ends with exit code 2 and one sentence that says what is wrong', async () => {
  const wrong: [string[], RegExp][] = [
    [['backup', 'dest'], /--at, a running member, or --dir/],
    [['backup', 'dest', '--at', 'a:1', '--dir', 'x'], /--at, a running member, or --dir/],
    [['backup', '--dir', 'x', 'a', 'b'], /one DEST/],
    [['verify'], /one BACKUP/],
    [['restore', 'x'], /--dir/],
    [['recover', '--preview'], /takes --dir/],
  ]
  for (const [args, message] of wrong) {
    const { code, err } = await quorate(...args)
    assert.equal(code, 2, args.join(' '))
    assert.match(err, message)
  }
})
