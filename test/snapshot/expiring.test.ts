/** Leases and times to live travel with the state: whoever loads an image goes on as its maker does. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StateMachine } from '../../src/machine/state-machine.js'
import type { Entry } from '../../src/raft/types.js'
import { Image } from '../../src/snapshot/image.js'
import { loadImage } from '../../src/snapshot/load-image.js'
import type { Command, Expiry } from '../../src/wire/command.js'
import { packEntry, RequestWriter } from '../../src/wire/request.js'
import { clientId, contents, dumpOf, OPTIONS, TestHost } from '../machine/machine-fixture.js'
import { CLUSTER } from './snapshot-fixture.js'

const LEASE = Buffer.from('lease  1')
const leased: Expiry = { type: 'lease', lease: LEASE }

function entryOf(index: number, ...commands: Command[]): Entry {
  const writer = new RequestWriter(0)
  for (const command of commands) writer.add(command)
  const data = packEntry([writer.finish(clientId('c'), index, index, 0)])
  return { index, term: 1, kind: 'normal', data }
}

function put(key: string, expiry: Expiry): Command {
  const operation = { type: 'put', key: Buffer.from(key), value: Buffer.from('1'), expiry } as const
  return { type: 'write', operations: [operation] }
}

/** A machine with a lease, two keys that go with it, and one with a time of its own. */
async function filled(host: TestHost): Promise<StateMachine> {
  const machine = await host.open()
  const grant: Command = { type: 'grant', lease: LEASE, ttlMs: 1000 }
  const entries = [
    entryOf(1, grant, put('a', leased), put('b', leased)),
    entryOf(2, put('c', { type: 'ttl', ttlMs: 500 }), put('b', { type: 'ttl', ttlMs: 70 })),
  ]
  await host.run(machine.apply(entries))
  return machine
}

test('a state that was loaded from an image lets go what its maker does, to the byte', async () => {
  const host = new TestHost(1)
  const maker = await filled(host)
  const image = new Image((await host.run(maker.pin(2)))!, CLUSTER)
  const chunks = new Map<string, Buffer>()
  const manifest = await host.run(
    image.scan(async (chunk, content) => void chunks.set(chunk.hash, Buffer.from(await content()))),
  )
  const database = await host.run(host.databases.open('copy'))
  await host.run(loadImage(manifest, async ({ hash }) => chunks.get(hash)!, database))
  const copy = await host.run(StateMachine.over(database, OPTIONS))
  const revoke = entryOf(3, { type: 'revoke', lease: LEASE })
  const [first] = await host.run(maker.apply([revoke]))
  const [second] = await host.run(copy.apply([revoke]))
  assert.deepEqual(first, second)
  assert.deepEqual(await contents(host, copy), ['b=1@2', 'c=1@2'])
  assert.equal(copy.digestAt(3), maker.digestAt(3))
  const run = <T>(promise: Promise<T>): Promise<T> => host.run(promise)
  const copied = await dumpOf(database, run)
  await host.run(image.close())
  await host.run(maker.close())
  assert.deepEqual(copied, await host.dump())
})

test('a state with a damaged lease or time to live gets no manifest', async () => {
  for (const prefix of [3, 5]) {
    const host = new TestHost(1)
    await host.run((await filled(host)).close())
    const database = await host.run(host.databases.open('state'))
    const cursor = database.snapshot().cursor({ range: { gte: Buffer.of(prefix) }, reverse: false })
    const [[key, value]] = (await host.run(cursor.next(1, 1000))) as [[Buffer, Buffer]]
    const batch = database.batch()
    batch.put(key, Buffer.from(value).fill(9, 3, 4))
    await host.run(batch.write())
    const image = new Image(database.snapshot(), CLUSTER)
    await assert.rejects(host.run(image.manifest()), { code: 'QUORATE_CORRUPTION' })
  }
})
