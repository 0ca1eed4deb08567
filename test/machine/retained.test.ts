/** What the replicated state says about retained checkpoints, and where it is given to be made into one. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { META_KEY } from '../../src/machine/key-space.js'
import { appliedOf } from '../../src/machine/machine-view.js'
import { begun, confirmed, dataShardsMax } from '../../src/machine/retained-record.js'
import { changeConfiguration, firstConfiguration } from '../../src/member/directory.js'
import type { Command } from '../../src/wire/command.js'
import { OWN_CLIENT, packEntry, RequestWriter } from '../../src/wire/request.js'
import { NOTHING_RETAINED } from '../../src/wire/retained.js'
import { OPTIONS, TestHost } from './machine-fixture.js'

const ROOT = Buffer.from('00112233445566ff', 'hex')
const MEMBERS = {
  voters: [1, 2, 3],
  votersOutgoing: [],
  slots: new Map([
    [2, 1],
    [1, 0],
    [3, 2],
    [9, 3],
  ]),
}
const retain = (dataShards: number) => ({ type: 'retain', dataShards }) as const
const retained = (index: number) => ({ type: 'retained', index, root: ROOT }) as const

function entryOf(index: number, ...commands: readonly Command[]) {
  const writer = new RequestWriter(64)
  for (const command of commands) writer.add(command)
  const data = packEntry([writer.finish(OWN_CLIENT, 1, 1, 0)])
  return { index, term: 4, kind: 'normal' as const, data }
}

test('k is no more than what can be covered, in both halves of a joint configuration', () => {
  const counts = [1, 2, 3, 4, 5, 6, 7].map((count) => Array.from({ length: count }, (_, i) => i))
  const alone = counts.map((voters) => dataShardsMax({ ...MEMBERS, voters }))
  assert.deepEqual(alone, [1, 1, 2, 2, 3, 3, 4])
  assert.equal(dataShardsMax({ ...MEMBERS, votersOutgoing: [1, 2, 3, 4, 5] }), 2)
  assert.equal(
    begun(NOTHING_RETAINED, retain(200), { index: 7, term: 4 }, MEMBERS).making?.dataShards,
    2,
  )
})

test('only the one that is being made becomes durable, in the place of the one before', () => {
  const first = begun(NOTHING_RETAINED, retain(1), { index: 7, term: 4 }, MEMBERS)
  assert.deepEqual(
    first.making?.members.map(({ node, slot }) => [node, slot]),
    [
      [1, 0],
      [2, 1],
      [3, 2],
      [9, 3],
    ],
  )
  assert.equal(confirmed(first, retained(6)), undefined)
  const durable = confirmed(first, retained(7))!
  assert.deepEqual([durable.making, durable.durable?.root], [undefined, ROOT.toString('hex')])
  const second = begun(durable, retain(1), { index: 9, term: 4 }, MEMBERS)
  assert.equal(second.durable?.index, 7)
  const third = begun(second, retain(1), { index: 11, term: 4 }, MEMBERS)
  assert.equal(confirmed(third, retained(9)), undefined)
  assert.equal(confirmed(third, retained(11))?.durable?.index, 11)
})

test('each change of what is retained ends a batch, and gives the state of just that entry', async () => {
  const host = new TestHost(1)
  const initial = firstConfiguration([{ id: 'a', nodeId: 1, address: 'a:1' }])
  const machine = await host.open({ ...OPTIONS, initial, confChange: changeConfiguration })
  const seen: number[] = []
  machine.onRetained((state) => {
    seen.push(appliedOf(state).index)
    assert.ok(state.get(META_KEY))
    void state.close()
  })
  const expire = { type: 'expire', keys: [], leases: [], detached: [] } as const
  const entries = [
    entryOf(1, expire),
    entryOf(2, expire, retain(1)),
    entryOf(3, expire),
    entryOf(4, retained(1)),
    entryOf(5, retained(2)),
    entryOf(6, retain(1), expire),
    entryOf(7, expire),
  ]
  await host.run(machine.apply(entries))
  assert.deepEqual(seen, [2, 5, 6])
  const { making, durable } = machine.retained
  assert.deepEqual([making?.index, making?.term, durable?.index], [6, 4, 2])
  await host.run(machine.close())
})
