/**
 * What runs while the power may go: each workload drives the storage of one member or of a whole cluster through one
 * kind of change, from empty folders on.
 */
import assert from 'node:assert/strict'
import { StoreError } from '../../src/base/errors.js'
import type { StorageOptions } from '../../src/member/options.js'
import type { PowerCutMode } from '../../src/sim/sim-disk.js'
import { restore } from '../../src/store/maintenance.js'
import type { OpenOptions } from '../../src/store/open-options.js'
import { openStore } from '../../src/store/store.js'
import { readAll } from './check.js'
import type { Machines } from './machines.js'
import type { Stage, Workload } from './workload.js'

const PATIENT_MS = 30_000
const HASTY_MS = 250
const SEGMENT_BYTES = 65_536

const COMMON: Partial<OpenOptions> = {
  valueEncoding: 'utf8',
  secret: 'a secret for simulations',
  timing: { tickMs: 10, heartbeatMs: 50, electionMs: 300 },
  limits: { maxRequestBytes: 4096, maxValueBytes: 131_072 },
}
const KEPT: Partial<StorageOptions> = { segmentBytes: SEGMENT_BYTES }
const SHORT: Partial<StorageOptions> = {
  segmentBytes: SEGMENT_BYTES,
  checkpointBytes: SEGMENT_BYTES,
  keepLogBytes: 0,
}

function addLone(machines: Machines, storage: Partial<StorageOptions>): void {
  machines.add('a', { ...COMMON, dir: 'data', id: 'a', storage })
}

function addCluster(machines: Machines, storage: Partial<StorageOptions>): void {
  const members = Object.fromEntries(['a', 'b', 'c'].map((name) => [name, `${name}:7100`]))
  for (const id of ['a', 'b', 'c'])
    machines.add(id, { ...COMMON, dir: 'data', id, members, storage })
}

/** Several writers with keys of their own, each of which goes through one member. */
async function load({ machines, ledger }: Stage, via: readonly string[], rounds: number) {
  const writer = async (name: string, which: number) => {
    for (let round = 0; round < rounds; round++) {
      await ledger.write(machines.store(name), `${which}-${round % 4}`, PATIENT_MS)
    }
  }
  await Promise.all(via.map(writer))
}

async function startAll(machines: Machines): Promise<void> {
  await Promise.all(machines.names.map((name) => machines.start(name)))
  await machines.until(() => machines.leader !== undefined)
}

const rotation: Workload = {
  name: 'rotation',
  summary: 'one member fills segment after segment, some with one entry larger than a segment',
  async run(stage) {
    const { machines } = stage
    addLone(machines, KEPT)
    await machines.start('a')
    await load(stage, ['a', 'a', 'a'], 50)
    await machines.store('a').close()
  },
}

const checkpoint: Workload = {
  name: 'checkpoint',
  summary: 'one member takes checkpoints under load, removes segments, closes and opens again',
  async run(stage) {
    const { machines } = stage
    addLone(machines, SHORT)
    for (let life = 0; life < 3; life++) {
      await machines.start('a')
      const store = machines.store('a')
      await Promise.all([
        load(stage, ['a', 'a', 'a'], 14),
        machines.pause(20).then(() => store.checkpoint()),
      ])
      await store.checkpoint()
      await store.close()
    }
  },
}

const MODES: readonly (PowerCutMode | undefined)[] = [
  undefined,
  'none',
  'prefix',
  'torn',
  'arbitrary',
]

const recovery: Workload = {
  name: 'recovery',
  summary: 'one member dies again and again in the middle of writing, and recovers what was left',
  async run(stage) {
    const { machines, ledger, seed } = stage
    addLone(machines, SHORT)
    for (let life = 0; life < 12; life++) {
      await machines.start('a')
      const writing = ['x', 'y', 'z'].map((key) => writeOn(stage, `${key}${life}`))
      // Who waits for the dead never hears anything: the writing does not end.
      const living = machines.pause(15 + machines.world.below(60, 'life', life))
      await Promise.race([Promise.all(writing), living])
      machines.stop('a', MODES[(life + seed) % MODES.length])
    }
    await machines.start('a')
    await ledger.write(machines.store('a'), 'last', PATIENT_MS)
    await machines.store('a').close()
  },
}

async function writeOn({ machines, ledger }: Stage, key: string): Promise<void> {
  const store = machines.store('a')
  while (await ledger.write(store, key, PATIENT_MS));
}

