/**
 * Runs the tests: every `*.test.js` below this folder, two files at a time, each in its own process.
 *
 * Arguments filter by substring of the path: `node dist/test/run.js log/ raft/` runs two folders. Exit code 1
 * when a test failed, 2 when nothing was selected.
 */
import { readdirSync } from 'node:fs'
import { join, sep } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'

/** A file that takes longer than this hangs. */
const FILE_TIMEOUT_MS = 300_000

function testFiles(root: string, filters: readonly string[]): string[] {
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.js'))
    .filter((name) => {
      const path = name.split(sep).join('/')
      return filters.length === 0 || filters.some((filter) => path.includes(filter))
    })
    .sort()
    .map((name) => join(root, name))
}

const files = testFiles(import.meta.dirname, process.argv.slice(2))
if (files.length === 0) {
  process.stderr.write(`no test file matches ${process.argv.slice(2).join(' ')}\n`)
  process.exitCode = 2
} else {
  const stream = run({ files, concurrency: 2, timeout: FILE_TIMEOUT_MS })
  stream.on('test:fail', () => {
    process.exitCode = 1
  })
  stream.compose(new spec()).pipe(process.stdout)
}
