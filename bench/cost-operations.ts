/** The operations whose cost is counted, by who calls and at what level. */
import type { Handle, Store } from '../src/index.js'
import { type Cost, CostCluster } from './cost-cluster.js'
import { keyOf, makeValue } from './workload.js'

/** Who calls. */
export type Caller = 'leader' | 'follower' | 'client'

/** An operation and its cost. */
export interface CostRow {
  readonly members: number
  readonly caller: Caller
  readonly operation: string
  /** Calls that were made in one turn; the cost is that of all of them together. */
  readonly calls: number
  readonly cost: Cost
}

interface Case {
  readonly operation: string
  readonly calls: number
  readonly callers: readonly Caller[]
  /** What comes before, not counted; resolves with the handle that `run` is given. */
  readonly prepare?: (store: Store) => Promise<Handle>
  readonly run: (handle: Handle, store: Store) => Promise<unknown>
}

const VALUE = makeValue(128, 1)
const LARGE_VALUE = makeValue(1_048_576, 1)
const MANY = 64
const IN_ROW = 8
const EVERYONE: readonly Caller[] = ['leader', 'follower', 'client']
const KEYS: readonly string[] = Array.from({ length: MANY }, (_, i) => keyOf(i))

function eachKey(call: (key: string) => Promise<unknown>): Promise<unknown> {
  return Promise.all(KEYS.map(call))
}

const CASES: readonly Case[] = [
  { operation: 'put', calls: 1, callers: EVERYONE, run: (on) => on.put(KEYS[0]!, VALUE) },
  {
    operation: 'put, ack applied',
    calls: 1,
    callers: EVERYONE,
    run: (on) => on.put(KEYS[0]!, VALUE, { ack: 'applied' }),
  },
  {
    operation: 'put, ack all',
    calls: 1,
    callers: EVERYONE,
    run: (on) => on.put(KEYS[0]!, VALUE, { ack: 'all' }),
  },
  {
    operation: `${MANY} puts of one turn`,
    calls: MANY,
    callers: EVERYONE,
    run: (on) => eachKey((key) => on.put(key, VALUE)),
  },
  {
    operation: `${IN_ROW} puts, one after another`,
    calls: IN_ROW,
    callers: EVERYONE,
    run: async (on) => {
      for (const key of KEYS.slice(0, IN_ROW)) await on.put(key, VALUE)
    },
  },
  {
    operation: `batch of ${MANY} puts`,
    calls: 1,
    callers: EVERYONE,
    run: (on) => on.batch(KEYS.map((key) => ({ type: 'put', key, value: VALUE }))),
  },
  {
    operation: 'txn, compare and swap',
    calls: 1,
    callers: EVERYONE,
    run: (on) =>
      on.txn({
        if: [{ key: KEYS[0]!, exists: true }],
        then: [{ type: 'put', key: KEYS[0]!, value: VALUE }],
      }),
  },
  { operation: 'get, strong', calls: 1, callers: EVERYONE, run: (on) => on.get(KEYS[0]!) },
  {
    operation: `${MANY} gets of one turn, strong`,
    calls: MANY,
    callers: EVERYONE,
    run: (on) => eachKey((key) => on.get(key)),
  },
  {
    operation: 'get, session, nothing seen yet',
    calls: 1,
    callers: EVERYONE,
    prepare: async (store) => store.session(),
    run: (on) => on.get(KEYS[0]!),
  },
  {
    operation: 'put, then get, session',
    calls: 2,
    callers: EVERYONE,
    prepare: async (store) => store.session(),
    run: async (on) => {
      await on.put(KEYS[0]!, VALUE)
      await on.get(KEYS[0]!)
    },
  },
  {
    operation: 'get, eventual, bounded, last proof too old',
    calls: 1,
    callers: EVERYONE,
    run: (on) => on.get(KEYS[0]!, { consistency: 'eventual', maxStalenessMs: 100 }),
  },
  {
    operation: 'get, eventual',
    calls: 1,
    callers: EVERYONE,
    run: (on) => on.get(KEYS[0]!, { consistency: 'eventual' }),
  },
  {
    operation: `scan of ${MANY} keys, strong`,
    calls: 1,
    callers: EVERYONE,
    run: (on) => drain(on, 'strong'),
  },
  {
    operation: `scan of ${MANY} keys, eventual`,
    calls: 1,
    callers: EVERYONE,
    run: (on) => drain(on, 'eventual'),
  },
]

/** What shards change; apart from the others, which would find a larger state. */
const LARGE: readonly Case[] = [
  {
    operation: 'put of 1 MiB, as shards',
    calls: 1,
    callers: EVERYONE,
    run: (on) => on.put(KEYS[0]!, LARGE_VALUE),
  },
]

async function drain(on: Handle, consistency: 'strong' | 'eventual'): Promise<void> {
  let found = 0
  for await (const _ of on.scan({ gte: KEYS[0]!, lte: KEYS[MANY - 1]!, consistency })) found++
  if (found !== MANY) throw new Error(`the scan gave ${found} keys`)
}

/** What leases change. */
const LEASED: readonly Case[] = [
  {
    operation: 'get, strong, by lease',
    calls: 1,
    callers: EVERYONE,
    run: (on) => on.get(KEYS[0]!),
  },
]

/** Counts every operation on clusters of so many members; the same rows on every machine. */
export async function countCosts(members: number): Promise<CostRow[]> {
  const rows = [
    ...(await countOn(await CostCluster.start(members, 'quorum'), members, CASES)),
    ...(await countOn(await CostCluster.start(members, 'quorum'), members, LARGE)),
  ]
  // One member alone asks nobody in any case.
  if (members === 1) return rows
  return [...rows, ...(await countOn(await CostCluster.start(members, 'lease'), members, LEASED))]
}

async function countOn(
  cluster: CostCluster,
  members: number,
  cases: readonly Case[],
): Promise<CostRow[]> {
  const storeOf: Readonly<Record<Caller, () => Promise<Store>>> = {
    leader: async () => cluster.leader,
    follower: async () => cluster.follower,
    client: () => cluster.client(),
  }
  await cluster.cost(
    () => eachKey((key) => cluster.leader.put(key, VALUE)),
    async () => {},
  )
  const rows: CostRow[] = []
  for (const { operation, calls, callers, prepare, run } of cases) {
    for (const caller of callers) {
      // One member alone has no address: nobody follows it, and nobody connects to it.
      if (members === 1 && caller !== 'leader') continue
      const store = await storeOf[caller]()
      const cost = await cluster.cost(
        async () => (prepare === undefined ? store : prepare(store)),
        (handle) => run(handle, store),
      )
      rows.push({ members, caller, operation, calls, cost })
    }
  }
  await cluster.close()
  return rows
}
