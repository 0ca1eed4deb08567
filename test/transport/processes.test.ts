import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { TlsOptions } from '../../src/env/network.js'
import { NodeNetwork } from '../../src/env/node-network.js'
import { NodeRandom } from '../../src/env/node-random.js'
import { NodeTime } from '../../src/env/node-time.js'
import { ClientConnection } from '../../src/transport/client.js'
import { onlyCalls } from '../../src/transport/served-client.js'
import { Transport, type TransportHandlers } from '../../src/transport/transport.js'
import { certificateAuthority } from '../contract/certificates.js'
import { optionsOf, peerAt, SECRET } from './lab.js'

const network = new NodeNetwork()
const time = new NodeTime()
const random = new NodeRandom()

/** What a transport heard, and a promise for the next thing. */
function listener() {
  const events: string[] = []
  const frames: Buffer[] = []
  let wake = () => {}
  const note = (what: string) => {
    events.push(what)
    wake()
  }
  const handlers: TransportHandlers = {
    frame: (from, _kind, body) => {
      frames.push(body)
      note(`frame from ${from}`)
    },
    peerUp: (node) => note(`up ${node}`),
    peerDown: (node) => note(`down ${node}`),
    peerSilent: () => {},
    client: onlyCalls((method, _params, reply) => reply({ ok: method })),
  }
  const until = async (condition: () => boolean) => {
    while (!condition()) {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
  }
  return { events, frames, handlers, until }
}

/** How the holder of a name protects its connections. */
type Protect = (name: string) => { tls?: TlsOptions; secret?: Buffer }

/** Two transports on this machine that reach each other, with ports of their own. */
async function pair(t: TestContext, protect: Protect) {
  const sides = [listener(), listener()] as const
  const start = async (id: 1 | 2) => {
    const options = { ...optionsOf(id, 1, protect(`m${id}`)), listen: '127.0.0.1:0' }
    const side = sides[id - 1]!
    const transport = await Transport.start(network, time, random, options, side.handlers)
    t.after(() => transport.close())
    return transport
  }
  const one = await start(1)
  const two = await start(2)
  one.setPeers([peerAt(2, two.address)], new Set())
  two.setPeers([peerAt(1, one.address)], new Set())
  return { one, two, sides }
}

const ours = certificateAuthority('ours')

for (const [name, protect] of [
  ['TCP', () => ({})],
  ['TCP and a secret', () => ({ secret: SECRET })],
  ['TLS', (name) => ({ tls: ours.issue(name) })],
  ['TLS and a secret', (name) => ({ tls: ours.issue(name), secret: SECRET })],
] satisfies [string, Protect][]) {
  test(`frames and calls arrive over ${name}`, async (t) => {
    const { one, sides } = await pair(t, protect)
    await sides[0].until(() => one.isUp(2))
    const bodies = [0, 1, 5_000, 70_000, 200_000].map((bytes, i) => Buffer.alloc(bytes, i + 1))
    for (const body of bodies) assert(one.send(2, 1, [body]))
    await sides[1].until(() => sides[1].frames.length >= bodies.length)
    assert.deepEqual(sides[1].frames, bodies)
    const options = { tls: undefined, secret: undefined, timeoutMs: 5_000, ...protect('app') }
    const client = await ClientConnection.connect(network, time, random, one.address, options)
    assert.equal(await client.call('status', {}, 5_000), 'status')
    client.close()
  })
}

test('a member whose certificate another authority signed is not let in (D11)', async (t) => {
  const theirs = certificateAuthority('theirs')
  const one = listener()
  const options = { ...optionsOf(1, 1, { tls: ours.issue('m1') }), listen: '127.0.0.1:0' }
  const transport = await Transport.start(network, time, random, options, one.handlers)
  t.after(() => transport.close())
  for (const tls of [theirs.issue('m2'), undefined]) {
    const dialing = ClientConnection.connect(network, time, random, transport.address, {
      tls,
      secret: undefined,
      timeoutMs: 5_000,
    })
    await assert.rejects(dialing, { code: 'QUORATE_NETWORK' })
  }
  assert.equal(transport.status().clients, 0)
})

test('a certificate of the authority that names another member is not enough to be one (D11)', async (t) => {
  const { one, two } = await pair(t, () => ({ tls: ours.issue('m2') }))
  const errors = () => [one, two].map((side) => side.status().peers[0]?.lastError?.code)
  while (!errors().every((code) => code === 'QUORATE_UNAUTHORIZED')) {
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.equal(one.isUp(2) || two.isUp(1), false)
  // A client checks the same: it does not talk to who says it is m1 with the certificate of m2.
  const options = { tls: ours.issue('app'), secret: undefined, timeoutMs: 5_000 }
  const dialing = ClientConnection.connect(network, time, random, one.address, options)
  await assert.rejects(dialing, { code: 'QUORATE_UNAUTHORIZED' })
})

test('a process that is killed is reported down at once, and once (D12)', async (t) => {
  const one = listener()
  const options = { ...optionsOf(1, 1), listen: '127.0.0.1:0' }
  const transport = await Transport.start(network, time, random, options, one.handlers)
  t.after(() => transport.close())
  const child = fork(join(import.meta.dirname, 'peer-process.js'), [transport.address])
  t.after(() => child.kill('SIGKILL'))
  const address = await new Promise<string>((resolve) => child.on('message', resolve))
  transport.setPeers([peerAt(2, address)], new Set())
  await one.until(() => one.events.includes('up 2') && one.events.includes('frame from 2'))
  child.kill('SIGKILL')
  await one.until(() => one.events.includes('down 2'))
  const exited = new Promise((resolve) => child.on('exit', resolve))
  await exited
  assert.equal(one.events.filter((event) => event === 'down 2').length, 1)
})
