/** Members whose states went apart: found, told from those that are right, and not served any more. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeSessionRecord, writeSessionRecord } from '../../src/machine/session-record.js'
import {
  agreedBy,
  type DivergedRange,
  Divergence,
  type DivergencePorts,
} from '../../src/member/divergence.js'
import type { ConfState } from '../../src/raft/types.js'
import { SimCluster } from '../../src/sim/sim-cluster.js'
import { closeMember, tamper } from './damage-fixture.js'

const COMPARE_MS = 500

function conf(voters: number[], votersOutgoing: number[] = [], learners: number[] = []): ConfState {
  return { voters, votersOutgoing, learners, learnersNext: [], autoLeave: false }
}

/** Some members of one process, whose frames arrive when `deliver` is called. */
class Members {
  readonly diverged = new Map<number, DivergedRange>()
  readonly digests = new Map<number, Map<number, string>>()
  readonly applied = new Map<number, number>()
  readonly #members = new Map<number, Divergence>()
  #frames: (() => void)[] = []
  #now = 0
  leader = 1
  readonly conf: ConfState
  unreachable = new Set<number>()

  constructor(nodes: readonly number[], configuration: ConfState) {
    this.conf = configuration
    for (const node of nodes) {
      this.digests.set(node, new Map())
      this.applied.set(node, 0)
      this.#members.set(node, new Divergence(this.#portsOf(node, nodes), COMPARE_MS))
    }
  }

  member(node: number): Divergence {
    return this.#members.get(node)!
  }

  /** The member has applied `index` and has this digest there. */
  apply(node: number, index: number, digest: string): void {
    this.digests.get(node)!.set(index, digest)
    this.applied.set(node, index)
    this.member(node).onApplied()
  }

