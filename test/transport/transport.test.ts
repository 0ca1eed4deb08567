import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DecodeError } from '../../src/wire/command.js'
import { FRAME_HEADER_BYTES } from '../../src/wire/frame.js'
import { addressOf, Lab, type LabNode, optionsOf, SECRET } from './lab.js'

/** The events of a node without their times. */
const events = (node: LabNode): string[] => node.events.map((line) => line.replace(/^\d+ /, ''))
const texts = (node: LabNode): string[] => node.frames.map((frame) => frame.body.toString())

for (const [name, secret] of [
  ['plain', undefined],
  ['with a secret', SECRET],
] as const) {
  test(`frames arrive unchanged and in order, small and large (${name})`, async () => {
    const lab = new Lab()
    const [one, two] = await lab.cluster(2, { secret })
    const sent: Buffer[] = []
    for (let i = 0; i < 60; i++) {
      const body = Buffer.alloc(i % 7 === 0 ? 3_000 * i + 1 : i, i)
      const half = body.length >> 1
      while (!one!.transport.send(2, i, [body.subarray(0, half), body.subarray(half)])) {
        await lab.world.advance(1)
      }
      sent.push(body)
    }
    await lab.until(() => two!.frames.length === sent.length)
    assert.deepEqual(
      two!.frames,
      sent.map((body, kind) => ({ from: 1, kind, body })),
    )
  })
}

test('the frames of a turn leave in one write, in the order they were sent', async () => {
  const lab = new Lab()
  const [one, two] = await lab.cluster(2)
  for (let i = 0; i < 50; i++) one!.transport.send(2, 1, [Buffer.of(i)])
  assert.equal(two!.frames.length, 0)
  await lab.until(() => two!.frames.length === 50)
  assert.deepEqual(
    two!.frames.map((frame) => frame.body[0]),
    Array.from({ length: 50 }, (_, i) => i),
  )
})

test('a frame to a member that is not connected is dropped, and send says so', async () => {
  const lab = new Lab()
  const one = await lab.start(optionsOf(1, 2))
  assert.equal(one.transport.isUp(2), false)
  assert.equal(one.transport.send(2, 1, [Buffer.from('x')]), false)
  assert.equal(one.transport.send(9, 1, [Buffer.from('x')]), false)
  assert.equal(one.transport.status().peers[0]?.dropped, 1)
})

test('a queue takes what its bound allows; the rest is dropped and counted, the queue arrives (D13)', async () => {
  const lab = new Lab()
  const [one, two] = await lab.cluster(2)
  lab.network.cut('h1', 'h2')
  let taken = 0
  while (one!.transport.send(2, 1, [Buffer.alloc(10_000)])) taken++
  // What the operating system has taken is not queued any more.
  await lab.world.advance(100)
  while (one!.transport.send(2, 1, [Buffer.alloc(10_000)])) taken++
  await lab.world.advance(100)
  const { queuedBytes, dropped } = one!.transport.status().peers[0]!
  assert(queuedBytes <= 400_000 && queuedBytes > 300_000)
  assert.equal(dropped, 2)
  lab.network.healAll()
  await lab.until(() => two!.frames.length === taken)
})

test('a frame longer than allowed, or of the transport itself, is misuse', async () => {
  const lab = new Lab()
  const [one, two] = await lab.cluster(2)
  assert.throws(() => one!.transport.send(2, 1, [Buffer.alloc(200_001)]), RangeError)
  assert.throws(() => one!.transport.send(2, 240, []), RangeError)
  assert.throws(() => one!.transport.send(2, -1, []), RangeError)
  one!.transport.send(2, 239, [Buffer.alloc(200_000)])
  await lab.until(() => two!.frames.length === 1)
})

test('peerUp comes when the outgoing link is proven', async () => {
  const lab = new Lab()
  const one = await lab.start(optionsOf(1, 2))
  await lab.world.advance(500)
  assert.equal(one.events.length, 0)
  const two = await lab.start(optionsOf(2, 2))
  await lab.until(() => one.events.length > 0 && two.events.length > 0)
  assert.deepEqual(events(one), ['up 2'])
  assert(one.transport.isUp(2))
})

