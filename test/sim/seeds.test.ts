import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

const PROGRAM = join(import.meta.dirname, 'run.js')

/** Runs the simulator in a folder of its own, which takes the files of failures. */
function simulate(...args: string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-sim-'))
  try {
    const { status, stdout, stderr } = spawnSync(process.execPath, [PROGRAM, ...args], {
      cwd: folder,
      encoding: 'utf8',
    })
    assert.equal(status, 0, `npm run sim -- ${args.join(' ')}\n${stdout}${stderr}`)
    return stdout
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

test('whole clusters under faults keep every rule, from seeds that nobody has run before', (t) => {
  const fresh = randomInt(2 ** 31)
  t.diagnostic(`fresh seeds from ${fresh}: npm run sim -- --seed ${fresh}`)
  assert.match(simulate('--seeds', '4', '--from', `${fresh}`), /4 seeds, .*; 0 violations/)
})
