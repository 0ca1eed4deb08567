import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SendResult } from '../../src/blob/shard-sender.js'
import {
  decodeShardAck,
  encodePutShard,
  FRAME_PUT_SHARD,
  FRAME_SHARD_ACK,
  type StoreStatus,
} from '../../src/wire/blob-frames.js'
import { DecodeError } from '../../src/wire/command.js'
import { type Shard, sealShard } from '../../src/wire/shard.js'
import { blobId, Crew, KEY, noise } from './blob-fixture.js'

/** Sends `shard` from member 1 to member 2; the answer. */
async function send(crew: Crew, shard: Shard): Promise<StoreStatus> {
  const peer = crew.peer(1)
  let status: StoreStatus | undefined
  const { receive } = peer
  peer.receive = (from, kind, body) => {
    if (kind === FRAME_SHARD_ACK) status = decodeShardAck(body).status
    else receive.call(peer, from, kind, body)
  }
  peer.send(2, FRAME_PUT_SHARD, encodePutShard(7, shard.parts))
  await crew.world.advance(1_000)
  assert.ok(status !== undefined, 'no answer came')
  return status
}

async function shardOf(crew: Crew, wrong: Partial<Shard['head']> = {}): Promise<Shard> {
  const { shards } = await crew.code(noise(3_000, 1), 2, blobId(1))
  const { head, body } = shards[1]!
  return sealShard({ ...head, ...wrong }, body)
}

test('I9: a shard is acknowledged when a power cut would leave it, and not before', async () => {
  const crew = await Crew.start(2)
  const { disk } = crew.peer(2)
  const shard = await shardOf(crew)
  const durable = () =>
    [...disk.durableIn('blobs')].some(([, bytes]) => bytes.includes(Buffer.concat(shard.parts)))
  let isAcked = false
  const peer = crew.peer(1)
  peer.receive = () => {
    isAcked = true
  }
  peer.send(2, FRAME_PUT_SHARD, encodePutShard(7, shard.parts))
  assert.ok(await crew.world.runUntil(() => isAcked || durable(), 1_000))
  assert.ok(!isAcked)
  assert.ok(await crew.world.runUntil(() => isAcked, 1_000))
  assert.ok(durable())
})

test('a shard of the wrong slot, of another cluster or of a term that has passed is refused', async () => {
  const crew = await Crew.start(3)
  crew.peer(2).term = 3
  const id = blobId(1, 3)
  assert.equal(await send(crew, await shardOf(crew, { id, index: 2 })), 'refused')
  const clusterId = Buffer.from('another!')
  assert.equal(await send(crew, await shardOf(crew, { id, clusterId })), 'refused')
  assert.equal(await send(crew, await shardOf(crew, { id: blobId(1, 2) })), 'refused')
  assert.equal(crew.peer(2).store.status().shards, 0)
  assert.equal(await send(crew, await shardOf(crew, { id })), 'stored')
})

test('nothing is taken while the disk is low, or while too much is on its way to it', async () => {
  const crew = await Crew.start(2, 2_000)
  crew.peer(2).isFull = true
  assert.equal(await send(crew, await shardOf(crew)), 'noSpace')
  crew.peer(2).isFull = false
  const answers: StoreStatus[] = []
  crew.peer(1).receive = (_from, _kind, body) => answers.push(decodeShardAck(body).status)
  for (let seq = 1; seq <= 3; seq++) {
    const shard = await shardOf(crew, { id: blobId(seq) })
    crew.peer(1).send(2, FRAME_PUT_SHARD, encodePutShard(seq, shard.parts))
  }
  await crew.world.advance(1_000)
  assert.deepEqual(answers.toSorted(), ['busy', 'busy', 'stored'])
})

test('bytes that are no shard close the connection that they came on', async () => {
  const crew = await Crew.start(2)
  const shard = await shardOf(crew)
  const bytes = Buffer.concat(shard.parts)
  bytes[700]! ^= 1
  const put = { id: 1, shard: bytes }
  assert.throws(() => crew.peer(2).intake.onPut(1, put), DecodeError)
})

test('what its maker gives up goes at once, what the state refers to stays, also when it comes late', async () => {
  const crew = await Crew.start(3)
  const { shards, manifest } = await crew.spread(noise(3_000, 1), 2, blobId(1))
  const { intake, store } = crew.peer(2)
  await crew.put(manifest)
  await crew.run(intake.drop(blobId(1), KEY))
  assert.equal(store.status().shards, 1)
  await crew.run(intake.drop(blobId(2), KEY))
  const { head, body } = shards[1]!
  await crew.run(intake.storeOwn(sealShard({ ...head, id: blobId(2) }, body)))
  assert.equal(store.status().shards, 1)
  intake.onDrop(2, { blob: blobId(1), key: KEY })
  await crew.world.advance(100)
  assert.equal(store.status().shards, 1)
})

test('a sender has no more on its way to a member than its window, and sends again what was too much', async () => {
  const crew = await Crew.start(2, 2_000)
  const results: SendResult[] = []
  const { sender } = crew.peer(1)
  const sent: number[] = []
  const { send: carry } = crew.peer(1)
  crew.peer(1).send = (to, kind, parts) => {
    sent.push(crew.peer(1).sender.pendingBytes)
    return carry.call(crew.peer(1), to, kind, parts)
  }
  const shards = await Promise.all(
    Array.from({ length: 8 }, (_, i) => shardOf(crew, { id: blobId(i + 1) })),
  )
  for (const shard of shards) sender.send(2, shard.parts, (result) => results.push(result))
  // Window 4,096 bytes: two shards of 1,5 KiB.
  assert.equal(sent.length, 2)
  for (let i = 0; i < 100; i++) {
    await crew.world.advance(20)
    sender.tick(crew.time.now())
  }
  assert.deepEqual(
    results,
    shards.map(() => 'stored'),
  )
  assert.equal(sender.pendingBytes, 0)
})

test('what is on its way to a member that goes down is lost, and nobody waits for it', async () => {
  const crew = await Crew.start(2)
  const { sender } = crew.peer(1)
  crew.lost.add(FRAME_SHARD_ACK)
  const results: SendResult[] = []
  for (let seq = 1; seq <= 4; seq++) {
    const { parts } = await shardOf(crew, { id: blobId(seq) })
    sender.send(2, parts, (result) => results.push(result))
  }
  await crew.world.advance(100)
  assert.deepEqual(results, [])
  sender.onPeerDown(2)
  assert.deepEqual(results, ['lost', 'lost', 'lost', 'lost'])
  assert.equal(sender.pendingBytes, 0)
})

test('of shards whose part is durable without them a window full waits, the oldest are dropped', async () => {
  const crew = await Crew.start(2)
  const { sender } = crew.peer(1)
  crew.lost.add(FRAME_SHARD_ACK)
  const results: SendResult[] = []
  const { parts } = await shardOf(crew)
  const sendings = Array.from({ length: 8 }, () =>
    sender.send(2, parts, (result) => results.push(result)),
  )
  for (const sending of sendings) sender.spare(sending)
  assert.deepEqual(results, ['dropped', 'dropped', 'dropped', 'dropped'])
  assert.ok(sender.pendingBytes <= 2 * 4096)
})