test('the death of a process is reported within a millisecond or so, once (D12)', async () => {
  for (let seed = 0; seed < 10; seed++) {
    const lab = new Lab(seed)
    const [one, two, three] = await lab.cluster(3)
    await lab.world.advance(1_000 - lab.world.now)
    lab.kill(3, three!)
    await lab.world.advance(5_000)
    for (const node of [one!, two!]) {
      assert.deepEqual(events(node).slice(2), ['down 3'])
      assert.match(node.events.at(-1)!, /^100[01] /)
    }
  }
})

test('what a process had sent when it died comes before it is said to be silent', async () => {
  let late = 0
  for (let seed = 0; seed < 50; seed++) {
    const lab = new Lab(seed)
    const [one, two] = await lab.cluster(2)
    two!.transport.send(1, 7, [Buffer.from('last words')])
    await lab.world.advance(0.1)
    lab.kill(2, two!)
    await lab.until(() => one!.events.length === 2)
    const before = one!.frames.length
    await lab.world.advance(1_000)
    const { length: frames } = one!.frames
    late += frames - before
    // They may be lost as well.
    assert.deepEqual(one!.silent, [{ peer: 2, frames }])
  }
  assert.ok(late > 0, 'no frame came after the other connection had broken')
})

test('a process that comes back is connected again at once, although its peers had backed off', async () => {
  const lab = new Lab()
  const [one, two] = await lab.cluster(2)
  lab.kill(2, two!)
  await lab.world.advance(20_000)
  await lab.start(optionsOf(2, 2))
  const startedAt = lab.world.now
  await lab.until(() => one!.transport.isUp(2))
  assert(lab.world.now - startedAt < 20)
  assert.deepEqual(events(one!), ['up 2', 'down 2', 'up 2'])
})

test('a machine that falls silent is given up after some seconds, though no connection was closed', async () => {
  const lab = new Lab()
  const [one, two] = await lab.cluster(2)
  two!.time.kill()
  lab.network.powerCut('h2')
  const cutAt = lab.world.now
  await lab.until(() => one!.events.length === 2)
  assert.deepEqual(events(one!), ['up 2', 'down 2'])
  assert(lab.world.now - cutAt < 10_000)
})

test('a quiet connection stays up', async () => {
  const lab = new Lab()
  const [one, two] = await lab.cluster(2)
  await lab.world.advance(600_000)
  assert.deepEqual(events(one!), ['up 2'])
  assert.deepEqual(events(two!), ['up 1'])
})

test('a pause of the own process is not taken for silence of the others', async () => {
  const lab = new Lab()
  const [one, two] = await lab.cluster(2)
  one!.time.pause()
  await lab.world.advance(3_000)
  one!.time.resume()
  await lab.world.advance(30_000)
  assert.deepEqual(events(one!), ['up 2'])
  assert.deepEqual(events(two!), ['up 1'])
})

test('a connection that breaks is dialed again at once', async () => {
  const lab = new Lab()
  const [one, two] = await lab.cluster(2)
  await lab.world.advance(5_000)
  lab.network.break('h1', 'h2')
  await lab.world.advance(10)
  for (const node of [one!, two!]) assert.match(events(node).join(), /^up .,down .,up .$/)
  one!.transport.send(2, 1, [Buffer.from('again')])
  await lab.until(() => texts(two!).includes('again'))
})

test('a connection that breaks again and again is dialed more and more slowly, up to every two seconds', async () => {
  const lab = new Lab()
  const callers = await lab.impostor(2)
  const one = await lab.start(optionsOf(1, 2))
  const hangUpFor = async (ms: number) => {
    const before = callers.length
    const end = lab.world.now + ms
    while (lab.world.now < end) {
      await lab.world.advance(10)
      for (const caller of callers) caller.connection.destroy()
    }
    return callers.length - before
  }
  const early = await hangUpFor(1_000)
  await hangUpFor(10_000)
  const late = await hangUpFor(60_000)
  assert(early >= 4 && early <= 10, `${early} in the first second`)
  assert(late >= 30 && late <= 60, `${late} in a later minute`)
  assert.equal(one.transport.status().peers[0]?.lastError?.code, 'QUORATE_NETWORK')
})

test('a member that stands still holds up nobody else (T-58)', async () => {
  const lab = new Lab()
  const [one, two, three] = await lab.cluster(3)
  two!.time.pause()
  lab.network.cut('h1', 'h2')
  while (one!.transport.send(2, 1, [Buffer.alloc(50_000)]));
  one!.transport.send(3, 1, [Buffer.from('on time')])
  await lab.world.advance(10)
  assert.deepEqual(texts(three!), ['on time'])
  assert.equal(two!.frames.length, 0)
})

