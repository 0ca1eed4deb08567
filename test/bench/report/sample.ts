/** Results like those of real runs, made of formulas: what the report's tests, and people who look at it, are shown. */
import type { LatencySummary, Point } from '../../../bench/latencies.js'
import { figure, type Results, type Row, SCHEMA } from '../../../bench/results.js'

const MACHINE: Results['machine'] = {
  command: 'npm run bench -- sample',
  cpu: 'Some CPU',
  cores: 2,
  memoryGiB: 24,
  system: 'Linux 6.18',
  node: 'v20.20.2',
  quorate: '0.1.0',
  classicLevel: '3.0.0',
}

/** Results of `benchmark` with these rows. */
export function resultsOf(benchmark: string, rows: readonly Row[]): Results {
  return {
    schema: SCHEMA,
    benchmark,
    machine: MACHINE,
    finishedAt: '2026-11-21T11:00:00.000Z',
    plan: { runs: 3, members: [1, 3] },
    rows,
    notes: ['one run was left out'],
  }
}

/** A curve of latencies with this median. */
export function curveOf(p50: number): LatencySummary['curve'] {
  const quantiles = Array.from({ length: 60 }, (_, i) => 1 - 10 ** (-i / 20))
  return quantiles.map((q): Point => [q, p50 * (1 - 0.45 * Math.log2(1 - q + 1e-4)) * 0.7])
}

function three(value: number): readonly number[] {
  return [value, value * 0.9, value * 1.2]
}

function levels(): Row[] {
  const delays = { strong: 1, session: 0.15, 'eventual, 100 ms': 0.12, eventual: 0.1 }
  return [0, 50].flatMap((rtt) =>
    ['leader', 'follower', 'client'].flatMap((role) =>
      Object.entries(delays).flatMap(([level, cost]) =>
        [200, 1000, 3000, 6000].map((offered): Row => {
          const trips = level === 'strong' || role === 'client' ? rtt : 0
          const p50 = cost * (1 + (offered / 5000) ** 3) + trips
          return {
            labels: { operation: 'get', level, role, 'rtt ms': rtt, offered },
            figures: {
              done: figure('per s', three(offered * 0.98)),
              p50: figure('ms', three(p50)),
              p99: figure('ms', three(p50 * 4 + 1)),
              errors: figure('count', [0, 0, 0]),
            },
            curves: { latency: curveOf(p50) },
          }
        }),
      ),
    ),
  )
}

function closed(perSecond: number): Row['figures'] {
  return {
    'per s': figure('per s', three(perSecond)),
    p50: figure('ms', three(64_000 / perSecond)),
    p99: figure('ms', three(200_000 / perSecond)),
  }
}

function compare(): Row[] {
  const systems = { 'etcd × 3': 2500, redis: 68_000, 'quorate × 3, leader': 50_000 }
  const loops = Object.entries(systems).flatMap(([system, perSecond]): Row[] => [
    { labels: { system, operation: 'put', 'in flight': 256 }, figures: closed(perSecond) },
    { labels: { system, operation: 'get, strong', 'in flight': 64 }, figures: closed(perSecond) },
  ])
  const aim: Row = {
    labels: {
      aim: 'put × 256',
      compared: 'etcd put × 256',
      'must be': 'at least 15',
      holds: 'yes',
    },
    figures: { ratio: figure('x', three(20)), aim: figure('x', [15]) },
  }
  return [...loops, aim]
}

function ycsb(): Row[] {
  return [...'ABCDEF'].flatMap((workload, i) => {
    const at = { 'value bytes': 1024, workload }
    const baseline = { ...at, members: '—', level: 'classic-level', ack: '—' }
    const stores = ['strong', 'session', 'eventual'].map((level, j) => ({
      labels: { ...at, members: 3, level, ack: workload === 'C' ? '—' : 'quorum' },
      figures: closed(4000 * (j + 1) + 500 * i),
    }))
    return [{ labels: baseline, figures: closed(20_000 - 1000 * i) }, ...stores]
  })
}

