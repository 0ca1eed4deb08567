import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { FaultPlan, FaultProxy } from '../../src/cli/processes/fault-proxy.js'
import { encodePreamble, FrameWriter } from '../../src/wire/frame.js'
import { encodeHello, FRAME_HELLO, NO_INCARNATION } from '../../src/wire/handshake.js'

const MIB = 1_048_576

/** A connection from `dialer` through a proxy to `target`, behind which nothing but this test is. */
async function proxied(t: TestContext): Promise<{
  plan: FaultPlan
  proxy: FaultProxy
  dialer: Socket
  target: Socket
}> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const plan = new FaultPlan()
  const proxy = new FaultProxy('m', (server.address() as { port: number }).port, plan)
  const dialer = connect(await proxy.listen(), '127.0.0.1')
  const [target] = (await once(server, 'connection')) as [Socket]
  for (const socket of [dialer, target]) socket.on('error', () => socket.destroy())
  t.after(async () => {
    dialer.destroy()
    await proxy.close()
    server.close()
  })
  return { plan, proxy, dialer, target }
}

async function read(socket: Socket, bytes: number): Promise<string> {
  let text = ''
  while (text.length < bytes) {
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    text += chunk.toString()
  }
  return text
}

/** What a member says first, so that the proxy knows who dials. */
function helloOf(memberId: string): Buffer {
  const writer = new FrameWriter()
  const hello = { role: 'member', from: 1, to: 2, memberId, address: '', priority: 0 } as const
  const nonce = Buffer.alloc(16)
  const clusterId = Buffer.alloc(8)
  const body = encodeHello({ ...hello, nonce, clusterId, incarnation: NO_INCARNATION })
  writer.push(FRAME_HELLO, [body])
  return Buffer.concat([encodePreamble(), ...writer.take()])
}

test('bytes arrive in order, however the delay changes meanwhile', async (t) => {
  const { plan, proxy, dialer, target } = await proxied(t)
  const sent = Array.from({ length: 30 }, (_, i) => `${i} `)
  const arrived = read(target, sent.join('').length)
  for (const [i, text] of sent.entries()) {
    plan.slowAll([20, 0, 5][i % 3]!)
    proxy.apply()
    dialer.write(text)
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.equal(await arrived, sent.join(''))
})

test('a cut holds one direction back and lets the other pass, and loses nothing', async (t) => {
  const { plan, proxy, dialer, target } = await proxied(t)
  plan.cut('', 'm')
  proxy.apply()
  let arrived = ''
  target.on('data', (chunk) => {
    arrived += chunk
  })
  dialer.write('held')
  target.write('passes')
  assert.equal(await read(dialer, 6), 'passes')
  assert.equal(arrived, '')
  plan.mend('', 'm')
  proxy.apply()
  while (arrived.length < 4) await once(target, 'data')
  assert.equal(arrived, 'held')
})

test('who sends into a cut is made to wait: the proxy holds a bounded number of bytes', async (t) => {
  const { plan, proxy, dialer, target } = await proxied(t)
  plan.cut('', 'm')
  proxy.apply()
  const chunk = Buffer.alloc(MIB)
  let written = 0
  for (let i = 0; i < 64; i++) dialer.write(chunk, () => written++)
  // The other direction says when nothing more leaves: while it brings a lot back, no more was taken.
  for (let before = -1; before < written; ) {
    before = written
    for (let i = 0; i < 100; i++) {
      target.write('x')
      await read(dialer, 1)
    }
  }
  assert.ok(written < 40, `${written} MiB were taken`)
})

test('only the connections of the member that is named are broken', async (t) => {
  const { proxy, dialer, target } = await proxied(t)
  const hello = helloOf('a')
  dialer.write(hello)
  await once(target, 'data')
  proxy.break('b')
  target.write('still there')
  assert.equal(await read(dialer, 11), 'still there')
  proxy.break('a')
  await once(dialer, 'close')
})
