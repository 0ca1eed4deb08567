import assert from 'node:assert/strict'
import { test } from 'node:test'
import { InvariantError } from '../../src/base/assert.js'
import { NodeNetwork } from '../../src/env/node-network.js'
import { NodeRandom } from '../../src/env/node-random.js'
import { NodeTime } from '../../src/env/node-time.js'
import { ClientConnection } from '../../src/transport/client.js'
import { type CallResult, decodeAnswer, encodeCall } from '../../src/wire/envelope.js'
import { encodePreamble } from '../../src/wire/frame.js'
import {
  encodeHello,
  FRAME_ANSWER,
  FRAME_CALL,
  FRAME_HELLO,
  FRAME_PROOF,
  NO_INCARNATION,
} from '../../src/wire/handshake.js'
import { frame, Lab, MIDDLE, optionsOf, SECRET } from './lab.js'

const WAIT_MS = 1_000

/** What a client says first, all at once. */
const clientHandshake = [
  encodePreamble(),
  frame(
    FRAME_HELLO,
    encodeHello({
      role: 'client',
      clusterId: new Uint8Array(8),
      from: 0,
      to: 0,
      memberId: '',
      nonce: new Uint8Array(16),
      incarnation: NO_INCARNATION,
      priority: 0,
      address: '',
    }),
  ),
  frame(FRAME_PROOF, new Uint8Array(0)),
]

for (const [name, secret] of [
  ['plain', undefined],
  ['with a secret', SECRET],
] as const) {
  test(`a call is answered with what the member replies (${name})`, async () => {
    const lab = new Lab()
    await lab.start(optionsOf(1, 1, { secret }))
    const client = await lab.client(1, secret)
    const params = { key: Buffer.from('k'), list: [1, null, 'x'] }
    const answer = await lab.complete(client.call('get', params, WAIT_MS))
    assert.deepEqual(answer, { method: 'get', params })
  })
}

test('answers find their calls, in whatever order they come', async () => {
  const lab = new Lab()
  const one = await lab.start(optionsOf(1, 1))
  const replies: (() => void)[] = []
  one.onCall = (method, _params, reply) => replies.push(() => reply({ ok: method }))
  const client = await lab.client(1)
  const calls = ['a', 'b', 'c'].map((method) => client.call(method, undefined, WAIT_MS))
  await lab.until(() => replies.length === 3)
  for (const reply of replies.reverse()) reply()
  assert.deepEqual(await lab.complete(Promise.all(calls)), ['a', 'b', 'c'])
})

test('an error keeps its code, outcome and whether to try again', async () => {
  const lab = new Lab()
  const one = await lab.start(optionsOf(1, 1))
  const error = { code: 'QUORATE_NO_LEADER', message: 'none', retryable: true } as const
  one.onCall = (_method, _params, reply) => reply({ error: { ...error, outcome: 'none' } })
  const client = await lab.client(1)
  await assert.rejects(lab.complete(client.call('put', {}, WAIT_MS)), {
    name: 'StoreError',
    outcome: 'none',
    ...error,
  })
})

test('a call that is not answered in time fails with unknown outcome; a late answer harms nobody', async () => {
  const lab = new Lab()
  const one = await lab.start(optionsOf(1, 1))
  let late: (() => void) | undefined
  one.onCall = (method, _params, reply) => {
    if (late === undefined) late = () => reply({ ok: 'late' })
    else reply({ ok: method })
  }
  const client = await lab.client(1)
  await assert.rejects(lab.complete(client.call('put', {}, WAIT_MS)), {
    code: 'QUORATE_TIMEOUT',
    outcome: 'unknown',
  })
  late?.()
  assert.equal(await lab.complete(client.call('next', {}, WAIT_MS)), 'next')
})

test('when the member dies, waiting calls fail with unknown outcome and later ones are not sent', async () => {
  const lab = new Lab()
  const one = await lab.start(optionsOf(1, 1))
  one.onCall = () => lab.kill(1, one)
  const client = await lab.client(1)
  await assert.rejects(lab.complete(client.call('put', {}, WAIT_MS)), {
    code: 'QUORATE_NETWORK',
    outcome: 'unknown',
  })
  await assert.rejects(client.call('put', {}, WAIT_MS), { code: 'QUORATE_NOT_OPEN' })
})

