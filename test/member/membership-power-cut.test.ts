/**
 * The power goes on every machine at once, anywhere in the course of a change of the members: afterwards there is one
 * membership, the change is there as a whole or not at all, and it can be made again.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StoreError } from '../../src/base/errors.js'
import type { SimCluster } from '../../src/sim/sim-cluster.js'
import type { PowerCutMode } from '../../src/sim/sim-disk.js'
import type { ChangeResult, Members } from '../../src/store/members.js'
import { namesAt, three } from './membership-fixture.js'

const MODES: readonly PowerCutMode[] = ['none', 'prefix', 'torn', 'arbitrary']

/** A change, and what the members are before, in between and after it. */
interface Case {
  readonly title: string
  readonly change: (members: Members) => Promise<ChangeResult>
  readonly allowed: readonly string[]
  readonly joins: boolean
  /** It takes about so many events. */
  readonly events: number
}

const CASES: readonly Case[] = [
  {
    title: 'add',
    change: (members) => members.add('d', 'd:7100'),
    allowed: ['a b c', 'a b c (d)', 'a b c d'],
    joins: true,
    events: 400,
  },
  {
    title: 'remove',
    change: (members) => members.remove('c'),
    allowed: ['a b c', 'a b'],
    joins: false,
    events: 60,
  },
  {
    title: 'replace',
    change: (members) => members.replace([{ remove: 'c', add: { id: 'd', address: 'd:7100' } }]),
    allowed: ['a b c', 'a b c (d)', 'a b d'],
    joins: true,
    events: 600,
  },
]

/** Begins the change, cuts the power after `events` events, and starts everybody again. */
async function cutDuring(
  cluster: SimCluster,
  { change, joins }: Case,
  events: number,
  mode: PowerCutMode,
): Promise<void> {
  const isExpected = (error: unknown) => {
    if (!(error instanceof StoreError)) throw error
  }
  const end = cluster.world.executed + events
  change(cluster.store('a').members).catch(isExpected)
  if (joins) cluster.join('d', { joinTimeoutMs: 2000 }).catch(isExpected)
  await cluster.world.runUntil(() => cluster.world.executed >= end, 60_000)
  const { names } = cluster
  for (const name of names) cluster.powerCut(name, mode)
  const started = names.filter((name) => name !== 'd')
  for (const name of started) await cluster.restart(name)
  if (!joins) return
  const join = started.map((name) => cluster.addressOf(name))
  const options = { dir: 'data', id: 'd', listen: 'd:7100', join, joinTimeoutMs: 2000 }
  await cluster.reopen('d', options).catch(isExpected)
}

for (const each of CASES) {
  test(`a power cut in the middle of "${each.title}" leaves one membership, from which it goes on`, async () => {
    const seen = new Set<string>()
    for (let cut = 0; cut < 16; cut++) {
      const cluster = await three(100 + cut)
      await cluster.run(cluster.store('b').put('k', cut))
      await cluster.world.advance(2500)
      const mode = MODES[cut % MODES.length]!
      await cutDuring(cluster, each, 1 + cluster.world.below(each.events, cut), mode)
      await cluster.awaitLeader()
      await cluster.world.advance(3000)
      const found = await namesAt(cluster, 'b')
      assert.ok(each.allowed.includes(found), `cut ${cut}: ${found}`)
      seen.add(found)
      assert.equal(await cluster.run(cluster.store('b').get('k')), cut)
      const views = cluster.names
        .filter((name) => cluster.isUp(name) && found.includes(name))
        .map((name) =>
          cluster
            .store(name)
            .status()
            .members.map(({ id, as }) => `${id} ${as}`)
            .join(),
        )
      assert.equal(new Set(views).size, 1, `cut ${cut}: ${views.join(' / ')}`)
      cluster.kill('a')
    }
    assert.ok(seen.size > 1, `the cuts met only ${[...seen].join()}`)
  })
}
