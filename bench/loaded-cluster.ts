/** A cluster whose members carry loads, and the closed loops of benchmarks on it and on classic-level beside it. */
import { join } from 'node:path'
import { type LivingSeat, ProcessCluster } from '../src/cli/processes/process-cluster.js'
import type { OpenOptions } from '../src/index.js'
import type { BenchContext } from './bench-run.js'
import type { LoadOperations } from './load-operations.js'
import type { Measurement } from './measure.js'
import { type Figure, figure } from './results.js'

/** Members in processes of their own. */
export type LoadedCluster = ProcessCluster<LoadOperations>

const MEMBERS: readonly string[] = ['a', 'b', 'c', 'd', 'e', 'f', 'g']
const LEADER_WITHIN_MS = 30_000
const MICROSECONDS_PER_MS = 1000

/** Starts `members` members in a folder `name` of their own, waits for a leader, and fills them. */
export async function startCluster(
  context: BenchContext,
  name: string,
  members: number,
  data: { readonly keyCount: number; readonly valueBytes: number },
  store: OpenOptions['storage'] = {},
): Promise<LoadedCluster> {
  const cluster: LoadedCluster = await ProcessCluster.create({
    script: join(import.meta.dirname, 'load-process.js'),
    root: join(context.root, name),
    memberIds: MEMBERS.slice(0, members),
    store: { valueEncoding: 'binary', storage: store },
  })
  context.onEnd(() => cluster.kill())
  await cluster.start()
  const leader = await leaderOf(cluster)
  await leader.child.call('fill', data)
  return cluster
}

/** The member that leads now. */
export function leaderOf(cluster: LoadedCluster): Promise<LivingSeat<LoadOperations>> {
  return cluster.leader(LEADER_WITHIN_MS)
}

/** What the runs of one closed loop came to, and how it compares with those of a baseline, run by run. */
export class ClosedRuns {
  readonly #runs: Measurement[] = []

  /** Measures once more. A measurement that fails is told, and counts as none: the others are of use without it. */
  async measure(
    context: BenchContext,
    what: string,
    load: () => Promise<Measurement>,
  ): Promise<void> {
    try {
      this.#runs.push(await load())
    } catch (error) {
      context.note(`${what}: failed: ${error instanceof Error ? error.message : String(error)}`)
      this.#runs.push({ perSecond: Number.NaN, p50Us: Number.NaN, p99Us: Number.NaN })
    }
  }

  /** Operations per second and latencies. */
  get figures(): Readonly<Record<'per s' | 'p50' | 'p99', Figure>> {
    const ms = (us: number): number => us / MICROSECONDS_PER_MS
    return {
      'per s': figure('per s', this.#perSecond),
      p50: figure(
        'ms',
        this.#runs.map(({ p50Us }) => ms(p50Us)),
      ),
      p99: figure(
        'ms',
        this.#runs.map(({ p99Us }) => ms(p99Us)),
      ),
    }
  }

  /** How many times as fast as `baseline`. */
  against(baseline: ClosedRuns): Figure {
    return figure(
      'x',
      this.#perSecond.map((perSecond, run) => perSecond / baseline.#perSecond[run]!),
    )
  }

  get #perSecond(): readonly number[] {
    return this.#runs.map(({ perSecond }) => perSecond)
  }
}