const leaders: Workload = {
  name: 'leaders',
  summary:
    'leaders are cut off while they take writes; their tails are overwritten when they come back',
  async run(stage) {
    const { machines, ledger } = stage
    addCluster(machines, KEPT)
    await startAll(machines)
    for (let round = 0; round < 3; round++) {
      await load(stage, machines.names, 3)
      const old = machines.leader!
      machines.network.partition([[old], machines.names.filter((name) => name !== old)])
      // These stay in the log of the old leader alone, or time out before they are sent.
      const lost = ['p', 'q', 'r', 's'].map((key) =>
        ledger.write(machines.store(old), `${key}${round}`, HASTY_MS),
      )
      await machines.until(() => machines.leader !== old && machines.leader !== undefined)
      await ledger.write(machines.store(machines.leader!), `new${round}`, PATIENT_MS)
      await Promise.all(lost)
      machines.network.healAll()
      await load(stage, machines.names, 3)
    }
    for (const name of machines.names) await machines.store(name).close()
  },
}

const members: Workload = {
  name: 'members',
  summary: 'three members under load: one is replaced, one is added as a learner and removed again',
  async run(stage) {
    const { machines, ledger } = stage
    addCluster(machines, KEPT)
    ledger.memberships = ['a b c']
    await startAll(machines)
    const writing = load(stage, ['a', 'b'], 16)
    await change(stage, 'd', ['a b c', 'a b c (d)', 'a b d'], () =>
      machines.store('a').members.replace([{ remove: 'c', add: { id: 'd', address: 'd:7100' } }]),
    )
    machines.stop('c')
    await change(stage, 'e', ['a b d', 'a b d (e)'], () =>
      machines.store('b').members.add('e', 'e:7100', { as: 'learner' }),
    )
    await change(stage, undefined, ['a b d (e)', 'a b d'], () =>
      machines.store('a').members.remove('e'),
    )
    await writing
    for (const name of ['a', 'b', 'd']) await machines.store(name).close()
  },
}

/** Changes the members; one may join. `allowed` may be found on the way, the last of it at the end. */
async function change(
  { machines, ledger }: Stage,
  joining: string | undefined,
  allowed: readonly string[],
  make: () => Promise<unknown>,
): Promise<void> {
  ledger.memberships = allowed
  const starting = joining === undefined ? undefined : join(machines, joining)
  await Promise.all([make(), starting])
  ledger.memberships = allowed.slice(-1)
}

async function join(machines: Machines, id: string): Promise<void> {
  const addresses = machines.names.map((name) => `${name}:7100`)
  machines.add(id, {
    ...COMMON,
    dir: 'data',
    id,
    join: addresses,
    joinTimeoutMs: 2000,
    listen: `${id}:7100`,
    storage: KEPT,
  })
  await machines.start(id)
}

const snapshot: Workload = {
  name: 'snapshot',
  summary: 'a member that was away for longer than the log is kept is sent the state, twice',
  async run(stage) {
    const { machines } = stage
    addCluster(machines, SHORT)
    await startAll(machines)
    for (let round = 0; round < 2; round++) {
      const away = machines.names.find((name) => name !== machines.leader)!
      const others = machines.names.filter((name) => name !== away)
      await load(stage, others, 4)
      machines.stop(away)
      await load(stage, others, 16)
      for (const name of others) await machines.store(name).checkpoint()
      await machines.start(away)
      await machines.until(() => machines.store(away).status().snapshots.installed > 0)
      await load(stage, machines.names, 2)
    }
    for (const name of machines.names) await machines.store(name).close()
  },
}

const BACKED_UP = 'backed up'
const RESTORED = 'restored'

const restoring: Workload = {
  name: 'restore',
  summary: 'one member is backed up under load, and the backup is restored into another folder',
  async run(stage) {
    const { machines, ledger } = stage
    addLone(machines, SHORT)
    await machines.start('a')
    await load(stage, ['a', 'a', 'a'], 12)
    await machines.store('a').backup('backup')
    ledger.note(BACKED_UP)
    await restore(machines.boot('a'), 'backup', 'restored', {})
    ledger.note(RESTORED)
    await machines.store('a').close()
  },
  async after(machines, known) {
    if (!known.done.has(BACKED_UP)) return
    const env = machines.boot('a')
    if (!known.done.has(RESTORED)) {
      // What the power cut left is no store, or the whole one, which nobody had been told of.
      await machines.run(restore(env, 'backup', 'restored', {}).catch(mustBeComplete))
    }
    const store = await machines.run(openStore(env, { ...COMMON, dir: 'restored', id: 'a' }))
    assert.deepEqual(await machines.run(readAll(store, 'strong')), known.acknowledged)
    await machines.run(store.close())
  },
}

function mustBeComplete(error: unknown): void {
  const isComplete = error instanceof StoreError && error.code === 'QUORATE_NOT_EMPTY'
  if (!isComplete) throw error
}

/** All of them. */
export const WORKLOADS: readonly Workload[] = [
  rotation,
  checkpoint,
  recovery,
  leaders,
  members,
  snapshot,
  restoring,
]
