/** Backups that a client fetches from a running member. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SimCluster } from '../../src/sim/sim-cluster.js'
import { SimRandom } from '../../src/sim/sim-random.js'
import { SimTime } from '../../src/sim/sim-time.js'
import { writeBackup } from '../../src/snapshot/backup.js'
import { verify } from '../../src/store/maintenance.js'
import { RemoteState } from '../../src/store/remote-state.js'
import { ClientConnection } from '../../src/transport/client.js'
import { hasCode, lone } from '../member/membership-fixture.js'

/** A lone member with chunks of data, whose frames are shorter than a chunk. */
async function filled(seed: number): Promise<SimCluster> {
  const cluster = await lone(seed, { limits: { maxValueBytes: 8192, maxRequestBytes: 8192 } })
  const writes = Array.from({ length: 200 }, (_, i) =>
    cluster.store('a').put(`k${i}`, 'x'.repeat(8_000)),
  )
  await cluster.run(Promise.all(writes))
  return cluster
}

async function connected(cluster: SimCluster, name = 'client'): Promise<ClientConnection> {
  const time = new SimTime(cluster.world)
  return cluster.run(
    ClientConnection.connect(
      cluster.network.host(name, time),
      time,
      new SimRandom(cluster.world, name),
      cluster.addressOf('a'),
      { tls: undefined, secret: Buffer.from('a secret for simulations'), timeoutMs: 5000 },
    ),
  )
}

test('a state fetched in pieces beside writes is one state, and a later one fetches what has changed', async () => {
  const cluster = await filled(1)
  const { disk } = cluster.host('a')
  const connection = await connected(cluster)
  const state = new RemoteState(connection, 'strong', 5000)
  let isOver = false
  const write = async () => {
    for (let i = 0; !isOver; i++) await cluster.store('a').put(`k${i % 200}`, `${i}`)
  }
  const writing = write()
  const first = await cluster.run(writeBackup(disk, state, 'one', {}))
  isOver = true
  await cluster.run(writing)
  assert.ok(first.chunksWritten >= 3)
  await cluster.run(verify({ disk }, 'one', {}))
  await cluster.run(writeBackup(disk, state, 'two', {}))
  await cluster.run(cluster.store('a').put('k50', 'changed'))
  const third = await cluster.run(writeBackup(disk, state, 'three', { since: 'two' }))
  assert.ok(third.chunksShared >= 1, JSON.stringify(third))
  await cluster.run(verify({ disk }, 'three', {}))
  connection.close()
  await cluster.close()
})

test('two states are held for clients at a time, and let go when nobody asks about them', async () => {
  const cluster = await filled(2)
  const connection = await connected(cluster)
  const begin = () =>
    cluster.run(
      connection.call('backup', { type: 'begin', level: 'strong', timeoutMs: 5000 }, 10_000),
    )
  const { id } = (await begin()) as { id: number }
  await begin()
  await assert.rejects(begin(), hasCode('QUORATE_OVERLOADED'))
  const piece = (of: number, offset = 0) =>
    cluster.run(
      connection.call('backup', { type: 'piece', id: of, firstKey: Buffer.of(), offset }, 10_000),
    )
  await piece(id)
  await assert.rejects(piece(id, 1_000_000), hasCode('QUORATE_FORMAT'))
  await assert.rejects(piece(99), hasCode('QUORATE_NOT_READY'))
  await cluster.world.advance(61_000)
  await assert.rejects(piece(id), hasCode('QUORATE_NOT_READY'))
  await begin()
  connection.close()
  await cluster.close()
})

test('closing the member lets go of states that clients hold', async () => {
  const cluster = await filled(3)
  const connection = await connected(cluster)
  const state = new RemoteState(connection, 'eventual', 5000)
  const { disk } = cluster.host('a')
  const controller = new AbortController()
  const onProgress = () => controller.abort()
  const aborted = writeBackup(disk, state, 'one', { signal: controller.signal, onProgress })
  await assert.rejects(cluster.run(aborted), hasCode('QUORATE_ABORTED'))
  await cluster.run(
    connection.call('backup', { type: 'begin', level: 'strong', timeoutMs: 5000 }, 10_000),
  )
  await cluster.close()
  await cluster.restart('a')
  await cluster.close()
})
