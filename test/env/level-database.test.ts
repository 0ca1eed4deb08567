/** LevelDatabase: the contract of Database, and what is peculiar to LevelDB (design D2). */
import assert from 'node:assert/strict'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Database } from '../../src/env/database.js'
import { LevelDatabases } from '../../src/env/level-database.js'
import { databaseContract } from '../contract/database.js'

const databases = new LevelDatabases({ writeBufferBytes: 1 << 20, cacheBytes: 1 << 20 })

databaseContract('LevelDB', async () => {
  const root = mkdtempSync(join(tmpdir(), 'quorate-level-'))
  const dir = join(root, 'nested', 'state')
  return {
    databases,
    dir,
    run: (promise) => promise,
    // A copy of the files as they lie there is what a killed process leaves.
    crash: async () => {
      cpSync(dir, join(root, 'left'), { recursive: true })
      return join(root, 'left')
    },
    close: async () => rmSync(root, { recursive: true, force: true }),
  }
})

async function inFolder(body: (dir: string) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'quorate-level-'))
  try {
    await body(dir)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

async function put(database: Database, key: string): Promise<void> {
  const batch = database.batch()
  batch.put(Buffer.from(key), Buffer.from(key))
  await batch.write()
}

test("LevelDB's own log is never read: what was not flushed is gone after a clean close", () =>
  inFolder(async (dir) => {
    const first = await databases.open(dir)
    await put(first, 'flushed')
    assert.equal(await first.flush(), true)
    await put(first, 'not flushed')
    await first.close()
    assert.ok(readdirSync(dir).some((name) => name.endsWith('.log')))
    const second = await databases.open(dir)
    assert.ok(second.get(Buffer.from('flushed')))
    assert.equal(second.get(Buffer.from('not flushed')), undefined)
    await second.close()
  }))

test('a flush that LevelDB could not write is false, and later writes fail (design D2)', () =>
  inFolder(async (dir) => {
    const database = await databases.open(dir)
    await put(database, 'a')
    // A folder in the place of the next table: to LevelDB the disk fails, whoever runs the test.
    for (let i = 1; i < 30; i++) {
      mkdirSync(join(dir, `${String(i).padStart(6, '0')}.ldb`), { recursive: true })
    }
    assert.equal(await database.flush(), false)
    assert.equal(await database.flush(), false)
    await assert.rejects(put(database, 'b'))
    await database.close()
  }))

test('a flush after which no log file was seen to go proves nothing', () =>
  inFolder(async (dir) => {
    const database = await databases.open(dir)
    await put(database, 'a')
    for (const name of readdirSync(dir)) if (name.endsWith('.log')) rmSync(join(dir, name))
    assert.equal(await database.flush(), false)
    await database.close()
  }))

test('damaged or missing files are QUORATE_CORRUPTION at open', () =>
  inFolder(async (dir) => {
    const database = await databases.open(dir)
    await put(database, 'a')
    assert.equal(await database.flush(), true)
    await database.close()
    const isManifest = (name: string) => name.startsWith('MANIFEST')
    const isTable = (name: string) => name.endsWith('.ldb')
    for (const isVictim of [isTable, isManifest]) {
      const copy = `${dir}-${isVictim.name}`
      cpSync(dir, copy, { recursive: true })
      const victim = readdirSync(copy).find(isVictim)!
      rmSync(join(copy, victim))
      if (isVictim === isManifest) writeFileSync(join(copy, victim), Buffer.alloc(100, 7))
      await assert.rejects(databases.open(copy), { code: 'QUORATE_CORRUPTION' })
      rmSync(copy, { recursive: true })
    }
  }))
