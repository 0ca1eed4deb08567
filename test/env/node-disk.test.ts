import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { NodeDisk } from '../../src/env/node-disk.js'
import { type DiskFixture, diskContract } from '../contract/disk.js'

async function fixture(): Promise<DiskFixture> {
  const dir = await mkdtemp(join(tmpdir(), 'quorate-disk-'))
  return {
    disk: new NodeDisk(),
    dir,
    run: (promise) => promise,
    close: () => rm(dir, { recursive: true }),
  }
}

diskContract('NodeDisk', fixture)

test('a lock ends with its process, and until then names it', async () => {
  const { disk, dir, close } = await fixture()
  const script = `
    const { NodeDisk } = await import(${JSON.stringify(new URL('../../src/env/node-disk.js', import.meta.url).href)})
    await new NodeDisk().lock(process.argv[1])
    console.log('locked')
    setInterval(() => {}, 1_000)`
  const child = spawn(process.execPath, [
    '--input-type=module',
    '--eval',
    script,
    join(dir, 'lock'),
  ])
  await once(child.stdout, 'data')
  await assert.rejects(disk.lock(join(dir, 'lock')), {
    code: 'QUORATE_LOCKED',
    message: new RegExp(`process ${child.pid} `),
  })
  child.kill('SIGKILL')
  await once(child, 'exit')
  const lock = await disk.lock(join(dir, 'lock'))
  await lock.close()
  await close()
})

test('makeDir takes a path relative to the process', async () => {
  const { disk, dir, close } = await fixture()
  const before = process.cwd()
  process.chdir(dir)
  try {
    await disk.makeDir('a/b/c')
    assert.deepEqual(await disk.list(join(dir, 'a/b')), ['c'])
  } finally {
    process.chdir(before)
    await close()
  }
})