function writes(): Row[] {
  return ['classic-level', 'quorum', 'all'].flatMap((ack, i) =>
    [1, 16].flatMap((puts) =>
      [1, 16, 64, 256].map((inFlight) => ({
        labels: { ack, 'puts per call': puts, 'in flight': inFlight },
        figures: closed(900 * (i + 1) * puts ** 0.7 * inFlight ** 0.6),
      })),
    ),
  )
}

function scale(): Row[] {
  return [1, 3, 5, 7].map((to) => ({
    labels: { grows: 'members', to, members: to },
    figures: {
      put: figure('per s', three(60_000 / to)),
      'get strong': figure('per s', three(90_000 / to)),
      'get eventual': figure('per s', three(95_000)),
      memory: figure('bytes', [95_000_000]),
    },
  }))
}

function cost(): Row[] {
  return ['leader', 'follower', 'client'].map((caller) => ({
    labels: { members: '3', caller, operation: 'get, strong' },
    figures: {
      'round trips': figure('count', [1]),
      messages: figure('count', [4]),
      fsyncs: figure('count', [0]),
      bytes: figure('bytes', [412]),
    },
  }))
}

function staleness(): Row[] {
  return ['at rest', 'under load', 'kill -9 of the leader'].flatMap((condition, i) =>
    ['member', 'client'].map((reader) => {
      const tail = curveOf(2 + 10 * i).map(([q, ms]): Point => [q, q < 0.7 ? 0 : ms])
      const later = [0, 1, 2, 5, 10, 20, 50]
      return {
        labels: { condition, reader },
        figures: { 'age p99': figure('ms', three(2 + 10 * i)) },
        curves: {
          consistent: later.map((ms): Point => [ms, 1 - 0.4 * Math.exp(-ms / (1 + i * 4))]),
          'age ms': tail,
          'age entries': tail.map(([q, ms]): Point => [q, Math.ceil(ms)]),
        },
      }
    }),
  )
}

function failover(): Row[] {
  return ['kill -9', 'partition'].flatMap((fault, i) =>
    ['member', 'client'].flatMap((witness) =>
      ['put', 'strong', 'session', 'eventual'].map((operation) => {
        const gap = operation === 'put' || operation === 'strong' ? 200 + 900 * i : 10
        const times = Array.from({ length: 60 }, (_, at) => at * 50 - 500)
        const isDown = (at: number): boolean => at >= 0 && at < gap
        return {
          labels: { fault, operation, 'seen by': witness },
          figures: { p50: figure('ms', three(gap)), fault: figure('ms', three(gap + 400)) },
          curves: {
            timeline: times.map((at): Point => [at, isDown(at) ? 0 : 100]),
            gaps: Array.from({ length: 30 }, (_, at): Point => [(at + 1) / 30, gap + 12 * at]),
          },
        }
      }),
    ),
  )
}

function memory(): Row[] {
  return ['all members up', 'a follower is gone'].map((condition, i) => ({
    labels: { condition, flat: 'yes' },
    figures: { most: figure('bytes', [1.2e8]) },
    curves: {
      memory: Array.from({ length: 60 }, (_, at): Point => [at, (1 + i / 5 - 0.5 ** at) * 1e8]),
    },
  }))
}

function largeValues(): Row[] {
  const puts = [3, 5].flatMap((members) =>
    [64, 1024].flatMap((kib) =>
      ['coded', 'whole'].map((stored, i) => ({
        labels: { members, KiB: kib, stored },
        figures: {
          'MB per s': figure('count', three(60 / (i + 1))),
          'sent per byte': figure('count', [i + 1]),
          'on disk per byte': figure('count', [1.5 * (i + 1)]),
        },
      })),
    ),
  )
  const stream = { way: 'put', members: 3, member: 'a', role: 'leader' }
  return [...puts, { labels: stream, figures: { 'above idle': figure('bytes', [5e7]) } }]
}

/** One file of each benchmark that the page has pictures for. */
export function samples(): readonly Results[] {
  const curves = { cost, memory, failover, staleness, levels }
  const rows = { ...curves, writes, compare, ycsb, scale, 'large-values': largeValues }
  return Object.entries(rows).map(([benchmark, make]) => resultsOf(benchmark, make()))
}
