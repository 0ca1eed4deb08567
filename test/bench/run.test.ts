import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Results } from '../../bench/results.js'

const PROGRAM = join(import.meta.dirname, '../../bench/run.js')

function run(...args: readonly string[]): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [PROGRAM, ...args], {
    encoding: 'utf8',
  })
  return { code: status, out: stdout, err: stderr }
}

test('without a name, every benchmark is listed with its question', () => {
  const { code, err } = run()
  assert.equal(code, 2)
  for (const name of ['levels', 'ycsb', 'writes', 'staleness', 'failover', 'scale', 'compare']) {
    assert.match(err, new RegExp(`^ +${name} +.+\\?$`, 'm'))
  }
  assert.equal(run('no-such').code, 2)
  assert.equal(run('cost', '--no-such-flag').code, 2)
})

test('every benchmark says what its flags are', () => {
  const names = [...run().err.matchAll(/^ {2}([\w-]+) /gm)].map((match) => match[1]!)
  assert.ok(names.length >= 12)
  for (const name of names) {
    const help = run(name, '--help')
    assert.equal(help.code, 0, `${name} --help: ${help.err}`)
    assert.match(help.out, new RegExp(`^npm run bench -- ${name}`), name)
  }
})

test('a benchmark prints a table with the machine, and writes the same as JSON', () => {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-bench-test-'))
  try {
    const file = join(folder, 'cost.json')
    const { code, out, err } = run('cost', '--quick', '--json', file)
    assert.equal(code, 0, err)
    assert.match(out, /cores.*node v.*quorate \d/)
    assert.match(out, /^ +3 +leader +get, strong +1 +4 +0 /m)
    const results = JSON.parse(readFileSync(file, 'utf8')) as Results
    assert.equal(results.schema, 2)
    assert.equal(results.benchmark, 'cost')
    assert.equal(results.machine.node, process.version)
    assert.ok(results.rows.length > 20)
    for (const { labels, figures } of results.rows) {
      assert.ok(Object.keys(labels).length > 0)
      for (const { unit, runs, median, min, max } of Object.values(figures)) {
        assert.equal(typeof unit, 'string')
        assert.ok(runs.length > 0 && min <= median && median <= max)
      }
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
})
