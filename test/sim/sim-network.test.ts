import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Connection } from '../../src/env/network.js'
import { SimNetwork } from '../../src/sim/sim-network.js'
import { SimTime } from '../../src/sim/sim-time.js'
import { SimWorld } from '../../src/sim/world.js'
import { type NetworkLab, networkContract } from '../contract/network.js'

const LIMIT_MS = 10_000

networkContract('simulation', (): NetworkLab => {
  const world = new SimWorld(1)
  const network = new SimNetwork(world)
  let port = 7_000
  return {
    client: network.host('a', new SimTime(world)),
    server: network.host('b', new SimTime(world)),
    address: () => `127.0.0.1:${port++}`,
    complete: (promise) => world.complete(promise, LIMIT_MS),
    until: async (condition) => assert(await world.runUntil(condition, LIMIT_MS)),
    close: async () => {},
  }
})

/** Two hosts with one connection from `a` to `b`; what each side hears is written down with its time. */
async function lab(seed: number) {
  const world = new SimWorld(seed)
  const network = new SimNetwork(world, { minMs: 1, maxMs: 1 })
  const heard: string[] = []
  const times = { a: new SimTime(world), b: new SimTime(world) }
  const hear = (host: string, connection: Connection) => {
    const note = (what: string) => heard.push(`${world.now} ${host} ${what}`)
    connection.setHandlers({
      data: (bytes) => note(Buffer.from(bytes).toString()),
      drain: () => note('drain'),
      close: (error) => note(error === undefined ? 'close' : error.message),
    })
    return connection
  }
  let accepted: Connection | undefined
  await network.host('b', times.b).listen('127.0.0.2:1', undefined, (connection) => {
    accepted = hear('b', connection)
  })
  const connecting = network.host('a', times.a).connect('127.0.0.2:1', undefined)
  const a = hear('a', await world.complete(connecting, LIMIT_MS))
  await world.advance(8)
  const say = (connection: Connection, text: string) => connection.write([Buffer.from(text)])
  return { world, network, heard, times, a, b: accepted!, say }
}

const connectAgain = async (at: Awaited<ReturnType<typeof lab>>) => {
  const network = at.network.host('a', at.times.a)
  return at.world.complete(network.connect('127.0.0.2:1', undefined), LIMIT_MS)
}

test('bytes take the latency of their link, and each direction has its own', async () => {
  const { world, network, heard, a, b, say } = await lab(1)
  network.setLatency('b', 'a', { minMs: 30, maxMs: 30 })
  say(a, '!')
  say(b, '?')
  await world.advance(50)
  assert.deepEqual(heard, ['11 b !', '40 a ?'])
})

test('a cut holds bytes back in one direction only, and loses none when it is healed', async () => {
  const { world, network, heard, a, b, say } = await lab(1)
  network.cut('a', 'b')
  say(a, '1')
  say(b, '?')
  await world.advance(90)
  say(a, '2')
  assert.deepEqual(heard, ['11 a ?'])
  network.heal('a', 'b')
  await world.advance(90)
  assert.deepEqual(heard, ['11 a ?', '100 b 1', '101 b 2'])
})

test('a clogged link delivers everything at once when its time is over', async () => {
  const { world, network, heard, a, say } = await lab(1)
  network.clog('a', 'b', 40)
  say(a, '1')
  await world.advance(10)
  say(a, '2')
  await world.advance(90)
  assert.deepEqual(heard, ['50 b 1', '50 b 2'])
})

test('a partition cuts between its groups and heals within them', async () => {
  const { world, network, heard, a, b, say } = await lab(1)
  network.partition([['a'], ['b', 'c']])
  say(a, '1')
  say(b, '2')
  await world.advance(90)
  assert.equal(heard.length, 0)
  network.partition([['a', 'b'], ['c']])
  await world.advance(90)
  assert.deepEqual(heard, ['100 b 1', '100 a 2'])
})

