import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { StoreError } from '../../src/base/errors.js'
import { placesOf } from '../../src/blob/gather.js'
import type { PartSource } from '../../src/blob/shard-source.js'
import type { Manifest } from '../../src/wire/manifest.js'
import { sealShard } from '../../src/wire/shard.js'
import { blobId, type Coded, Crew, KEY, noise } from './blob-fixture.js'

const PATIENT = { giveUpAt: 5_000, ended: () => undefined }

function sourceOf(manifest: Manifest): PartSource {
  return { key: KEY, manifest, part: manifest.parts[0]! }
}

/** Tampers with what is stored of each of these members. */
function rot(crew: Crew, nodes: readonly number[], at = 300): void {
  for (const node of nodes) {
    const { disk } = crew.peer(node)
    for (const path of disk.allPaths) {
      const start = disk.bytesOf(path).indexOf('QSHD')
      if (start !== -1) disk.corrupt(path, start + at, 1)
    }
  }
}

function isUnreadable(error: StoreError): boolean {
  assert.equal(error.code, 'QUORATE_BLOB_UNREADABLE', error.message)
  return true
}

test('any k shards are enough, whoever is down, for every range of the part', async () => {
  const data = noise(3_000, 1)
  const crew = await Crew.start(5)
  const { manifest } = await crew.spread(data, 3, blobId(1))
  const pairs = [1, 2, 3, 4, 5].flatMap((a) => [1, 2, 3, 4, 5].map((b) => [a, b]))
  for (const [a, b] of pairs) {
    crew.down.clear()
    const reader = [1, 2, 3, 4, 5].find((node) => node !== a && node !== b)!
    crew.down.add(a!).add(b!)
    for (const [from, to] of [
      [0, 3_000],
      [10, 20],
      [900, 2_100],
    ] as const) {
      const read = crew.peer(reader).reader.read(sourceOf(manifest), from, to, PATIENT)
      assert.ok((await crew.run(read)).equals(data.subarray(from, to)), `${a} ${b} ${from} ${to}`)
    }
  }
})

test('with k - 1 shards nothing is given out, and the error names who is missing', async () => {
  const crew = await Crew.start(3)
  const { manifest } = await crew.spread(noise(3_000, 1), 2, blobId(1))
  await crew.put(manifest)
  crew.down.add(2).add(3)
  const call = { ...PATIENT, giveUpAt: crew.time.now() + 1_000 }
  const read = crew.run(crew.peer(1).reader.read(sourceOf(manifest), 0, 3_000, call))
  await assert.rejects(read, (error: StoreError) => {
    assert.match(error.message, /node 2 cannot be reached, node 3 cannot be reached/)
    assert.equal(error.retryable, true)
    return isUnreadable(error)
  })
})

test('a damaged shard is an erasure and never an input, the own one and those of others', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(fc.integer({ min: 1, max: 5 }), { maxLength: 3 }),
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 0, max: 900 }),
      async (rotten, reader, at) => {
        const crew = await Crew.start(5)
        const data = noise(1_500, at)
        const { manifest } = await crew.spread(data, 2, blobId(1))
        rot(crew, rotten, at)
        const read = crew.peer(reader).reader.read(sourceOf(manifest), 0, data.length, PATIENT)
        assert.ok((await crew.run(read)).equals(data))
      },
    ),
    { numRuns: 60 },
  )
})

test('shards of another attempt, of which the heads are right, do not become part of a value', async () => {
  const crew = await Crew.start(3)
  const data = noise(2_000, 1)
  const { manifest, shards } = await crew.code(data, 2, blobId(1))
  const other = await crew.code(noise(2_000, 2), 2, blobId(1))
  await crew.run(crew.peer(1).store.append(other.shards[0]!))
  await crew.run(crew.peer(2).store.append(shards[1]!))
  await crew.run(crew.peer(3).store.append(shards[2]!))
  const read = crew.peer(3).reader.read(sourceOf(manifest), 0, 2_000, PATIENT)
  assert.ok((await crew.run(read)).equals(data))
  await crew.put(manifest)
  crew.down.add(2)
  const call = { ...PATIENT, giveUpAt: crew.time.now() + 500 }
  await assert.rejects(
    crew.run(crew.peer(3).reader.read(sourceOf(manifest), 0, 2_000, call)),
    isUnreadable,
  )
})

