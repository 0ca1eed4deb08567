/** Restoring to an exact entry, from a backup and the log entries that members archived since. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Env } from '../../src/env/env.js'
import type { SimCluster } from '../../src/sim/sim-cluster.js'
import type { SimDisk } from '../../src/sim/sim-disk.js'
import { restore } from '../../src/store/maintenance.js'
import { openStore } from '../../src/store/store.js'
import { hasCode, lone, three } from '../member/membership-fixture.js'

/** So small that the log is shortened often. */
const STORAGE = {
  segmentBytes: 64 * 1024,
  checkpointBytes: 64 * 1024,
  keepLogBytes: 0,
  archive: 'archive',
}

/** Writes `count` to one key, numbered from `from`; returns the index of each. */
async function count(
  cluster: SimCluster,
  via: string,
  from: number,
  to: number,
): Promise<number[]> {
  const indexes: number[] = []
  for (let i = from; i <= to; i++) {
    const value = `${i} ${'x'.repeat(2_000)}`
    indexes.push((await cluster.run(cluster.store(via).put('counter', value))).index)
  }
  return indexes
}

/** What the counter is in a store that was restored to `atIndex`. */
async function counterAt(
  cluster: SimCluster,
  env: Env,
  to: string,
  atIndex: number | undefined,
): Promise<number> {
  const options = { archive: 'archive', ...(atIndex !== undefined && { atIndex }) }
  const { index } = await cluster.run(restore(env, 'backup', to, options))
  if (atIndex !== undefined) assert.equal(index, atIndex)
  const store = await cluster.run(openStore(env, { dir: to }))
  const value = await cluster.run(store.get<string>('counter'))
  await cluster.run(store.close())
  return Number.parseInt(value ?? '0', 10)
}

test('a backup and the archive give the state after any entry since, exactly', async () => {
  const cluster = await lone(1, { storage: STORAGE })
  await count(cluster, 'a', 1, 20)
  await cluster.run(cluster.store('a').backup('backup'))
  const indexes = await count(cluster, 'a', 21, 150)
  await cluster.run(cluster.store('a').checkpoint())
  assert.ok(cluster.store('a').status().firstIndex > indexes[50]!, 'the log still has it all')
  const last = await count(cluster, 'a', 151, 160)
  cluster.kill('a')
  const env = cluster.host('a').boot()
  for (const i of [0, 1, 60, 129]) {
    assert.equal(await counterAt(cluster, env, `to-${i}`, indexes[i]), 21 + i)
  }
  assert.equal(await counterAt(cluster, env, 'to-the-end', undefined), 150)
  const beyond = restore(env, 'backup', 'beyond', { archive: 'archive', atIndex: last.at(-1)! })
  await assert.rejects(cluster.run(beyond), hasCode('QUORATE_NOT_READY'))
  const before = restore(env, 'backup', 'before', { archive: 'archive', atIndex: 3 })
  await assert.rejects(cluster.run(before), /take an earlier one/)
  await cluster.close()
})

test('the archive goes on where it was after a kill, and an unfinished file is no part of it', async () => {
  const cluster = await lone(2, { storage: STORAGE })
  await cluster.run(cluster.store('a').backup('backup'))
  await count(cluster, 'a', 1, 60)
  const { disk } = cluster.host('a')
  const files = () => disk.allPaths.filter((path) => path.startsWith('archive/'))
  const writing = count(cluster, 'a', 61, 120)
  await cluster.world.runUntil(() => files().some((path) => path.endsWith('.new')), 60_000)
  cluster.kill('a')
  await Promise.race([writing, cluster.world.advance(1)])
  assert.ok(files().some((path) => path.endsWith('.new')))
  await cluster.restart('a')
  const again = await count(cluster, 'a', 121, 200)
  await cluster.run(cluster.store('a').checkpoint())
  assert.ok(files().every((path) => !path.endsWith('.new')))
  cluster.kill('a')
  assert.equal(await counterAt(cluster, cluster.host('a').boot(), 'to', again[40]), 161)
  await cluster.close()
})

test('what the log has let go of is in the archive, whatever a power cut takes', async () => {
  const cluster = await lone(5, { storage: STORAGE })
  await cluster.run(cluster.store('a').backup('backup'))
  const indexes = await count(cluster, 'a', 1, 150)
  await cluster.run(cluster.store('a').checkpoint())
  const gone = cluster.store('a').status().firstIndex - 1
  assert.ok(gone > indexes[30]!)
  cluster.powerCut('a', 'none')
  const counter = await counterAt(cluster, cluster.host('a').boot(), 'to', gone)
  assert.equal(counter, 1 + indexes.indexOf(gone))
  await cluster.close()
})

test('what is damaged in the archive is named, unless it is whole elsewhere', async () => {
  const cluster = await three(3, { storage: STORAGE })
  await cluster.run(cluster.store('a').backup('backup'))
  const indexes = await count(cluster, 'b', 1, 120)
  await cluster.world.advance(1000)
  for (const name of cluster.names) await cluster.run(cluster.store(name).checkpoint())
  for (const name of cluster.names) cluster.kill(name)
  const { disk } = cluster.host('a')
  const env = cluster.host('a').boot()
  for (const name of ['a', 'c']) await copyArchive(cluster, name, disk)
  const files = disk.allPaths.filter((path) => path.startsWith('archive/'))
  assert.ok(files.length >= 2)
  for (const path of files) disk.corrupt(path, 100, 1)
  const damaged = restore(env, 'backup', 'damaged', { archive: 'archive' })
  await assert.rejects(cluster.run(damaged), hasCode('QUORATE_CORRUPTION'))
  for (const name of ['a', 'c']) {
    const options = { archive: ['archive', `of-${name}`], atIndex: indexes[80]! }
    await cluster.run(restore(env, 'backup', `by-${name}`, options))
    const store = await cluster.run(openStore(env, { dir: `by-${name}` }))
    const value = await cluster.run(store.get<string>('counter'))
    assert.equal(Number.parseInt(value!, 10), 81)
    await cluster.run(store.close())
  }
})

/** Copies the archive of a member to the folder `of-<name>` on `disk`. */
async function copyArchive(cluster: SimCluster, name: string, disk: SimDisk): Promise<void> {
  const from = cluster.host(name).disk
  for (const path of from.allPaths.filter((file) => file.startsWith('archive/'))) {
    const to = path.replace('archive/', `of-${name}/`)
    await cluster.run(disk.makeDir(to.slice(0, to.lastIndexOf('/'))))
    const file = await cluster.run(disk.open(to, 'create'))
    await cluster.run(file.write([from.bytesOf(path)], 0))
  }
}

test('an archive that takes nothing keeps the log, and says so; when it takes again, the log goes', async () => {
  const cluster = await lone(4, { storage: STORAGE })
  const { disk } = cluster.host('a')
  const { firstIndex } = cluster.store('a').status()
  const failing = () => disk.failNext('sync', 'EIO', 'archive/')
  for (let i = 0; i < 20; i++) failing()
  await count(cluster, 'a', 1, 100)
  await cluster.run(cluster.store('a').checkpoint())
  const status = cluster.store('a').status()
  assert.equal(status.firstIndex, firstIndex)
  assert.match(status.words.join(' '), /archive takes no entries.*EIO/)
  disk.forgetFailures()
  await cluster.run(cluster.store('a').checkpoint())
  const after = cluster.store('a').status()
  assert.ok(after.firstIndex > firstIndex)
  assert.doesNotMatch(after.words.join(' '), /archive/)
  await cluster.close()
})
