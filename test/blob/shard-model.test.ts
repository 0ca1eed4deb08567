import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { DiskOperation, PowerCutMode } from '../../src/sim/sim-disk.js'
import { DIR, ShardHost } from './shard-fixture.js'
import { type Call, Workload } from './shard-workload.js'

type End = 'close' | 'kill' | PowerCutMode

type Step =
  | { readonly do: 'call'; readonly call: Call }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'settle' }
  | { readonly do: 'fail'; readonly operation: DiskOperation; readonly code: string }
  | { readonly do: 'restart'; readonly end: End }

const sizes = fc.array(fc.constantFrom(1, 100, 800, 2_000, 7_000, 20_000), {
  minLength: 1,
  maxLength: 4,
})
const call: fc.Arbitrary<Call> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant('append'), first: fc.nat(60), sizes }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('forget'),
      every: fc.integer({ min: 1, max: 5 }),
      rest: fc.nat(4),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('quarantine'), pick: fc.nat(99) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('reclaim'), bytes: fc.nat(40_000) }) },
)
const end = fc.constantFrom<End>('close', 'kill', 'none', 'prefix', 'torn', 'arbitrary')
const operation = fc.constantFrom<DiskOperation>(
  'write',
  'sync',
  'open',
  'truncate',
  'syncDir',
  'read',
)
const calls = { weight: 8, arbitrary: fc.record({ do: fc.constant('call'), call }) }
const others = [
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait'), ms: fc.nat(2) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('settle') }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('restart'), end }) },
] as const
const failures = {
  weight: 2,
  arbitrary: fc.record({
    do: fc.constant('fail'),
    operation,
    code: fc.constantFrom('EIO', 'ENOSPC'),
  }),
}
const step: fc.Arbitrary<Step> = fc.oneof(calls, ...others)
const stepOrFailure: fc.Arbitrary<Step> = fc.oneof(calls, ...others, failures)

/** One store of shards over several lives, each begun where the last one ended. */
class Lives {
  readonly #host: ShardHost
  readonly #mayFail: boolean
  #workload: Workload
  #calls: Promise<void>[] = []

  constructor(host: ShardHost, mayFail: boolean) {
    this.#host = host
    this.#mayFail = mayFail
    this.#workload = new Workload(host.store, undefined, mayFail)
  }

  async take(next: Step): Promise<void> {
    switch (next.do) {
      case 'call':
        this.#calls.push(this.#workload.start(next.call))
        break
      case 'wait':
        await this.#host.world.advance(next.ms)
        break
      case 'settle':
        await this.#settle()
        break
      case 'fail':
        // A file that cannot be opened for reading has lost what is in it, which is another test.
        this.#host.disk.failNext(
          next.operation,
          next.operation === 'open' ? 'ENOSPC' : next.code,
          DIR,
        )
        break
      case 'restart':
        await this.#restart(next.end)
        break
    }
  }

  async end(): Promise<void> {
    await this.#settle()
    const contents = await this.#host.contents()
    assert.deepEqual(new Set(contents.keys()), this.#workload.expectation.must)
    const { shards, deadBytes } = this.#host.store.status()
    assert.equal(shards, contents.size)
    assert.ok(deadBytes >= 0)
  }

  async #settle(): Promise<void> {
    await this.#host.run(Promise.all(this.#calls))
    this.#calls = []
    this.#host.disk.forgetFailures()
  }

  async #restart(how: End): Promise<void> {
    if (how === 'close') {
      await this.#settle()
      await this.#host.run(this.#host.store.close())
    } else if (how === 'kill') this.#host.disk.kill()
    else this.#host.disk.powerCut(how)
    this.#host.disk.forgetFailures()
    await this.#host.open()
    assert.deepEqual(this.#host.store.recovered.damage, [])
    this.#workload = new Workload(this.#host.store, this.#workload, this.#mayFail)
    this.#workload.found(await this.#host.contents())
    this.#calls = []
  }
}

async function live(seed: number, steps: readonly Step[], mayFail: boolean): Promise<void> {
  const host = new ShardHost(seed, {})
  await host.open()
  const lives = new Lives(host, mayFail)
  for (const each of steps) await lives.take(each)
  await lives.end()
}

test('shards behave as a map that loses nothing acknowledged, over any number of lives', async () => {
  const property = fc.asyncProperty(
    fc.nat(),
    fc.array(step, { maxLength: 40 }),
    async (seed, steps) => live(seed, steps, false),
  )
  await fc.assert(property, { numRuns: 150 })
})

test('… also when writes and syncs fail now and then', async () => {
  const property = fc.asyncProperty(
    fc.nat(),
    fc.array(stepOrFailure, { maxLength: 40 }),
    async (seed, steps) => live(seed, steps, true),
  )
  await fc.assert(property, { numRuns: 150 })
})