test('a shard that the manifest has no digest of is distrusted when the data is not the part', async () => {
  const crew = await Crew.start(4)
  const data = noise(2_000, 1)
  const { manifest, shards } = await crew.code(data, 2, blobId(1))
  const other = await crew.code(noise(2_000, 2), 2, blobId(1))
  // The manifest was made when member 1 was none yet; it has made its shard of the wrong ones.
  const part = manifest.parts[0]!
  const known = {
    ...manifest,
    members: manifest.members.slice(1),
    parts: [{ ...part, durable: part.durable.slice(1), digests: part.digests.slice(1) }],
  }
  await crew.run(crew.peer(1).store.append(other.shards[0]!))
  for (const node of [2, 3, 4]) await crew.run(crew.peer(node).store.append(shards[node - 1]!))
  const read = crew.peer(1).reader.read(sourceOf(known), 0, 2_000, PATIENT)
  assert.ok((await crew.run(read)).equals(data))
})

test('every shard is made anew byte for byte, from any k others', async () => {
  const crew = await Crew.start(4)
  const data = noise(2_500, 1)
  const { manifest, shards }: Coded = await crew.spread(data, 2, blobId(1))
  for (let index = 0; index < 4; index++) {
    const made = crew.peer(index + 1).reader.shardAt(sourceOf(manifest), index, PATIENT)
    const { digest, parts } = await crew.run(made)
    assert.ok(digest.equals(shards[index]!.digest))
    assert.ok(Buffer.concat(parts).equals(Buffer.concat(shards[index]!.parts)))
  }
})

test('of a value that was replaced the error says that it has gone, not so while the state may be behind', async () => {
  const crew = await Crew.start(3)
  const { manifest } = await crew.code(noise(2_000, 1), 2, blobId(1, 2))
  const read = () => crew.run(crew.peer(1).reader.read(sourceOf(manifest), 0, 2_000, PATIENT))
  const isGone = (error: StoreError) => error.code === 'QUORATE_BLOB_GONE'
  const isBehind = (error: StoreError) => isUnreadable(error) && error.retryable
  const other = { type: 'put', key: KEY, value: Buffer.from('x') } as const
  await assert.rejects(read(), isBehind)
  await crew.apply(other, 2)
  await assert.rejects(read(), isBehind)
  await crew.put(manifest)
  await assert.rejects(read(), isUnreadable)
  await crew.apply(other, 2)
  await assert.rejects(read(), isGone)
  crew.introduced.clear()
  await assert.rejects(read(), isBehind)
  await crew.apply(other, 3)
  await assert.rejects(read(), isGone)
})

test('shards of another key, cluster or code are none of the part', async () => {
  const crew = await Crew.start(3)
  const data = noise(2_000, 1)
  const { manifest, shards } = await crew.code(data, 2, blobId(1))
  const part = manifest.parts[0]!
  await crew.put(manifest)
  // Digests of the manifest would tell as well: without them only the heads can.
  const bare = { ...manifest, members: [], parts: [{ ...part, durable: [], digests: [] }] }
  for (const wrong of [
    { key: Buffer.from('another') },
    { clusterId: Buffer.from('another!') },
    { partBytes: 1_999 },
  ]) {
    await crew.run(crew.peer(1).store.append(shards[0]!))
    const { head, body } = shards[1]!
    const strange = sealShard({ ...head, ...wrong }, body)
    await crew.run(crew.peer(2).store.append(strange))
    const call = { ...PATIENT, giveUpAt: crew.time.now() + 300 }
    const read = crew.run(crew.peer(1).reader.read(sourceOf(bare), 0, 2_000, call))
    await assert.rejects(read, isUnreadable)
    for (const peer of crew.peers) for (const shard of peer.store.shards()) peer.store.forget(shard)
  }
})

test('the own shard comes first, then those with data, then parity, those that are away last', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 9 }),
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 9 }),
      fc.uniqueArray(fc.integer({ min: 1, max: 9 })),
      (count, dataShards, reader, away) => {
        const nodes = Array.from({ length: count }, (_, i) => i + 1)
        const self = Math.min(reader, count)
        const slots = new Map(nodes.map((node) => [node, node - 1]))
        const isUp = (node: number) => node === self || !away.includes(node)
        const members = { voters: nodes, votersOutgoing: [], slots }
        const places = placesOf({ self, members, isUp }, dataShards)
        assert.deepEqual([...places.map(({ node }) => node)].sort(), [...nodes].sort())
        assert.equal(places[0]?.node, self)
        const rest = places.slice(1).map(({ node, index }) => [isUp(node), index < dataShards])
        const ranks = rest.map(([up, data]) => (up ? 0 : 2) + (data ? 0 : 1))
        assert.deepEqual(ranks, ranks.toSorted())
      },
    ),
  )
})