  /** Lets a round begin and everything be delivered. */
  round(): void {
    this.#now += COMPARE_MS
    for (const member of this.#members.values()) member.tick(this.#now)
    this.deliver()
  }

  deliver(): void {
    while (this.#frames.length > 0) this.#frames.shift()!()
  }

  #portsOf(self: number, nodes: readonly number[]): DivergencePorts {
    const members = this
    return {
      self,
      get appliedIndex() {
        return members.applied.get(self)!
      },
      get conf() {
        return members.conf
      },
      get leader() {
        return members.leader
      },
      others: nodes.filter((node) => node !== self),
      digestAt: (index) => this.digests.get(self)!.get(index),
      send: (to, kind, body) => {
        if (this.unreachable.has(to) || this.unreachable.has(self)) return
        this.#frames.push(() => this.member(to).onFrame(self, kind, Buffer.from(body)))
      },
      onDiverged: (range) => {
        assert.ok(!this.diverged.has(self), 'said once')
        this.diverged.set(self, range)
      },
    }
  }
}

const GOOD = '00000000000000aa'
const BAD = '00000000000000bb'
const WORSE = '00000000000000cc'

test('members that agree are left alone, and the first that does not is told between which indexes', () => {
  const members = new Members([1, 2, 3], conf([1, 2, 3]))
  for (const node of [1, 2, 3]) members.apply(node, 10, GOOD)
  members.round()
  for (const node of [1, 2, 3]) members.apply(node, 20, node === 3 ? BAD : GOOD)
  members.round()
  members.round()
  assert.deepEqual([...members.diverged], [[3, { after: 10, at: 20 }]])
})

test('a leader that stands alone learns that it is the one that is wrong', () => {
  const members = new Members([1, 2, 3], conf([1, 2, 3]))
  for (const node of [1, 2, 3]) members.apply(node, 20, node === 1 ? BAD : GOOD)
  members.round()
  assert.deepEqual([...members.diverged], [[1, { after: 0, at: 20 }]])
})

test('a member that has not applied so far answers when it has; one that is late learns the verdict', () => {
  const members = new Members([1, 2, 3], conf([1, 2, 3]))
  for (const node of [1, 2]) members.apply(node, 20, GOOD)
  members.round()
  members.apply(3, 20, BAD)
  members.deliver()
  assert.deepEqual([...members.diverged], [[3, { after: 0, at: 20 }]])
})

test('learners are compared but do not decide', () => {
  const members = new Members([1, 2, 3], conf([1], [], [2, 3]))
  members.apply(1, 20, GOOD)
  for (const node of [2, 3]) members.apply(node, 20, BAD)
  members.round()
  assert.deepEqual([...members.diverged.keys()], [2, 3])
})

test('without a majority that agrees nobody is wrong: it is said, and taken back when a later round decides', () => {
  const members = new Members([1, 2, 3], conf([1, 2, 3]))
  members.unreachable.add(3)
  for (const node of [1, 2]) members.apply(node, 10, GOOD)
  members.round()
  for (const node of [1, 2, 3]) members.apply(node, 20, node === 2 ? BAD : GOOD)
  members.round()
  members.round()
  for (const node of [1, 2]) {
    assert.deepEqual(members.member(node).disputed, { after: 10, at: 20 })
  }
  assert.equal(members.diverged.size, 0)
  members.unreachable.clear()
  for (const node of [1, 2, 3]) members.apply(node, 30, node === 2 ? WORSE : GOOD)
  members.round()
  assert.deepEqual([...members.diverged], [[2, { after: 10, at: 30 }]])
  assert.equal(members.member(1).disputed, undefined)
})

test('only the leader is answered and believed, and what was found is forgotten with the state', () => {
  const members = new Members([1, 2, 3], conf([1, 2, 3]))
  for (const node of [1, 2, 3]) members.apply(node, 20, node === 3 ? BAD : GOOD)
  members.leader = 2
  members.round()
  members.leader = 1
  members.deliver()
  assert.deepEqual([...members.diverged.keys()], [3])
  members.member(3).reset()
  members.diverged.clear()
  members.digests.get(3)!.clear()
  members.round()
  assert.equal(members.diverged.size, 0)
})

test('a majority is one of both halves of a joint configuration', () => {
  const digests = (...all: string[]) => new Map(all.map((digest, i) => [i + 1, digest]))
  assert.equal(agreedBy(conf([1, 2, 3]), digests(GOOD, GOOD, BAD)), GOOD)
  assert.equal(agreedBy(conf([1, 2, 3, 4]), digests(GOOD, GOOD, BAD, BAD)), undefined)
  assert.equal(agreedBy(conf([1, 2], [3, 4, 5]), digests(GOOD, GOOD, BAD, BAD, GOOD)), undefined)
  assert.equal(agreedBy(conf([1, 2], [3, 4, 5]), digests(GOOD, GOOD, BAD, GOOD, GOOD)), GOOD)
  assert.equal(agreedBy(conf([1, 2, 3]), digests(GOOD)), undefined)
})

/** Makes the table of a member that is down believe that every client's next request was applied already. */
function applyNextRequestsUnseen(cluster: SimCluster, name: string): void {
  const changed = tamper(cluster, name, (key, value) => {
    if (key[0] !== 2) return undefined
    const session = decodeSessionRecord(key.toString('latin1', 1), value)
    session.lastSeq++
    session.results.push(session.results.at(-1)!)
    const record = Buffer.alloc(value.length + 18)
    return record.subarray(0, writeSessionRecord(session, record))
  })
  assert.ok(changed > 0)
}

/** Three members, of which c takes the next request of every client for one that it has applied. */
async function divergent(
  seed: number,
  storage: object,
  names: readonly string[] = ['a', 'b', 'c'],
): Promise<SimCluster> {
  const cluster = await SimCluster.start(seed, names, {
    storage: { compareMs: COMPARE_MS, ...storage },
  })
  await cluster.awaitLeader()
  for (let i = 0; i < 40; i++) await cluster.run(cluster.store('a').put(`k${i}`, 'x'.repeat(2000)))
  await cluster.world.advance(1000)
  // Lets go of the log as far as it is not kept.
  if ('keepLogBytes' in storage) {
    for (const name of cluster.names) await cluster.run(cluster.store(name).checkpoint())
  }
  await closeMember(cluster, 'c')
  applyNextRequestsUnseen(cluster, 'c')
  await cluster.restart('c')
  await cluster.world.advance(3000)
  return cluster
}

const SHORT_LOG = { segmentBytes: 65_536, checkpointBytes: 65_536, keepLogBytes: 0 }

test('a member that applies otherwise than the others says where they went apart, and is rebuilt', async () => {
  for (const [seed, storage, from] of [
    [7, {}, /^log$/],
    [8, SHORT_LOG, /^[ab]$/],
  ] as const) {
    for (const isLeader of [false, true]) {
      const cluster = await divergent(seed, storage)
      const events: unknown[] = []
      const lastRight = cluster.store('a').status().commitIndex
      if (isLeader) await cluster.run(cluster.store('a').members.transferLeadership('c'))
      cluster.store('c').on('diverged', ({ after, at }) => {
        assert.ok(after >= lastRight - 1 && at > lastRight, `${after} to ${at}`)
        events.push('diverged')
      })
      cluster.store('c').on('rebuilt', (rebuilt) => {
        assert.match(rebuilt.why, /not that of the majority/)
        assert.match(rebuilt.from, from)
        events.push('rebuilt')
      })
      const { index } = await cluster.run(cluster.store('a').put('after', 1))
      await cluster.world.advance(10_000)
      assert.deepEqual(events, ['diverged', 'rebuilt'])
      const found = await cluster.run(
        cluster.store('c').getWithMeta('after', { consistency: 'eventual' }),
      )
      assert.equal(found.value, 1)
      // A leader that is wrong has taken the write for one that was applied before.
      if (!isLeader) assert.equal(found.revision, index)
      await cluster.run(cluster.store('c').put('later', 1))
      await cluster.world.advance(3 * COMPARE_MS)
      assert.equal(events.length, 2)
      await cluster.close()
    }
  }
})

test('from the moment it is known a diverged member serves nothing of its state', async () => {
  const cluster = await divergent(9, SHORT_LOG)
  const store = cluster.store('c')
  let isKnown = false
  let isRebuilt = false
  store.on('diverged', () => {
    isKnown = true
  })
  store.on('rebuilt', () => {
    isRebuilt = true
  })
  await cluster.run(cluster.store('a').put('after', 1))
  let refused = 0
  for (let i = 0; i < 4000 && !isRebuilt; i++) {
    const [knew, rebuilt] = [isKnown, isRebuilt]
    const reading = store.get('after', { consistency: 'eventual' }).then(
      (value) => value,
      (error: { code: string }) => error.code,
    )
    const value = await cluster.run(reading)
    if (knew && !rebuilt && !isRebuilt) {
      refused++
      assert.match(String(value), /QUORATE_/)
    }
    await cluster.world.advance(1)
  }
  assert.ok(isRebuilt && refused > 0, `${refused} refused`)
  await cluster.close()
})

test('two members that differ both say so, and both go on', async () => {
  const cluster = await SimCluster.start(9, ['a', 'b'], { storage: { compareMs: COMPARE_MS } })
  await cluster.awaitLeader()
  for (let i = 0; i < 5; i++) await cluster.run(cluster.store('a').put(`k${i}`, i))
  await closeMember(cluster, 'b')
  applyNextRequestsUnseen(cluster, 'b')
  await cluster.restart('b')
  await cluster.run(cluster.store('a').put('after', 1))
  await cluster.world.advance(4 * COMPARE_MS)
  for (const name of ['a', 'b']) {
    assert.match(cluster.store(name).status().words.join(' '), /nobody can tell which/)
  }
  await cluster.run(cluster.store('b').put('k', 1))
  await cluster.close()
})

test('a write that waits for all members goes on waiting while the state of its own is had again', async () => {
  const cluster = await divergent(9, {}, ['a', 'b', 'c', 'd', 'e'])
  cluster.kill('e')
  let isRebuilt = false
  cluster.store('c').on('rebuilt', () => {
    isRebuilt = true
  })
  const write = cluster.store('c').put('after', 1, { ack: 'all', timeoutMs: 60_000 })
  await cluster.run(cluster.store('a').put('parts', 1))
  await cluster.world.advance(10_000)
  assert.ok(isRebuilt)
  await cluster.restart('e')
  await cluster.run(write)
  await cluster.close()
})