test('a closed client fails its calls and is forgotten by the member', async () => {
  const lab = new Lab()
  const one = await lab.start(optionsOf(1, 1))
  one.onCall = () => {}
  const client = await lab.client(1)
  assert.equal(one.transport.status().clients, 1)
  const call = client.call('put', {}, WAIT_MS)
  client.close()
  await assert.rejects(lab.complete(call), { code: 'QUORATE_NETWORK', outcome: 'unknown' })
  await lab.until(() => one.transport.status().clients === 0)
  assert.deepEqual(one.transport.status().rejected, {})
})

test('clients beyond maxClients are refused until one has gone (D13)', async () => {
  const lab = new Lab()
  await lab.start(optionsOf(1, 1, { maxClients: 2 }))
  const first = await lab.client(1)
  await lab.client(1)
  await assert.rejects(lab.client(1), { code: 'QUORATE_OVERLOADED' })
  first.close()
  await lab.world.advance(10)
  await lab.client(1)
})

test('calls beyond 1,024 at once are refused on the spot (D13)', async () => {
  const lab = new Lab()
  const one = await lab.start(optionsOf(1, 1))
  const replies: ((result: CallResult) => void)[] = []
  one.onCall = (_method, _params, reply) => replies.push(reply)
  const client = await lab.client(1)
  const calls = Array.from({ length: 1_024 }, () => client.call('m', {}, WAIT_MS))
  await assert.rejects(client.call('m', {}, WAIT_MS), { code: 'QUORATE_OVERLOADED' })
  await lab.until(() => replies.length === 1_024)
  for (const reply of replies) reply({ ok: 1 })
  await lab.complete(Promise.all(calls))
})

test('a client that does not keep to that bound itself is answered the same (D13)', async () => {
  const lab = new Lab()
  const one = await lab.start(optionsOf(1, 1))
  one.onCall = () => {}
  const stranger = await lab.stranger(1)
  stranger.say(...clientHandshake)
  for (let id = 1; id <= 1_026; id++) {
    stranger.say(frame(FRAME_CALL, encodeCall({ id, method: 'm', params: undefined })))
  }
  await lab.world.advance(100)
  const answers = stranger.frames().filter(({ kind }) => kind === FRAME_ANSWER)
  assert.deepEqual(
    answers.map(({ body }) => decodeAnswer(body).id),
    [1_025, 1_026],
  )
})

test('an answer that is too long for a frame is an error, not a broken connection', async () => {
  const lab = new Lab()
  const one = await lab.start(optionsOf(1, 1))
  one.onCall = (method, _params, reply) => reply({ ok: 'x'.repeat(method === 'big' ? 200_001 : 1) })
  const client = await lab.client(1)
  const big = lab.complete(client.call('big', {}, WAIT_MS))
  await assert.rejects(big, { code: 'QUORATE_OVERLOADED' })
  assert.equal(await lab.complete(client.call('small', {}, WAIT_MS)), 'x')
})

test('a client that does not read its answers is disconnected when too many wait (D13)', async () => {
  const lab = new Lab()
  const one = await lab.start(optionsOf(1, 1))
  one.onCall = (_method, _params, reply) => reply({ ok: 'x'.repeat(100_000) })
  const client = await lab.client(1)
  lab.network.cut('h1', 'client')
  const calls = Array.from({ length: 20 }, () => client.call('m', {}, 60_000))
  const failed = Promise.allSettled(calls)
  await lab.world.advance(100)
  assert.equal(one.transport.status().clients, 0)
  assert.deepEqual(one.transport.status().rejected, { slow: 1 })
  lab.network.healAll()
  assert((await lab.complete(failed)).some((call) => call.status === 'rejected'))
})

test('a call is answered exactly once: a second reply is a broken invariant', async () => {
  const lab = new Lab()
  const one = await lab.start(optionsOf(1, 1))
  let reply: ((result: CallResult) => void) | undefined
  one.onCall = (_method, _params, answer) => {
    reply = answer
    answer({ ok: 1 })
  }
  const client = await lab.client(1)
  await lab.complete(client.call('m', {}, WAIT_MS))
  assert.throws(() => reply?.({ ok: 2 }), InvariantError)
})

