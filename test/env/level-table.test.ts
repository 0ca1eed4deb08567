/** Damage to LevelDB's tables is found without LevelDB. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { LevelDatabases } from '../../src/env/level-database.js'
import { TableCheck } from '../../src/env/level-table.js'

/** Of the footer only the handles and the magic are used. */
const FOOTER_BYTES = 48
const MAGIC_BYTES = 8
const HANDLES_BYTES_MAX = 12

async function withTable(run: (dir: string, path: string) => Promise<void>): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'quorate-table-'))
  try {
    const database = await new LevelDatabases({
      writeBufferBytes: 65_536,
      cacheBytes: 65_536,
    }).open(dir)
    const batch = database.batch()
    for (let i = 0; i < 400; i++) {
      const noise = Buffer.from(`${Math.imul(i, 0x9e3779b1)}`.repeat(1 + (i % 4)))
      batch.put(Buffer.from(`key ${i}`), i % 100 === 0 ? Buffer.alloc(20_000, i) : noise)
    }
    await batch.write()
    assert.ok(await database.flush())
    await database.close()
    const names = (await readdir(dir)).filter((name) => name.endsWith('.ldb'))
    await run(dir, join(dir, names[0]!))
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

function isSound(table: Buffer, pieceBytes: number): boolean {
  const check = new TableCheck(table.length)
  for (let at = 0; at < table.length; at += pieceBytes) {
    check.add(table.subarray(at, at + pieceBytes))
  }
  return check.isSound()
}

test('a table is sound in whatever pieces it comes, and no bit of it flips unseen', async () => {
  await withTable(async (_dir, path) => {
    const table = await readFile(path)
    for (const pieceBytes of [1, 7, 4096, table.length]) assert.ok(isSound(table, pieceBytes))
    const used = table.length - FOOTER_BYTES + HANDLES_BYTES_MAX / 2
    for (let at = 0; at < used; at += at > 400 && at < used - 400 ? 97 : 1) {
      table[at]! ^= 1 << (at % 8)
      assert.ok(!isSound(table, 65_536), `byte ${at} of ${table.length}`)
      table[at]! ^= 1 << (at % 8)
    }
    for (let at = table.length - MAGIC_BYTES; at < table.length; at++) {
      table[at]! ^= 1
      assert.ok(!isSound(table, 65_536), `byte ${at} of ${table.length}`)
      table[at]! ^= 1
    }
  })
})

test('a table that is cut short, empty, or has more at its end is not sound', async () => {
  await withTable(async (_dir, path) => {
    const table = await readFile(path)
    for (const bytes of [0, 1, 47, 48, 49, table.length - 48, table.length - 1]) {
      assert.ok(!isSound(table.subarray(0, bytes), 4096), `${bytes} bytes`)
    }
    assert.ok(!isSound(Buffer.concat([table, Buffer.of(0)]), 4096))
  })
})

test('a database says which of its tables is damaged, in the pace that it is given', async () => {
  await withTable(async (dir, path) => {
    const databases = new LevelDatabases({ writeBufferBytes: 65_536, cacheBytes: 65_536 })
    let read = 0
    const pace = async (bytes: number) => {
      read += bytes
      return 'goOn' as const
    }
    assert.equal(await databases.verify(dir, pace), undefined)
    const table = await readFile(path)
    assert.equal(read, table.length)
    table[1000]! ^= 4
    await writeFile(path, table)
    // It may be being written still, until it has not changed for a while.
    let isDone = false
    const verifying = databases.verify(dir, pace).finally(() => {
      isDone = true
    })
    const before = read
    while (read < before + 2 * table.length) await new Promise((resolve) => setTimeout(resolve, 1))
    assert.ok(!isDone)
    await utimes(path, new Date(0), new Date(0))
    assert.equal(await verifying, `${path} is not as it was written`)
    assert.equal(await databases.verify(dir, async () => 'stop'), undefined)
    assert.equal(await databases.verify(join(dir, 'nothing'), pace), undefined)
  })
})
