/** Does the memory of members stay what it is while a value is stored that is larger than all of it? */
import type { MemberChild } from '../src/cli/processes/member-child.js'
import { pause } from '../src/cli/processes/process-cluster.js'
import type { BenchContext } from './bench-run.js'
import { LargeCluster } from './large-cluster.js'
import type { LargeOperations, StreamedResult } from './large-operations.js'
import type { Point } from './latencies.js'
import { median } from './measure.js'
import { figure, type Row } from './results.js'

const SAMPLE_EVERY_MS = 50
const IDLE_SAMPLES = 20
const KEY = 'a large value'

/** Resident memory of every member over time. */
class Samples {
  readonly #members: ReadonlyMap<string, MemberChild<LargeOperations>>
  readonly #points = new Map<string, Point[]>()
  readonly #begun = performance.now()
  #running: Promise<void> | undefined
  #isOver = false

  constructor(members: ReadonlyMap<string, MemberChild<LargeOperations>>) {
    this.#members = members
    for (const name of members.keys()) this.#points.set(name, [])
  }

  /** Takes one of every member. */
  async take(): Promise<void> {
    for (const [name, child] of this.#members) {
      const { rss } = await child.call('memory', undefined)
      this.#points.get(name)!.push([(performance.now() - this.#begun) / 1000, rss])
    }
  }

  begin(): void {
    this.#running = this.#takeAll()
  }

  /** What was seen of each member. */
  async end(): Promise<ReadonlyMap<string, readonly Point[]>> {
    this.#isOver = true
    await this.#running
    return this.#points
  }

  async #takeAll(): Promise<void> {
    while (!this.#isOver) {
      await this.take()
      await pause(SAMPLE_EVERY_MS)
    }
  }
}

/** Stores a stream of `bytes` at the leader and reads it back at a follower; one row per member and way. */
export async function measureStream(
  context: BenchContext,
  members: number,
  bytes: number,
): Promise<readonly Row[]> {
  const cluster = await LargeCluster.start(context, `stream-${members}`, members, 'coded')
  const leader = await cluster.leader()
  const follower = cluster.living.find(({ id }) => id !== leader.id) ?? leader
  const children = new Map(cluster.living.map(({ id, child }) => [id, child]))
  const idle = await idleOf(children)
  const roleOf = (id: string) => (id === leader.id ? 'leader' : 'follower')
  const watched = async (way: string, run: () => Promise<StreamedResult>) => {
    const samples = new Samples(children)
    samples.begin()
    const result = await run()
    const points = await samples.end()
    context.progress(`${way}: ${(result.bytes / result.seconds / 1e6).toFixed(0)} MB/s`)
    const rows = [...points].map(([id, curve]): Row => {
      const most = Math.max(...curve.map(([, rss]) => rss))
      return {
        labels: { way, members, member: id, role: roleOf(id) },
        figures: {
          'MB per s': figure('count', [bytes / result.seconds / 1e6]),
          idle: figure('bytes', [idle.get(id)!]),
          most: figure('bytes', [most]),
          'above idle': figure('bytes', [most - idle.get(id)!]),
        },
        curves: { memory: curve },
      }
    })
    return { result, rows }
  }
  const put = await watched('put', () => leader.child.call('putStream', { key: KEY, bytes }))
  const read = await watched('read at a follower', () =>
    follower.child.call('readStream', { key: KEY }),
  )
  if (put.result.hash !== read.result.hash) throw new Error('what was read is not what was stored')
  await cluster.kill()
  return [...put.rows, ...read.rows]
}

async function idleOf(
  children: ReadonlyMap<string, MemberChild<LargeOperations>>,
): Promise<ReadonlyMap<string, number>> {
  const samples = new Samples(children)
  for (let i = 0; i < IDLE_SAMPLES; i++) {
    await samples.take()
    await pause(SAMPLE_EVERY_MS)
  }
  const points = await samples.end()
  return new Map([...points].map(([name, all]) => [name, median(all.map(([, rss]) => rss))]))
}
