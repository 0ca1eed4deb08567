import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TransportOptions } from '../../src/transport/transport.js'
import { encodePreamble, FRAME_HEADER_BYTES, WIRE_VERSION } from '../../src/wire/frame.js'
import {
  decodeRefusal,
  encodeChallenge,
  encodeHello,
  FRAME_CALL,
  FRAME_CHALLENGE,
  FRAME_HELLO,
  FRAME_PING,
  FRAME_PROOF,
  FRAME_REFUSED,
  FRAME_WELCOME,
  type Hello,
} from '../../src/wire/handshake.js'
import {
  frame,
  Lab,
  type LabNode,
  MIDDLE,
  optionsOf,
  peerAt,
  SECRET,
  type Stranger,
} from './lab.js'

const EMPTY = Buffer.alloc(0)

/** What node 2 says to node 1. */
const hello = (overrides: Partial<Hello> = {}): Buffer =>
  frame(
    FRAME_HELLO,
    encodeHello({
      role: 'member',
      clusterId: Buffer.from('cluster1'),
      from: 2,
      to: 1,
      memberId: 'm2',
      nonce: Buffer.alloc(16, 7),
      incarnation: '22'.repeat(8),
      priority: 0,
      address: '',
      ...overrides,
    }),
  )

const rejected = (node: LabNode): Record<string, number> => node.transport.status().rejected

/** Node 1 of two; the other one is played by the test. */
async function alone(overrides: Partial<TransportOptions> = {}): Promise<[Lab, LabNode]> {
  const lab = new Lab()
  return [lab, await lab.start(optionsOf(1, 2, overrides))]
}

/** Says `parts` to node 1, one after the other, until it closes the connection. */
async function insult(lab: Lab, parts: readonly Uint8Array[]): Promise<Stranger> {
  const stranger = await lab.stranger(1)
  for (const part of parts) {
    stranger.say(part)
    await lab.world.advance(10)
  }
  await lab.until(() => stranger.isClosed)
  return stranger
}

/** A refusal that the stranger was told. */
function refusalOf(stranger: Stranger): { code: string; message: string } {
  const last = stranger.frames().at(-1)
  assert.equal(last?.kind, FRAME_REFUSED)
  return decodeRefusal(last.body)
}

