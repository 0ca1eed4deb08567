/** LevelDB's own files, missing or damaged while a member is down: it is rebuilt, and serves what it served. */
import assert from 'node:assert/strict'
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { Rebuilt } from '../../src/member/open-state.js'
import { Store } from '../../src/store/store.js'

const NAMES = ['a', 'b', 'c']
const KEYS = 120
const KIB = 1024

function filesOf(dir: string, pattern: RegExp): string[] {
  const found = readdirSync(dir).filter((name) => pattern.test(name))
  assert.ok(found.length > 0, `${pattern} in ${dir}`)
  return found.map((name) => join(dir, name))
}

/** What can happen to the folder of a LevelDB. */
const DAMAGES: Readonly<Record<string, (dir: string) => void>> = {
  'the MANIFEST is missing': (dir) => {
    for (const file of filesOf(dir, /^MANIFEST/)) rmSync(file)
  },
  'the MANIFEST is cut short': (dir) => {
    for (const file of filesOf(dir, /^MANIFEST/)) truncateSync(file, 30)
  },
  'the MANIFEST has a flipped bit': (dir) => {
    for (const file of filesOf(dir, /^MANIFEST/)) flip(file, 20)
  },
  'CURRENT is missing': (dir) => rmSync(join(dir, 'CURRENT')),
  'CURRENT is rubbish': (dir) => writeFileSync(join(dir, 'CURRENT'), 'rubbish'),
  'an SST is missing': (dir) => rmSync(filesOf(dir, /\.ldb$/)[0]!),
  'all SSTs are empty': (dir) => {
    for (const file of filesOf(dir, /\.ldb$/)) truncateSync(file, 0)
  },
  'all SSTs have lost their ends': (dir) => {
    for (const file of filesOf(dir, /\.ldb$/)) truncateSync(file, statSync(file).size >> 1)
  },
  'the folder is missing': (dir) => rmSync(dir, { recursive: true }),
}

function flip(file: string, at: number): void {
  const bytes = readFileSync(file)
  bytes[at]! ^= 1
  writeFileSync(file, bytes)
}

class Cluster {
  readonly #root: string
  readonly stores = new Map<string, Store>()

  constructor(root: string) {
    this.#root = root
  }

  dir(name: string): string {
    return join(this.#root, name)
  }

  async open(name: string): Promise<Store> {
    const members = Object.fromEntries(
      NAMES.map((each) => [each, `unix:${join(this.#root, `${each}.sock`)}`]),
    )
    const store = await Store.open({
      dir: this.dir(name),
      id: name,
      members,
      timing: { tickMs: 20, heartbeatMs: 60, electionMs: 400 },
      storage: {
        segmentBytes: 64 * KIB,
        checkpointBytes: 64 * KIB,
        keepLogBytes: 0,
        writeBufferBytes: 64 * KIB,
      },
    })
    this.stores.set(name, store)
    return store
  }

  /** The folder that holds the state of a member. */
  stateDir(name: string): string {
    const dirs = readdirSync(this.dir(name)).filter((each) => /^state(-\d+)?$/.test(each))
    assert.equal(dirs.length, 1, `folders ${dirs}`)
    return join(this.dir(name), dirs[0]!)
  }
}

test("damage to LevelDB's files is found, and the state is had again from another member", async (t) => {
  const root = mkdtempSync(join(tmpdir(), 'quorate-damage-'))
  const cluster = new Cluster(root)
  try {
    const [a] = await Promise.all(NAMES.map((name) => cluster.open(name)))
    for (let i = 0; i < KEYS; i++) {
      await a!.put(`k${i}`, `${i} ${'x'.repeat(2000)}`, { timeoutMs: 20_000 })
    }
    await delay(1500)
    for (const store of cluster.stores.values()) await store.checkpoint()
    assert.ok(cluster.stores.get('b')!.status().firstIndex > 1)
    for (const [what, damage] of Object.entries(DAMAGES)) {
      await cluster.stores.get('b')!.close()
      damage(cluster.stateDir('b'))
      const store = await cluster.open('b')
      const rebuilt: Rebuilt[] = []
      store.on('rebuilt', (event) => rebuilt.push(event))
      await delay(1)
      for (let i = 0; i < KEYS; i++) {
        const value = await store.get<string>(`k${i}`, { timeoutMs: 20_000 })
        assert.ok(value?.startsWith(`${i} x`), `${what}: k${i} is ${value?.slice(0, 10)}`)
      }
      t.diagnostic(`${what}: ${rebuilt[0]?.why} (${rebuilt[0]?.from})`)
      assert.ok(rebuilt.length === 1 && NAMES.includes(rebuilt[0]!.from), what)
      await store.put('after', what)
    }
  } finally {
    for (const store of cluster.stores.values()) await store.close()
    rmSync(root, { recursive: true, force: true })
  }
})