test('a broken connection dies on both sides at once, with what was under way', async () => {
  const { world, network, heard, a, say } = await lab(1)
  say(a, 'lost')
  network.break('a', 'b')
  await world.advance(90)
  assert.deepEqual(heard, ['10 a read ECONNRESET', '10 b read ECONNRESET'])
})

test('a dead process closes its connections after the latency, and its port', async () => {
  const at = await lab(1)
  at.times.b.kill()
  at.network.kill('b')
  await at.world.advance(90)
  assert.deepEqual(at.heard, ['11 a close'])
  await assert.rejects(connectAgain(at), { code: 'ECONNREFUSED' })
})

test('the tail of a connection whose process dies arrives under some seeds and is lost under others', async () => {
  const tails = new Set<string>()
  for (let seed = 0; seed < 20; seed++) {
    const { world, network, heard, times, b, say } = await lab(seed)
    say(b, 't')
    times.b.kill()
    network.kill('b')
    await world.advance(90)
    assert.equal(heard.at(-1)?.endsWith('a close'), true)
    tails.add(heard.length === 1 ? 'lost' : 'arrived')
  }
  assert.equal(tails.size, 2)
})

test('a machine without power says nothing; when it is back, it knows of no connection', async () => {
  const at = await lab(1)
  at.times.b.kill()
  at.network.powerCut('b')
  at.say(at.a, '1')
  await at.world.advance(490)
  assert.equal(at.heard.length, 0)
  await assert.rejects(connectAgain(at), { code: 'ETIMEDOUT' })
  at.network.host('b', new SimTime(at.world))
  await at.world.advance(90)
  assert.equal(at.heard.length, 1)
  assert.match(at.heard[0]!, /a close$/)
})

test('connecting across a cut fails after its time, and succeeds when it is healed before', async () => {
  const at = await lab(1)
  at.network.cut('b', 'a')
  await assert.rejects(connectAgain(at), { code: 'ETIMEDOUT' })
  const connecting = connectAgain(at)
  at.world.schedule(1_500, () => at.network.heal('b', 'a'))
  assert.equal((await connecting).remote, '127.0.0.2:1')
})

test('bytes for a paused process wait for it', async () => {
  const { world, heard, times, a, say } = await lab(1)
  times.b.pause()
  say(a, '1')
  await world.advance(40)
  say(a, '2')
  await world.advance(40)
  assert.equal(heard.length, 0)
  times.b.resume()
  await world.advance(10)
  assert.deepEqual(heard, ['90 b 1', '90 b 2'])
})

test('a write is a copy: what its owner changes afterwards does not travel', async () => {
  const { world, heard, a } = await lab(1)
  const bytes = Buffer.from('x')
  a.write([bytes])
  bytes[0] = 0
  await world.advance(10)
  assert.deepEqual(heard, ['11 b x'])
})

test('write boundaries mean nothing: some chunks are split', async () => {
  const { world, heard, a, say } = await lab(1)
  for (let i = 0; i < 20; i++) {
    say(a, 'abcdef')
    await world.advance(5)
  }
  assert(heard.length > 20)
  assert.equal(heard.map((line) => line.split(' ')[2]).join(''), 'abcdef'.repeat(20))
})

test('one seed gives one run, another seed another', async () => {
  const run = async (seed: number) => {
    const world = new SimWorld(seed)
    const network = new SimNetwork(world)
    const log: string[] = []
    const time = new SimTime(world)
    await network.host('b', time).listen('127.0.0.1:1', undefined, (connection) => {
      const data = (bytes: Uint8Array) => log.push(`${world.now} ${bytes.length}`)
      connection.setHandlers({ data, drain: () => {}, close: () => log.push(`${world.now} end`) })
    })
    const connecting = network.host('a', time).connect('127.0.0.1:1', undefined)
    const connection = await world.complete(connecting, LIMIT_MS)
    for (let i = 1; i < 20; i++) {
      connection.write([Buffer.alloc(i * 100)])
      await world.advance(1)
    }
    connection.destroy()
    await world.advance(10)
    return log.join('\n')
  }
  assert.equal(await run(7), await run(7))
  assert.notEqual(await run(7), await run(8))
})
