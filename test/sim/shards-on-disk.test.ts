/** The eyes of the simulator for shards must see what is durable, and nothing else. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { shortText, storedText, streamedText } from '../../src/sim/run/values.js'
import { SimDisk } from '../../src/sim/sim-disk.js'
import { ShardsOnDisk } from '../../src/sim/watch/shards-on-disk.js'
import { SimWorld } from '../../src/sim/world.js'
import { type Shard, sealShard } from '../../src/wire/shard.js'

const ID = { term: 3, proposer: 1, seq: 9 }
const DIR = 'data/blobs'
const PATH = `${DIR}/00000001.shards`

function shard(part: number, index: number): Shard {
  const head = {
    clusterId: Buffer.alloc(8, 1),
    id: ID,
    part,
    index,
    dataShards: 2,
    partBytes: 1000,
  }
  return sealShard({ ...head, unit: 512, key: Buffer.from('k') }, Buffer.alloc(500, index))
}

class Machine {
  readonly world = new SimWorld(1)
  readonly host = { disk: new SimDisk(this.world, 'a', {}) }
  generation = 0
  readonly shards = new ShardsOnDisk(this)

  run<T>(work: Promise<T>): Promise<T> {
    return this.world.complete(work, 1000)
  }

  /** The indexes that are seen of a part. */
  seen(part: number): number[] {
    return this.shards.ofPart(ID, part).map(({ head }) => head.index)
  }
}

async function withFile(...shards: readonly Shard[]): Promise<Machine> {
  const machine = new Machine()
  const { disk } = machine.host
  await machine.run(disk.makeDir(DIR))
  const file = await machine.run(disk.open(PATH, 'create'))
  await machine.run(
    file.write([Buffer.from('a header'), ...shards.flatMap(({ parts }) => parts)], 0),
  )
  assert.deepEqual(machine.seen(0), [], 'nothing is durable yet')
  await machine.run(file.sync())
  assert.deepEqual(machine.seen(0), [], 'the name is not durable yet')
  await machine.run(disk.syncDir(DIR))
  return machine
}

test('a shard is seen once its bytes and its name are durable', async () => {
  const machine = await withFile(shard(0, 0), shard(0, 2), shard(1, 2))
  assert.deepEqual(machine.seen(0), [0, 2])
  assert.deepEqual(machine.seen(1), [2])
  assert.equal(machine.shards.find(ID, 0, 1), undefined)
  assert.deepEqual(machine.shards.find(ID, 1, 2)?.body, shard(1, 2).body)
  assert.equal(machine.shards.find({ ...ID, seq: 8 }, 1, 2), undefined)
})

test('a damaged shard is not seen, and those around it are', async () => {
  const machine = await withFile(shard(0, 0), shard(0, 1), shard(0, 2))
  assert.deepEqual(machine.seen(0), [0, 1, 2])
  const at = 8 + shard(0, 0).layout.bytes + 100
  machine.host.disk.corrupt(PATH, at, 1)
  machine.generation++
  assert.deepEqual(machine.seen(0), [0, 2])
})

test('a folder that is lost stays lost when the power goes', async () => {
  const machine = await withFile(shard(0, 0))
  machine.host.disk.lose(DIR)
  assert.deepEqual(machine.seen(0), [])
  machine.host.disk.powerCut('arbitrary')
  assert.deepEqual(machine.seen(0), [])
  assert.deepEqual(machine.host.disk.paths(DIR), [])
})

test('a stored text tells its name, and every byte of it counts', async () => {
  const knobs = { valueBytes: 10, largeValues: 'most' } as const
  let large = 0
  for (let i = 0; i < 60; i++) {
    const short = `v${i}.0`
    const stored = storedText(short, knobs)
    assert.equal(shortText(stored), short)
    assert.equal(shortText(Buffer.from(stored)), short)
    if (stored.length < 200) continue
    large++
    const end = stored.length - 1
    assert.notEqual(shortText(stored.slice(0, end)), short)
    assert.notEqual(shortText(`${stored.slice(0, end)}!`), short)
    assert.notEqual(shortText(stored.slice(0, 100) + stored.slice(101)), short)
    const pieces = streamedText(short, knobs)
    if (pieces === undefined) continue
    const all: Uint8Array[] = []
    for await (const piece of pieces) all.push(piece)
    assert.equal(Buffer.concat(all).toString(), stored)
  }
  assert.ok(large > 30)
  assert.equal(storedText('v', { valueBytes: 3, largeValues: 'none' }), 'v:xxx')
})
