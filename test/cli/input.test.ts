/** What the demo stores, and what it names as left out. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { dependencyTree, listInput } from '../../src/cli/demo/input.js'

test('files are listed by key; too large ones and those beyond the total are left out, links ignored', async () => {
  const root = await mkdtemp(join(tmpdir(), 'quorate-input-'))
  try {
    await mkdir(join(root, 'p/lib'), { recursive: true })
    const sizes = { 'p/lib/b': 30, 'p/a': 40, 'p/large': 101, 'p/z': 50, 'p/zz': 10, 'p/empty': 0 }
    for (const [key, bytes] of Object.entries(sizes)) {
      await writeFile(join(root, key), Buffer.alloc(bytes))
    }
    await symlink(join(root, 'p/a'), join(root, 'p/link'))
    const input = await listInput(root, { valueBytes: 100, totalBytes: 100 })
    assert.deepEqual(
      input.files.map(({ key }) => key),
      ['p/a', 'p/empty', 'p/lib/b', 'p/zz'],
    )
    assert.equal(input.bytes, 80)
    assert.deepEqual(
      [input.tooLarge, input.beyondTotal].map((files) => files.map(({ key }) => key)),
      [['p/large'], ['p/z']],
    )
  } finally {
    await rm(root, { recursive: true })
  }
})

test('the tree is found from the package, not from the working directory', async () => {
  assert.match(await dependencyTree(), /node_modules$/)
})