test('a frame that its receiver cannot decode ends the connection it came on, and no other', async () => {
  const lab = new Lab()
  const [one, two] = await lab.cluster(2)
  two!.onFrame = (body) => {
    if (body.toString() === 'bad') throw new DecodeError('bad')
  }
  await lab.world.advance(2_000)
  for (const text of ['good', 'bad', 'lost']) one!.transport.send(2, 1, [Buffer.from(text)])
  await lab.world.advance(100)
  assert.deepEqual(texts(two!), ['good', 'bad'])
  assert.deepEqual(two!.transport.status().rejected, { malformed: 1 })
  assert.deepEqual(events(one!), ['up 2', 'down 2', 'up 2'])
  assert.equal(two!.transport.status().peers[0]?.connects, 1)
})

test('a member of the cluster that is not known here is answered for as long as it is connected', async () => {
  const lab = new Lab()
  const [one, two] = await lab.cluster(2)
  const three = await lab.start(optionsOf(3, 3))
  await lab.until(() => three.transport.isUp(1) && one!.transport.isUp(3))
  three.transport.send(1, 1, [Buffer.from('hello')])
  one!.transport.send(3, 1, [Buffer.from('who are you')])
  await lab.world.advance(100)
  assert.deepEqual([texts(one!), texts(three)], [['hello'], ['who are you']])
  one!.transport.setPeers(optionsOf(1, 2).peers, new Set())
  assert.equal(one!.transport.isUp(3), true, 'a change among the others is not about it')
  await lab.complete(three.transport.close())
  await lab.world.advance(100)
  assert.deepEqual(
    one!.transport.status().peers.map(({ nodeId }) => nodeId),
    [2],
  )
  assert.equal(two!.transport.isUp(1), true)
})

test('setPeers connects new members and lets go of removed ones', async () => {
  const lab = new Lab()
  const [one, two] = await lab.cluster(2)
  const three = await lab.start(optionsOf(3, 3, { peers: [] }))
  await lab.world.advance(1_000)
  one!.transport.setPeers(optionsOf(1, 3).peers, new Set())
  await lab.until(() => three.transport.isUp(1) && one!.transport.isUp(3))
  assert.equal(one!.transport.status().peers.find((peer) => peer.nodeId === 2)?.connects, 1)
  const left = optionsOf(1, 3).peers.filter((peer) => peer.nodeId !== 2)
  one!.transport.setPeers(left, new Set([2]))
  await lab.until(() => !two!.transport.isUp(1))
  await lab.world.advance(5_000)
  assert.equal(two!.transport.isUp(1), false)
  assert.equal(two!.transport.status().peers[0]?.lastError?.code, 'QUORATE_REMOVED')
  assert.equal(one!.transport.send(2, 1, []), false)
})

test('T-14: a member that comes back with another incarnation is refused from either side', async () => {
  const lab = new Lab()
  const known = (id: number, other: number) => ({
    peers: optionsOf(id, 2).peers.map((peer) => ({
      ...peer,
      incarnation: optionsOf(other, 2).identity.incarnation,
    })),
  })
  const one = await lab.start(optionsOf(1, 2, known(1, 2)))
  const two = await lab.start(optionsOf(2, 2, known(2, 1)))
  await lab.until(() => one.transport.isUp(2) && two.transport.isUp(1))
  await lab.complete(two.transport.close())
  const identity = { ...optionsOf(2, 2).identity, incarnation: '77'.repeat(8) }
  const wiped = await lab.start(optionsOf(2, 2, { identity }))
  await lab.world.advance(5_000)
  assert.deepEqual([one.transport.isUp(2), wiped.transport.isUp(1)], [false, false])
  for (const { transport } of [one, wiped]) {
    assert.equal(transport.status().peers[0]?.lastError?.code, 'QUORATE_WRONG_MEMBER')
  }
})

