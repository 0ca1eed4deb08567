/** Clients of real members: other processes, unix sockets, TLS. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { SpawnedCluster } from '../../../src/cli/processes/spawned-cluster.js'
import { connect, type OpenOptions, Store } from '../../../src/index.js'
import { certificateAuthority } from '../../contract/certificates.js'
import { hasCode } from '../../member/membership-fixture.js'

const folders: string[] = []

/** Removed when all tests are over: those who use it have closed it then. */
async function folder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'quorate-remote-'))
  folders.push(dir)
  return dir
}

after(async () => {
  for (const dir of folders) await rm(dir, { recursive: true, force: true })
})

async function lone(t: TestContext, options: Omit<OpenOptions, 'dir'>): Promise<Store> {
  const store = await Store.open({ dir: join(await folder(), 'a'), id: 'a', ...options })
  t.after(() => store.close())
  return store
}

test('writes of a client are applied once each while its leader is killed, and its watch misses none', async (t) => {
  const cluster = await SpawnedCluster.start({ dir: await folder() })
  t.after(() => cluster.close())
  const store = await connect(cluster.addresses)
  t.after(() => store.close())
  const stop = new AbortController()
  const watch = store.watch<number>({ prefix: 'k', signal: stop.signal })
  const seen: number[] = []
  const watching = (async () => {
    for await (const event of watch) {
      if (event.type !== 'changes') continue
      for (const change of event.changes) if (change.type === 'put') seen.push(change.value!)
    }
  })().catch((error: unknown) => error)
  await store.put('first', 0)
  const before = store.status().leader
  const writes: Promise<number>[] = []
  for (let i = 0; i < 300; i++) {
    writes.push(store.put(`k${i}`, i, { timeoutMs: 60_000 }).then(({ index }) => index))
    if (i === 100 && before !== undefined) await cluster.kill(before)
    if (i % 10 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  const indexes = await Promise.all(writes)
  for (const i of [0, 99, 100, 101, 200, 299]) {
    assert.equal((await store.getWithMeta(`k${i}`)).revision, indexes[i])
  }
  while (seen.length < 300) await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(
    seen.toSorted((x, y) => x - y),
    Array.from({ length: 300 }, (_, i) => i),
  )
  stop.abort()
  await watching
})

test('a client connects over a unix socket', async (t) => {
  const dir = await folder()
  const address = `unix:${join(dir, 'socket')}`
  await lone(t, { listen: address })
  const store = await connect(address)
  await store.put('k', 1)
  assert.equal(await store.get('k'), 1)
  await store.close()
})

test('over TLS a client is what the name in its certificate may be', async (t) => {
  const ours = certificateAuthority('ours')
  const member = await lone(t, {
    listen: '127.0.0.1:0',
    tls: ours.issue('a'),
    clients: [
      { name: 'reader', role: 'read' },
      { name: 'app', role: 'write' },
    ],
  })
  const { address } = member.status()
  await member.put('k', 1)
  const reader = await connect(address!, { tls: ours.issue('reader') })
  assert.equal(await reader.get('k'), 1)
  await assert.rejects(reader.put('k', 2), hasCode('QUORATE_FORBIDDEN'))
  await reader.close()
  const app = await connect(address!, { tls: ours.issue('app') })
  await app.put('k', 2)
  await assert.rejects(app.members.remove('a'), hasCode('QUORATE_FORBIDDEN'))
  await app.close()
  await assert.rejects(
    connect(address!, { tls: ours.issue('stranger') }),
    hasCode('QUORATE_FORBIDDEN'),
  )
  const theirs = certificateAuthority('theirs')
  const foreign = connect(address!, { tls: theirs.issue('app'), connectTimeoutMs: 500 })
  await assert.rejects(foreign, hasCode('QUORATE_NETWORK'))
})