test('connecting fails with a code that says why', async () => {
  const lab = new Lab()
  await assert.rejects(lab.client(1), { code: 'QUORATE_NETWORK' })
  await lab.start(optionsOf(1, 1, { secret: SECRET }))
  await assert.rejects(lab.client(1), { code: 'QUORATE_UNAUTHORIZED' })
  await assert.rejects(lab.client(1, Buffer.from('a secret that is wrong')), {
    code: 'QUORATE_UNAUTHORIZED',
  })
  await lab.client(1, SECRET)
})

test('a client does not dial beyond this machine without TLS or a secret (D11)', async () => {
  const options = { tls: undefined, secret: undefined, timeoutMs: 1_000 }
  const connecting = ClientConnection.connect(
    new NodeNetwork(),
    new NodeTime(),
    new NodeRandom(),
    'db.example:7100',
    options,
  )
  await assert.rejects(connecting, { code: 'QUORATE_INSECURE' })
})

/** A client that reaches node 1 through the middle, and what node 1 was called. */
async function overheard(secret: Buffer | undefined, change: (chunk: Buffer) => Buffer[]) {
  const lab = new Lab()
  const heard = await lab.eavesdrop(change)
  const one = await lab.start(optionsOf(1, 1, { secret }))
  const calls: string[] = []
  one.onCall = (method, _params, reply) => {
    calls.push(method)
    reply({ ok: method })
  }
  const client = await lab.client(1, secret, MIDDLE)
  return { lab, heard, one, calls, client }
}

test('with a secret, what a client said is worth nothing when it is said again', async () => {
  const { lab, heard, one, calls, client } = await overheard(SECRET, (chunk) => [chunk])
  await lab.complete(client.call('put', {}, WAIT_MS))
  client.close()
  const stranger = await lab.stranger(1)
  for (const chunk of heard) {
    stranger.say(chunk)
    await lab.world.advance(10)
  }
  await lab.until(() => stranger.isClosed)
  assert.deepEqual(calls, ['put'])
  assert.equal(one.transport.status().rejected.QUORATE_UNAUTHORIZED, 1)
})

test('with a secret, frames of a client that are repeated or change places end the connection', async () => {
  let held: Buffer[] = []
  const changes: Record<string, (chunk: Buffer) => Buffer[]> = {
    repeated: (chunk) => [chunk, chunk],
    reordered: (chunk) => {
      held = [chunk, ...held]
      return held.length < 2 ? [] : held.splice(0)
    },
  }
  for (const [name, change] of Object.entries(changes)) {
    let isTampering = false
    const { lab, one, calls, client } = await overheard(SECRET, (chunk) =>
      isTampering ? change(chunk) : [chunk],
    )
    isTampering = true
    const first = client.call('first', {}, WAIT_MS).catch(() => undefined)
    await lab.world.advance(5)
    const second = client.call('second', {}, WAIT_MS).catch(() => undefined)
    await lab.complete(Promise.all([first, second]))
    // What a chunk is cut into decides what is wrong with it first.
    const faults = () => Object.keys(one.transport.status().rejected)
    await lab.until(() => faults().length > 0)
    assert.ok(['checksum', 'header', 'oversized'].includes(faults()[0]!), `${name}: ${faults()}`)
    assert.ok(calls.length < 2 && !calls.includes('second'), `${name}: ${calls}`)
  }
})

test('a client is bounded by maxFrameBytes, and a length alone allocates nothing', async () => {
  const lab = new Lab()
  const one = await lab.start(optionsOf(1, 1))
  const stranger = await lab.stranger(1)
  const header = Buffer.alloc(16)
  header.writeUInt32LE(0xffff_ffff, 8)
  header[12] = FRAME_CALL
  stranger.say(...clientHandshake, header)
  await lab.until(() => stranger.isClosed)
  assert.deepEqual(one.transport.status().rejected, { oversized: 1 })
})
