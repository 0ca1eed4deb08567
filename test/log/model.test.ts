import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { PowerCutMode } from '../../src/sim/sim-disk.js'
import { LogHost } from './log-fixture.js'
import { describeLog, EMPTY_LOG, isLog, type LogModel } from './log-model.js'
import { type Call, Workload } from './log-workload.js'

type End = 'close' | 'kill' | PowerCutMode

type Step =
  | { readonly do: 'call'; readonly call: Call }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'settle' }
  | {
      readonly do: 'read'
      readonly skip: number
      readonly count: number
      readonly maxBytes: number
    }
  | { readonly do: 'restart'; readonly end: End }

const sizes = fc.array(fc.constantFrom(0, 7, 100, 800, 2_000, 20_000), {
  minLength: 1,
  maxLength: 4,
})
const call: fc.Arbitrary<Call> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('append'), sizes, commits: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('overwrite'), sizes, back: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('vote'), vote: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('commit') }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('compact'), count: fc.nat(8) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('snapshot'), ahead: fc.nat(3) }) },
)
const end = fc.constantFrom<End>('close', 'kill', 'none', 'prefix', 'torn', 'arbitrary')
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('call'), call }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait'), ms: fc.nat(2) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('settle') }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('read'),
      skip: fc.nat(9),
      count: fc.nat(9),
      maxBytes: fc.nat(5_000),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('restart'), end }) },
)

/** One log over several lives, each begun where the last one ended. */
class Lives {
  readonly #host: LogHost
  #workload: Workload
  #calls: Promise<void>[] = []

  constructor(host: LogHost) {
    this.#host = host
    this.#workload = new Workload(host.log, EMPTY_LOG)
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
      case 'read':
        await this.#settle()
        await this.#read(next.skip, next.count, next.maxBytes)
        break
      case 'restart':
        await this.#restart(next.end)
        break
    }
  }

  async #settle(): Promise<void> {
    await this.#host.run(Promise.all(this.#calls))
    this.#calls = []
  }

  async #read(skip: number, count: number, maxBytes: number): Promise<void> {
    const { previous, entries } = this.#workload.state
    const from = previous.index + 1 + skip
    const read = await this.#host.run(this.#host.log.read(from, from + count, maxBytes))
    assert.deepEqual(read, entries.slice(skip, skip + read.length))
    assert.ok(read.length <= count + 1)
    assert.ok(read.length > 0 || skip >= entries.length)
  }

  async #restart(how: End): Promise<void> {
    const { states, acknowledged } = this.#workload
    if (how === 'close') await this.#host.run(this.#host.log.close())
    else if (how === 'kill') this.#host.disk.kill()
    else this.#host.disk.powerCut(how)
    const { hardState, previous, tail } = (await this.#host.open()).recovered
    const found: LogModel = { hardState, previous, entries: tail }
    const possible = how === 'close' ? states.slice(-1) : states.slice(acknowledged)
    const isKnown = possible.some((state) => isLog(found, state))
    assert.ok(isKnown, `${describeLog(found)}\nis none of\n${possible.map(describeLog).join('\n')}`)
    this.#workload = new Workload(this.#host.log, found)
    this.#calls = []
  }
}

test('a log behaves as an array that loses nothing acknowledged, over any number of lives', async () => {
  const steps = fc.array(step, { maxLength: 40 })
  const property = fc.asyncProperty(fc.nat(), steps, async (seed, list) => {
    const host = new LogHost(seed, { segmentBytes: 8_192, maxWriteBytes: 4_000 })
    await host.open()
    const lives = new Lives(host)
    for (const next of list) await lives.take(next)
    await lives.take({ do: 'restart', end: 'close' })
  })
  await fc.assert(property, { numRuns: 300 })
})
