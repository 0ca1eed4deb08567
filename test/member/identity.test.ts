import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StoreError, type StoreErrorCode } from '../../src/base/errors.js'
import { claimIdentity, type ExpectedIdentity, type Identity } from '../../src/member/identity.js'
import { SimDisk } from '../../src/sim/sim-disk.js'
import { SimRandom } from '../../src/sim/sim-random.js'
import { SimWorld } from '../../src/sim/world.js'

const NOTHING: ExpectedIdentity = {
  id: undefined,
  members: undefined,
  cluster: undefined,
  join: undefined,
}
const ABC = { members: { a: 'a:1', b: 'b:1', c: 'c:1' }, cluster: undefined }

class Folder {
  readonly world = new SimWorld(1)
  readonly disk = new SimDisk(this.world, 'host', {})
  readonly #host: string
  #lives = 0

  constructor(host = 'host') {
    this.#host = host
  }

  claim(expected: Partial<ExpectedIdentity>): Promise<Identity> {
    const random = new SimRandom(this.world, `${this.#host} ${this.#lives++}`)
    const claimed = this.disk
      .makeDir('data')
      .then(() => claimIdentity(this.disk, random, 'data', { ...NOTHING, ...expected }))
    return this.world.complete(claimed, 1000)
  }

  async write(name: string, text: string): Promise<void> {
    const write = async () => {
      await this.disk.makeDir('data')
      const names = await this.disk.list('data')
      if (names?.includes(name)) await this.disk.remove(`data/${name}`)
      const file = await this.disk.open(`data/${name}`, 'create')
      await file.write([Buffer.from(text)], 0)
      await file.close()
    }
    await this.world.complete(write(), 1000)
  }
}

async function refuses(claim: Promise<Identity>, code: StoreErrorCode): Promise<void> {
  await assert.rejects(claim, (error) => error instanceof StoreError && error.code === code)
}

test('members that start with the same names agree on cluster id and numbers without talking', async () => {
  const [a, c] = [new Folder(), new Folder()]
  const first = await a.claim({ ...ABC, id: 'a' })
  const third = await c.claim({ members: { c: 'c:1', a: 'a:1', b: 'b:1' }, id: 'c' })
  assert.equal(first.clusterId, third.clusterId)
  assert.deepEqual(first.firstMembers, third.firstMembers)
  assert.deepEqual([first.nodeId, third.nodeId], [1, 3])
})

test('clusters of equally named members are told apart by their cluster name', async () => {
  const plain = await new Folder().claim({ ...ABC, id: 'a' })
  const named = await new Folder().claim({ ...ABC, id: 'a', cluster: 'other' })
  assert.notEqual(plain.clusterId, named.clusterId)
})

test('two lone stores never share a cluster id', async () => {
  const one = await new Folder().claim({})
  const folder = new Folder()
  await folder.claim({ id: 'x' })
  const other = await new Folder().claim({ cluster: 'named' })
  assert.notEqual(one.clusterId, other.clusterId)
})

test('an identity is the same at every later open, with or without being named again', async () => {
  const folder = new Folder()
  const first = await folder.claim({ ...ABC, id: 'b' })
  assert.deepEqual(await folder.claim({ ...ABC, id: 'b' }), first)
  assert.deepEqual(await folder.claim({}), first)
})

test('T-69: a folder of another member or another cluster is refused', async () => {
  const folder = new Folder()
  await folder.claim({ ...ABC, id: 'a' })
  await refuses(folder.claim({ ...ABC, id: 'b' }), 'QUORATE_WRONG_MEMBER')
  await refuses(folder.claim({ ...ABC, id: 'a', cluster: 'other' }), 'QUORATE_WRONG_CLUSTER')
})

test('a folder stays its member whoever the others are by now', async () => {
  const folder = new Folder()
  const first = await folder.claim({ ...ABC, id: 'a' })
  assert.deepEqual(await folder.claim({ id: 'a', members: { a: 'a:1', d: 'd:1' } }), first)
})

test('T-14: a folder that is begun anew under the same name is another incarnation', async () => {
  const before = await new Folder('one life').claim({ ...ABC, id: 'a' })
  const after = await new Folder('another life').claim({ ...ABC, id: 'a' })
  assert.equal(after.clusterId, before.clusterId)
  assert.notEqual(after.incarnation, before.incarnation)
})

test('a folder that joins takes what the cluster says, and does not ask again', async () => {
  const folder = new Folder()
  const firstMembers = [{ id: 'x', nodeId: 7, address: 'x:1' }]
  const asked: string[] = []
  const join = async (incarnation: string) => {
    asked.push(incarnation)
    return { clusterId: '0123456789abcdef', nodeId: 12, firstMembers }
  }
  const identity = await folder.claim({ id: 'd', join })
  const { clusterId, nodeId, incarnation } = identity
  assert.deepEqual([clusterId, nodeId, asked], ['0123456789abcdef', 12, [incarnation]])
  assert.deepEqual(await folder.claim({ id: 'd', join }), identity)
  assert.equal(asked.length, 1)
})

test('a lone member that names itself later is the same member', async () => {
  const folder = new Folder()
  await folder.claim({})
  await folder.claim({ id: 'a', members: { a: 'a:1' } })
})

test('a newer format is refused, and a damaged file is not guessed at', async () => {
  const folder = new Folder()
  const identity = await folder.claim({})
  await folder.write('member.json', JSON.stringify({ ...identity, format: 2 }))
  await refuses(folder.claim({}), 'QUORATE_FORMAT')
  for (const text of ['', '{', 'null', '{"format":1}', '{"format":1,"clusterId":7,"id":"a"}']) {
    await folder.write('member.json', text)
    await refuses(folder.claim({}), 'QUORATE_CORRUPTION')
  }
})

test('a log without its identity is refused rather than taken for a new member', async () => {
  const folder = new Folder()
  await folder.world.complete(folder.disk.makeDir('data/log'), 1000)
  await refuses(folder.claim({}), 'QUORATE_CORRUPTION')
})

test('T-34: a power cut while the identity is written leaves a whole identity or none', async () => {
  for (let cut = 1; cut < 40; cut++) {
    const folder = new Folder()
    let isDone = false
    folder.disk
      .makeDir('data')
      .then(() => claimIdentity(folder.disk, new SimRandom(folder.world, 'x'), 'data', NOTHING))
      .then(() => {
        isDone = true
      })
    await folder.world.runUntil(() => isDone || folder.world.executed >= cut, 1000)
    const wasDone = isDone
    folder.disk.powerCut(cut % 2 === 0 ? 'arbitrary' : 'torn')
    const names = await folder.world.complete(folder.disk.list('data'), 1000)
    if (wasDone) assert.ok(names?.includes('member.json'), 'a returned identity is durable')
    await folder.claim({})
  }
})
