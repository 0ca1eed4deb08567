/** What quorate is to reach beside other systems, as ratios of what one run measured. */
import type { Measured } from './compare-cases.js'

/** One aim. Without `of` it is about the value itself, in milliseconds. */
export interface Aim {
  readonly name: string
  readonly comparedWith: string
  /** The id of the case that is judged, and of the one that it is divided by. */
  readonly measured: string
  readonly of: string | undefined
  readonly figure: 'perSecond' | 'p50Us' | 'value'
  readonly sense: 'at least' | 'at most'
  readonly bound: number
}

function faster(
  name: string,
  measured: string,
  comparedWith: string,
  of: string,
  bound: number,
): Aim {
  return { name, comparedWith, measured, of, figure: 'perSecond', sense: 'at least', bound }
}

function within(
  name: string,
  measured: string,
  comparedWith: string,
  of: string,
  bound: number,
): Aim {
  return { name, comparedWith, measured, of, figure: 'p50Us', sense: 'at most', bound }
}

function below(name: string, measured: string, bound: number): Aim {
  const comparedWith = 'milliseconds'
  return { name, comparedWith, measured, of: undefined, figure: 'value', sense: 'at most', bound }
}

/** All aims. */
export const AIMS: readonly Aim[] = [
  faster('put × 256 at the leader of 3', 'leader put 256', 'etcd put × 256', 'etcd put 256', 15),
  faster(
    'put × 256 at the leader of 3',
    'leader put 256',
    'classic-level, unsynced batches',
    'classic-level batch of 1,000 1',
    0.25,
  ),
  faster('put × 256 through connect', 'client put 256', 'etcd put × 256', 'etcd put 256', 8),
  faster(
    'durable put × 64, one member',
    'one put 64',
    'classic-level put, sync, × 64',
    'classic-level put 64',
    4,
  ),
  within('p50 of one put, one member', 'one put 1', 'one fdatasync', 'fdatasync', 2.5),
  within('p50 of one put, leader of 3', 'leader put 1', 'one fdatasync', 'fdatasync', 6),
  faster('strong get × 64, leader', 'leader strong 64', 'etcd get × 64', 'etcd get 64', 25),
  faster('strong get × 64, follower', 'follower strong 64', 'etcd get × 64', 'etcd get 64', 8),
  faster(
    'eventual get by view × 64',
    'follower eventual 64',
    'classic-level get × 64',
    'classic-level get 64',
    1.5,
  ),
  faster('full scan', 'one scan', 'classic-level in blocks', 'classic-level scan 1', 0.7),
  below('event loop delay p99, 256 puts in flight', 'loop delay', 10),
  below('first put into an empty folder', 'first put', 50),
]

/** The ratio of each run; undefined when one of the sides was not measured. */
export function judge(
  { measured, of, figure }: Aim,
  runs: ReadonlyMap<string, readonly Measured[]>,
): number[] | undefined {
  const [above, below] = [runs.get(measured), of === undefined ? undefined : runs.get(of)]
  if (above === undefined || (of !== undefined && below === undefined)) return undefined
  return above.map((run, i) => {
    const value = figureOf(run, figure)
    return below === undefined ? value : value / figureOf(below[i]!, figure)
  })
}

function figureOf(run: Measured, figure: Aim['figure']): number {
  if ('value' in run) return run.value
  return figure === 'value' ? Number.NaN : run[figure]
}
