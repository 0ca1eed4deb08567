/**
 * The examples in the documents run: every ```js block of README.md and docs/ is a program, run in a folder of
 * its own against the built package. What a line prints is written behind it: `// prints A, B`.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

const ROOT = join(import.meta.dirname, '../..')
const run = promisify(execFile)

interface Example {
  readonly title: string
  readonly program: string
  readonly prints: readonly string[]
}

async function examplesIn(path: string): Promise<Example[]> {
  const text = await readFile(join(ROOT, path), 'utf8')
  return [...text.matchAll(/^```(?:js|ts)\n([\s\S]*?)^```/gm)].map((match, i) => ({
    title: `example ${i + 1} of ${path} runs and prints what it says`,
    program: match[1]!,
    prints: [...match[1]!.matchAll(/\/\/ prints (.*)$/gm)].flatMap(([, lines]) =>
      lines!.split(', '),
    ),
  }))
}

/** The documents use ports that are easy to remember; here they become unix sockets, which nobody else has. */
function withoutPorts(program: string): string {
  return program.replace(/127\.0\.0\.1:(\d+)/g, 'unix:$1.sock')
}

async function runExample({ program, prints }: Example): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'quorate-docs-'))
  try {
    await mkdir(join(dir, 'node_modules'))
    await symlink(ROOT, join(dir, 'node_modules/quorate'), 'dir')
    await writeFile(join(dir, 'example.mjs'), withoutPorts(program))
    const { stdout, stderr } = await run(process.execPath, ['example.mjs'], {
      cwd: dir,
      timeout: 60_000,
    })
    assert.deepEqual([stderr, stdout.trimEnd().split('\n')], ['', prints])
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

const documents = [
  'README.md',
  ...(await readdir(join(ROOT, 'docs'))).map((name) => `docs/${name}`),
]
const examples = (
  await Promise.all(documents.filter((path) => path.endsWith('.md')).map(examplesIn))
).flat()

test('the README has examples', () => {
  assert.ok(examples.length >= 2)
})

for (const example of examples) test(example.title, () => runExample(example))
