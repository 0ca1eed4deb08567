import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

const COMMAND = join(import.meta.dirname, '../../src/cli/quorate.js')
const run = promisify(execFile)

function quorate(...args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  return run(process.execPath, [COMMAND, ...args])
}

test('quorate bench says which benchmarks there are, and gives what follows a name to it', async () => {
  const { stdout } = await quorate('bench', '--help')
  assert.match(stdout, /^quorate bench NAME/)
  await assert.rejects(quorate('bench'), (error: Error & { code: number; stderr: string }) => {
    assert.equal(error.code, 2)
    const names = ['compare', 'levels', 'staleness', 'failover', 'ycsb', 'writes', 'scale', 'cost']
    for (const name of names) assert.match(error.stderr, new RegExp(`^  ${name} `, 'm'))
    return true
  })
  assert.match((await quorate('bench', 'ycsb', '--help')).stdout, /--workloads/)
  await assert.rejects(quorate('bench', 'ycsb', '--workloads', 'A,Z'), { code: 2 })
})

test('quorate bench runs a benchmark, and its file says with which command', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'quorate-bench-test-'))
  try {
    const file = join(dir, 'core.json')
    const { stdout } = await quorate('bench', 'core', '--quick', '--json', file)
    assert.match(stdout, /proposals per turn/)
    const results = JSON.parse(await readFile(file, 'utf8')) as { machine: { command: string } }
    assert.equal(results.machine.command, `quorate bench core --quick --json ${file}`)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})

test('the published package has the benchmarks', async () => {
  const path = join(import.meta.dirname, '../../../package.json')
  const { files } = JSON.parse(await readFile(path, 'utf8')) as { files: readonly string[] }
  assert.ok(files.includes('dist/bench'))
})