test('bytes of another protocol are not answered: the connection is closed and counted', async () => {
  const [lab, one] = await alone()
  const stranger = await insult(lab, [Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')])
  assert.equal(stranger.received.length, 0)
  assert.deepEqual(rejected(one), { magic: 1 })
})

test('nothing but a handshake comes in before one is done', async () => {
  const [lab, one] = await alone()
  const early: [string, number][] = [
    ['a frame of a member', 1],
    ['a call', FRAME_CALL],
    ['a ping', FRAME_PING],
    ['a proof without a hello', FRAME_PROOF],
    ['a welcome', FRAME_WELCOME],
  ]
  for (const [name, kind] of early) {
    await insult(lab, [encodePreamble(), frame(kind, EMPTY)])
    assert.equal(one.frames.length, 0, name)
  }
  await insult(lab, [encodePreamble(), hello(), frame(1, EMPTY)])
  await insult(lab, [encodePreamble(), hello(), hello()])
  assert.deepEqual(rejected(one), { kind: early.length + 2 })
  assert.equal(one.frames.length, 0)
})

test('a malformed hello is counted and closed', async () => {
  const [lab, one] = await alone()
  await insult(lab, [encodePreamble(), frame(FRAME_HELLO, Buffer.from('x'))])
  assert.deepEqual(rejected(one), { malformed: 1 })
})

test('before the proof a frame is bounded to what a handshake needs', async () => {
  const [lab, one] = await alone()
  await insult(lab, [encodePreamble(), frame(FRAME_HELLO, Buffer.alloc(1_025))])
  assert.deepEqual(rejected(one), { oversized: 1 })
})

test('a damaged frame ends the connection, after the handshake too', async () => {
  const [lab, one] = await alone()
  const damaged = hello()
  damaged[30] = damaged[30]! ^ 1
  await insult(lab, [encodePreamble(), damaged])
  const late = frame(1, Buffer.from('body'))
  late[late.length - 1] = 0
  await insult(lab, [encodePreamble(), hello(), frame(FRAME_PROOF, EMPTY), late])
  assert.deepEqual(rejected(one), { checksum: 2 })
  assert.equal(one.frames.length, 0)
})

test('another version is answered with the own preamble, so that the other side can tell (T-68)', async () => {
  const [lab, one] = await alone()
  const other = Buffer.from(encodePreamble())
  other.writeUInt16LE(WIRE_VERSION + 1, 4)
  const stranger = await insult(lab, [Buffer.concat([other, Buffer.from('unknown things')])])
  assert.deepEqual(stranger.received, encodePreamble())
  assert.deepEqual(rejected(one), { version: 1 })
})

test('a dialer that meets another version reports it (T-68)', async () => {
  const lab = new Lab()
  const callers = await lab.impostor(2)
  const one = await lab.start(optionsOf(1, 2))
  await lab.until(() => callers.length === 1)
  const other = Buffer.from(encodePreamble())
  other.writeUInt16LE(WIRE_VERSION + 1, 4)
  callers[0]?.say(other)
  await lab.world.advance(100)
  assert.equal(one.transport.status().peers[0]?.lastError?.code, 'QUORATE_FORMAT')
})

const refusals: [string, Partial<Hello>, string, RegExp][] = [
  [
    'a member of another cluster (T-69)',
    { clusterId: Buffer.from('cluster2') },
    'QUORATE_WRONG_CLUSTER',
    /m1/,
  ],
  ['who looks for another member (T-69)', { to: 3 }, 'QUORATE_WRONG_MEMBER', /this is member m1/],
  [
    'a node that is not a member',
    { from: 9, memberId: 'm9' },
    'QUORATE_WRONG_MEMBER',
    /no member m9/,
  ],
  [
    'a node under the name of another member',
    { memberId: 'm3' },
    'QUORATE_WRONG_MEMBER',
    /no member m3/,
  ],
  [
    'who claims to be this member itself',
    { from: 1, memberId: 'm1' },
    'QUORATE_WRONG_MEMBER',
    /no member m1/,
  ],
]
for (const [who, overrides, code, message] of refusals) {
  test(`refused with a code: ${who}`, async () => {
    const [lab, one] = await alone()
    const stranger = await insult(lab, [encodePreamble(), hello(overrides)])
    assert.equal(refusalOf(stranger).code, code)
    assert.match(refusalOf(stranger).message, message)
    assert.deepEqual(rejected(one), { [code]: 1 })
  })
}

test('a dialer checks who answers: another cluster or member is not spoken to (T-69)', async () => {
  for (const [identity, code] of [
    [{ clusterId: Buffer.from('cluster2') }, 'QUORATE_WRONG_CLUSTER'],
    [{ memberId: 'renamed' }, 'QUORATE_WRONG_MEMBER'],
    [{ nodeId: 3 }, 'QUORATE_WRONG_MEMBER'],
  ] as const) {
    const lab = new Lab()
    const one = await lab.start(optionsOf(1, 2))
    const two = optionsOf(2, 2)
    await lab.start({ ...two, identity: { ...two.identity, ...identity }, peers: [] })
    await lab.world.advance(3_000)
    assert.equal(one.transport.status().peers[0]?.lastError?.code, code)
    assert.equal(one.events.length, 0)
  }
})

/** What somebody who calls himself so answers to a hello. */
function challenge(clusterId: string, node: number, memberId: string): Buffer {
  const nonce = Buffer.alloc(16)
  const identity = { clusterId: Buffer.from(clusterId), node, memberId }
  const body = encodeChallenge({ ...identity, nonce, incarnation: '22'.repeat(8) })
  return Buffer.concat([encodePreamble(), frame(FRAME_CHALLENGE, body)])
}

for (const [who, answer, code] of [
  ['of another cluster', challenge('cluster2', 2, 'm2'), 'QUORATE_WRONG_CLUSTER'],
  ['another node', challenge('cluster1', 3, 'm2'), 'QUORATE_WRONG_MEMBER'],
  ['another member', challenge('cluster1', 2, 'm3'), 'QUORATE_WRONG_MEMBER'],
] as const) {
  test(`a dialer that was not refused still hangs up on who is ${who} (T-69)`, async () => {
    const lab = new Lab()
    const callers = await lab.impostor(2)
    const one = await lab.start(optionsOf(1, 2))
    await lab.until(() => callers.length === 1)
    callers[0]?.say(answer)
    await lab.until(() => callers[0]?.isClosed === true)
    assert.equal(one.transport.status().peers[0]?.lastError?.code, code)
    assert(!callers[0]?.frames().some((sent) => sent.kind === FRAME_PROOF))
  })
}

test('a refused dialer tries again, slowly, and gets in when the reason is gone', async () => {
  const lab = new Lab()
  const options = optionsOf(1, 2)
  const identity = { ...options.identity, clusterId: Buffer.from('cluster2') }
  const foreign = await lab.start({ ...options, identity })
  const two = await lab.start(optionsOf(2, 2))
  await lab.world.advance(60_000)
  const attempts = rejected(foreign).QUORATE_WRONG_CLUSTER ?? 0
  assert(attempts >= 25 && attempts <= 65, `${attempts} attempts in a minute`)
  lab.kill(1, foreign)
  await lab.start(options)
  await lab.until(() => two.transport.isUp(1))
  assert.equal(two.transport.status().peers[0]?.lastError, undefined)
})

for (const [name, secrets] of [
  ['differ', [SECRET, Buffer.from('another secret of some length')]],
  ['are used by the dialed only', [SECRET, undefined]],
  ['are used by the dialer only', [undefined, SECRET]],
] as const) {
  test(`members whose secrets ${name} do not connect`, async () => {
    const lab = new Lab()
    const one = await lab.start(optionsOf(1, 2, { secret: secrets[0] }))
    const two = await lab.start(optionsOf(2, 2, { secret: secrets[1] }))
    await lab.world.advance(10_000)
    for (const node of [one, two]) {
      assert.equal(node.events.length, 0)
      assert.equal(node.transport.status().peers[0]?.lastError?.code, 'QUORATE_UNAUTHORIZED')
    }
  })
}

test('one who welcomes without knowing the secret is not believed', async () => {
  const lab = new Lab()
  const callers = await lab.impostor(2)
  const one = await lab.start(optionsOf(1, 2, { secret: SECRET }))
  await lab.until(() => callers.length === 1)
  callers[0]?.say(challenge('cluster1', 2, 'm2'))
  await lab.until(() => callers[0]?.frames().at(-1)?.kind === FRAME_PROOF)
  // The dialer's own proof, turned around, is the best a stranger can offer.
  callers[0]?.say(frame(FRAME_WELCOME, callers[0].frames().at(-1)!.body))
  await lab.until(() => callers[0]?.isClosed === true)
  assert.equal(one.events.length, 0)
  assert.equal(one.transport.status().peers[0]?.lastError?.code, 'QUORATE_UNAUTHORIZED')
})

/** Nodes 1 and 2, where 2 reaches 1 through the middle. */
async function overheard(secret: Buffer | undefined, change: (chunk: Buffer) => Buffer[]) {
  const lab = new Lab()
  const heard = await lab.eavesdrop(change)
  const one = await lab.start(optionsOf(1, 2, { secret }))
  const peers = [peerAt(1, MIDDLE)]
  const two = await lab.start(optionsOf(2, 2, { secret, peers }))
  await lab.until(() => two.transport.isUp(1))
  return { lab, heard, one, two }
}

test('with a secret, a recorded connection that is replayed is refused and has no effect', async () => {
  const { lab, heard, one, two } = await overheard(SECRET, (chunk) => [chunk])
  two.transport.send(1, 1, [Buffer.from('once')])
  await lab.until(() => one.frames.length === 1)
  lab.kill(2, two)
  await lab.world.advance(1_000)
  const stranger = await insult(lab, heard)
  assert.equal(refusalOf(stranger).code, 'QUORATE_UNAUTHORIZED')
  assert.equal(one.frames.length, 1)
})

test('with a secret, a frame repeated on the way ends the connection and is not delivered again', async () => {
  let isRepeating = false
  const { lab, one, two } = await overheard(SECRET, (chunk) => {
    return isRepeating ? [chunk, chunk] : [chunk]
  })
  isRepeating = true
  two.transport.send(1, 1, [Buffer.from('once')])
  await lab.until(() => (rejected(one).checksum ?? 0) > 0)
  assert.equal(one.frames.length, 1)
})

test('with a secret, a frame forged on the way is not delivered, however well its checksum fits', async () => {
  let forged: Buffer | undefined
  const { lab, one, two } = await overheard(SECRET, (chunk) => [forged ?? chunk])
  forged = frame(1, Buffer.from('forged'))
  two.transport.send(1, 1, [Buffer.from('honest')])
  await lab.until(() => (rejected(one).checksum ?? 0) > 0)
  assert.equal(one.frames.length, 0)
})

test('a connection that does not finish its handshake is closed in time, however slowly it drips', async () => {
  const [lab, one] = await alone()
  const silent = await lab.stranger(1)
  const slow = await lab.stranger(1)
  const openedAt = lab.world.now
  const drip = Buffer.concat([encodePreamble(), hello()])
  for (let i = 0; i < drip.length && !slow.isClosed; i++) {
    slow.say(drip.subarray(i, i + 1))
    await lab.world.advance(300)
  }
  assert(silent.isClosed && slow.isClosed)
  assert(lab.world.now - openedAt < 5_500)
  assert.deepEqual(rejected(one), { timeout: 2 })
})

test('a flood of silent connections is bounded and keeps no member out', async () => {
  const lab = new Lab()
  const one = await lab.start(optionsOf(1, 2))
  const strangers: Stranger[] = []
  for (let i = 0; i < 200; i++) strangers.push(await lab.stranger(1))
  await lab.world.advance(100)
  const open = strangers.filter((stranger) => !stranger.isClosed).length
  assert(open <= 64, `${open} silent connections are open`)
  assert.equal(rejected(one).crowded, 200 - open)
  const two = await lab.start(optionsOf(2, 2))
  await lab.until(() => one.transport.isUp(2) && two.transport.isUp(1))
})

test('a member that connects anew replaces its earlier connection; that is no loss', async () => {
  const [lab, one] = await alone()
  const join = [encodePreamble(), hello(), frame(FRAME_PROOF, EMPTY)]
  const first = await lab.stranger(1)
  for (const part of join) first.say(part)
  await lab.until(() => first.frames().at(-1)?.kind === FRAME_WELCOME)
  const second = await lab.stranger(1)
  for (const part of join) second.say(part)
  await lab.until(() => first.isClosed)
  second.say(frame(1, Buffer.from('new')))
  await lab.until(() => one.frames.length === 1)
  assert.equal(one.events.length, 0)
  assert.equal(second.isClosed, false)
  assert.deepEqual(rejected(one), {})
})

test('a client may only call, and a member may not', async () => {
  const [lab, one] = await alone()
  const client = {
    role: 'client',
    clusterId: new Uint8Array(8),
    from: 0,
    to: 0,
    memberId: '',
  } as const
  const proof = frame(FRAME_PROOF, EMPTY)
  await insult(lab, [encodePreamble(), hello(client), proof, frame(1, EMPTY)])
  await insult(lab, [encodePreamble(), hello(), proof, frame(FRAME_CALL, EMPTY)])
  await insult(lab, [encodePreamble(), hello(), proof, frame(FRAME_HELLO, EMPTY)])
  assert.deepEqual(rejected(one), { kind: 3 })
  assert.equal(one.frames.length, 0)
})

test('a proven member is still bounded by maxFrameBytes', async () => {
  const [lab, one] = await alone()
  const header = Buffer.alloc(FRAME_HEADER_BYTES)
  header.writeUInt32LE(200_001, 8)
  await insult(lab, [encodePreamble(), hello(), frame(FRAME_PROOF, EMPTY), header])
  assert.deepEqual(rejected(one), { oversized: 1 })
})