test('T-14: connections of another incarnation end when the right one becomes known', async () => {
  const lab = new Lab()
  const [one, two] = await lab.cluster(2)
  assert.deepEqual(one!.transport.facts(2)?.incarnation, optionsOf(2, 2).identity.incarnation)
  const [peer] = optionsOf(1, 2).peers
  const { incarnation } = optionsOf(2, 2).identity
  one!.transport.setPeers([{ ...peer!, incarnation }], new Set())
  await lab.world.advance(2_000)
  assert.equal(one!.transport.status().peers[0]?.connects, 1, 'nothing happens to the right one')
  one!.transport.setPeers([{ ...peer!, incarnation: '77'.repeat(8) }], new Set())
  await lab.until(() => !one!.transport.isUp(2) && !two!.transport.isUp(1))
  await lab.world.advance(5_000)
  assert.deepEqual([one!.transport.isUp(2), two!.transport.isUp(1)], [false, false])
})

test('a member that has moved says where it is, and is found there', async () => {
  const lab = new Lab()
  const [one, two] = await lab.cluster(2)
  await lab.complete(two!.transport.close())
  const moved = await lab.start(optionsOf(2, 2, { listen: addressOf(9), priority: 5 }))
  await lab.until(() => one!.transport.isUp(2) && moved.transport.isUp(1))
  const { incarnation } = optionsOf(2, 2).identity
  const facts = { incarnation, priority: 5, connectedAddress: addressOf(9) }
  assert.deepEqual(one!.transport.facts(2), facts)
})

test('after close no handler is called, the others know at once, and the address is free', async () => {
  const lab = new Lab()
  const [one, two] = await lab.cluster(2)
  await lab.complete(two!.transport.close())
  await lab.complete(two!.transport.close())
  await lab.world.advance(1_000)
  assert.deepEqual(events(two!), ['up 1'])
  assert.deepEqual(events(one!), ['up 2', 'down 2'])
  assert.equal(two!.transport.send(1, 1, []), false)
  await lab.start(optionsOf(2, 2))
  await lab.until(() => one!.transport.isUp(2))
})

test('an address beyond this machine is refused without TLS or a secret, before anything is opened (D11)', async () => {
  const lab = new Lab()
  const open = { ...optionsOf(1, 1), listen: '0.0.0.0:7100' }
  await assert.rejects(lab.start(open), { code: 'QUORATE_INSECURE' })
  const far = { ...optionsOf(1, 2).peers[0]!, address: 'db2.example:7100' }
  await assert.rejects(lab.start({ ...optionsOf(1, 1), peers: [far] }), {
    code: 'QUORATE_INSECURE',
  })
  const one = await lab.start(optionsOf(1, 1))
  assert.throws(() => one.transport.setPeers([far], new Set()), { code: 'QUORATE_INSECURE' })
  assert.deepEqual(one.transport.status().peers, [])
  await lab.start({ ...open, secret: SECRET })
})

test('options that cannot work are misuse', async () => {
  const lab = new Lab()
  const start = (overrides: object) => lab.start({ ...optionsOf(1, 1), ...overrides })
  await assert.rejects(start({ secret: Buffer.from('short') }), RangeError)
  await assert.rejects(start({ maxQueuedBytes: 100 }), RangeError)
  const identity = { ...optionsOf(1, 1).identity, clusterId: new Uint8Array(7) }
  await assert.rejects(start({ identity }), RangeError)
  await assert.rejects(start({ listen: 'nowhere' }), TypeError)
})

test('an address that is taken is a StoreError with its cause', async () => {
  const lab = new Lab()
  await lab.start(optionsOf(1, 1))
  await assert.rejects(lab.start({ ...optionsOf(2, 2), listen: addressOf(1) }), {
    code: 'QUORATE_NETWORK',
  })
})

test('status counts frames, bytes and connections', async () => {
  const lab = new Lab()
  const [one, two] = await lab.cluster(2)
  one!.transport.send(2, 1, [Buffer.alloc(100)])
  one!.transport.send(2, 1, [Buffer.alloc(10)])
  await lab.until(() => two!.frames.length === 2)
  const [sender] = one!.transport.status().peers
  assert.equal(sender?.sentFrames, 2)
  assert.equal(sender.sentBytes, 110 + 2 * FRAME_HEADER_BYTES)
  assert.equal(sender.connects, 1)
  assert.equal(sender.lastError, undefined)
  const [receiver] = two!.transport.status().peers
  assert.equal(receiver?.receivedFrames, 2)
  assert.equal(receiver.receivedBytes, 110)
})
