import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { StateView, ViewRequest } from '../../src/member/backend.js'
import { type ViewPorts, Views } from '../../src/member/views.js'
import { SimCluster } from '../../src/sim/sim-cluster.js'
import { entry, TestHost } from '../machine/machine-fixture.js'

/** Entry i puts i under `k`. */
function puts(from: number, to: number) {
  return Array.from({ length: to - from + 1 }, (_, i) => {
    const n = from + i
    return entry(n, [{ client: 'a', seq: n, commands: `k=${n}` }])
  })
}

/** A state machine at index `applied`, and views of it whose demands are met when `reached` is called. */
async function viewed(applied: number, max = 10, reach?: ViewPorts['reach']) {
  const host = new TestHost(1)
  const machine = await host.open()
  await host.run(machine.apply(puts(1, applied)))
  let reached = () => {}
  let failed = (_error: Error) => {}
  const reaching = new Promise<void>((resolve, reject) => {
    reached = resolve
    failed = reject
  })
  reaching.catch(() => {})
  const overloads: number[] = []
  const views = new Views(
    {
      get appliedIndex() {
        return machine.appliedIndex
      },
      reach: reach ?? (() => reaching),
      present: () => machine.view(),
      viewAt: (index) => machine.viewAt(index),
      viewOf: (view, close) =>
        ({
          served: { index: view.appliedIndex },
          getMany: (keys: Uint8Array[]) => view.getMany(keys),
          close,
        }) as never,
      own: (work) => void work,
      overloaded: (retryAfterMs) => overloads.push(retryAfterMs),
    },
    max,
  )
  const open = (
    minIndex: number,
    cut: ViewRequest['cut'] = 'exact',
    level: ViewRequest['level'] = 'session',
  ) => views.openView({ cut, minIndex, level } as ViewRequest)
  const read = async (view: StateView) => {
    const [stored] = await host.run(view.getMany([Buffer.from('k')]))
    return [view.served.index, Number(stored!.value.toString())]
  }
  return { host, machine, views, overloads, open, read, reached, failed }
}

test('a view of an index to come is cut there, whatever is applied in the same call', async () => {
  const { host, machine, views, open, read, reached } = await viewed(3)
  const opening = [5, 5, 9].map((index) => open(index))
  await host.run(machine.apply(puts(4, 20)))
  reached()
  const opened = await host.run(Promise.all(opening))
  assert.deepEqual(await Promise.all(opened.map(read)), [
    [5, 5],
    [5, 5],
    [9, 9],
  ])
  assert.equal(views.open, 3)
  for (const view of opened) await host.run(view.close())
  assert.equal(views.open, 0)
  await host.run(machine.close())
})

test('views of one index outlive each other', async () => {
  const { host, machine, open, read, reached } = await viewed(3)
  const opening = [open(5), open(5)]
  await host.run(machine.apply(puts(4, 6)))
  reached()
  const [one, other] = await host.run(Promise.all(opening))
  await host.run(one!.close())
  await host.run(one!.close())
  assert.deepEqual(await read(other!), [5, 5])
  await host.run(other!.close())
  await host.run(machine.close())
})

test('a view of an index that is applied, or that is not to be exact, is the present state', async () => {
  const { host, machine, open, read, reached } = await viewed(7)
  reached()
  assert.deepEqual(await read(await open(5)), [7, 7])
  const late = open(9, 'newest')
  await host.run(machine.apply(puts(8, 12)))
  assert.deepEqual(await read(await late), [7, 7], 'as soon as it is said to be reached')
  await host.run(machine.close())
})

test('a view that comes while the batch with its index is being written has nothing that came later', async () => {
  const { host, machine, open, read, reached } = await viewed(3)
  const applying = machine.apply(puts(4, 8))
  const opening = open(5)
  await host.run(applying)
  await host.run(machine.apply(puts(9, 12)))
  reached()
  const [index, value] = await read(await host.run(opening))
  assert.equal(index, value)
  assert.ok(index! >= 5 && index! <= 8, `cut at ${index}`)
  await host.run(machine.close())
})

test('beyond the bound views are refused, and a view that failed or was closed makes room', async () => {
  const { host, machine, views, overloads, open, failed } = await viewed(3, 2)
  const opening = [open(5), open(6)]
  await assert.rejects(open(5), { code: 'QUORATE_OVERLOADED', retryable: true })
  assert.equal(overloads.length, 1)
  failed(new Error('too late'))
  for (const view of opening) await assert.rejects(view, { message: 'too late' })
  assert.equal(views.open, 0)
  await host.run(machine.apply(puts(4, 8)))
  assert.equal(machine.appliedIndex, 8)
  await host.run(machine.close())
})

test('a strong view of an index that does not come is waited for no longer than a read is', async () => {
  const reach: ViewPorts['reach'] = ({ level }) =>
    level === 'strong' ? Promise.resolve() : Promise.reject(new Error('too late'))
  const { host, machine, views, open } = await viewed(3, 1, reach)
  await assert.rejects(open(99, 'exact', 'strong'), { message: 'too late' })
  assert.equal(views.open, 0)
  await host.run(machine.close())
})

test('an iterator on a follower that is behind has what its session has seen, and nothing later', async () => {
  const cluster = await SimCluster.start(3, ['a', 'b', 'c'], {})
  const leader = await cluster.awaitLeader()
  const follower = cluster.names.find((name) => name !== leader)!
  await cluster.run(cluster.store(leader).put('k', 0))
  await cluster.world.advance(500)
  cluster.host(follower).slow(2000)
  const { token } = await cluster.run(
    cluster.store(leader).put('k', '1', { valueEncoding: 'utf8' }),
  )
  const level = cluster.store(follower).level({ consistency: 'session' })
  await cluster.run(level.open())
  level.observe(token)
  const iterator = level.iterator()
  for (let n = 2; n < 30; n++) void cluster.store(leader).put(`k${n}`, n)
  await cluster.world.advance(200)
  cluster.host(follower).slow(1)
  assert.deepEqual(await cluster.run(iterator.all()), [['k', '1']])
  await cluster.run(level.close())
  await cluster.close()
})
