import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

const run = promisify(execFile)

test('no seek ends the process, as classic-level does on one outside the range of an empty database', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'quorate-seek-'))
  try {
    const child = join(import.meta.dirname, 'seek-child.js')
    const { stdout } = await run(process.execPath, [child, join(dir, 'store')], { timeout: 60_000 })
    assert.equal(stdout, '2352\n')
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})
