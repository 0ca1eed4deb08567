/** Pictures of benchmarks whose results are curves: levels, staleness, failover. */
import type { Point } from '../latencies.js'
import type { Row } from '../results.js'
import { asText } from './as-text.js'
import { type Axis, shortNumber } from './axis.js'
import { drawLegend, drawLines, type Line, type LineChart } from './chart.js'
import { grid, groupsOf, MS, medianOf, namesOf, PER_SECOND, PERCENTILE } from './rows.js'

const DONE: Axis = { label: 'operations done per s', spread: 'log' }
const SINCE: Axis = { label: 'ms since the fault began', spread: 'linear' }
const GAP: Axis = { label: 'ms without an answer', spread: 'log from 0' }
const SHARE: Axis = { label: 'share of the events', spread: 'linear' }

/** For each distance: throughput against latency, and the slowest operations by percentile. */
export function drawLevels(rows: readonly Row[]): string {
  const levels = namesOf(rows, ['level'])
  const baseline = rows.filter(isBaseline)
  return groupsOf(
    rows.filter((row) => !isBaseline(row)),
    ['rtt ms'],
  )
    .map(([rtt, near]) => {
      const operations = groupsOf(near, ['operation']).flatMap(([, some]) => some)
      const panels = groupsOf(operations, ['operation', 'role']).map(([name, members]) => {
        const { operation } = members[0]!.labels
        const beside = baseline.filter(({ labels }) => labels.operation === operation)
        return { name, some: [...members, ...beside] }
      })
      const curves = panels.map(({ name, some }) => ({
        title: `${name}: throughput and latency`,
        x: DONE,
        y: MS,
        lines: groupsOf(some, ['level']).flatMap(([level, points]) => [
          { ...lineOf(level, levels, points, 'p50'), style: 'dots' as const },
          { ...lineOf(level, levels, points, 'p99'), style: 'dashed' as const },
        ]),
        bands: [],
      }))
      const tails = panels.map(({ name, some }) => tailsOf(name, levels, some))
      const legend = drawLegend(curves.flatMap(({ lines }) => lines).filter(isDotted))
      const charts = grid([...curves, ...tails].map(drawLines))
      return `<h3>A round trip of ${asText(rtt)} ms added</h3>${legend}${charts}`
    })
    .join('')
}

/** classic-level alone, which knows no distance: it stands in every chart. */
function isBaseline({ labels }: Row): boolean {
  return labels.role === 'alone'
}

function tailsOf(name: string, levels: readonly string[], rows: readonly Row[]): LineChart {
  const rate = commonRate(rows)
  const lines = groupsOf(rows, ['level']).map(([level, points]) => {
    const colour = levels.indexOf(level)
    const row = points.find(({ labels }) => labels.offered === rate)
    return { name: level, colour, style: 'curve' as const, points: row?.curves?.latency ?? [] }
  })
  const title = `${name}: by percentile, ${shortNumber(rate)} per s`
  return { title, x: PERCENTILE, y: MS, lines, bands: [] }
}

function isDotted({ style }: Line): boolean {
  return style === 'dots'
}

/** The highest rate that every level has a point for. */
function commonRate(rows: readonly Row[]): number {
  const perLevel = groupsOf(rows, ['level']).map(([, some]) =>
    Math.max(...some.map(({ labels }) => Number(labels.offered))),
  )
  return Math.min(...perLevel)
}

/** For each reader: the share of reads that saw a write by the time since, and how old reads were. */
export function drawStaleness(rows: readonly Row[]): string {
  const conditions = namesOf(rows, ['condition'])
  const charts = KINDS_OF_AGE.flatMap(({ curve, title, x, y }) =>
    groupsOf(rows, ['reader']).map(([reader, some]) => ({
      title: `${title}, read by a ${reader}`,
      x,
      y,
      lines: some.map((row) => curveOf(row, 'condition', conditions, curve)),
      bands: [],
    })),
  )
  return drawAll(charts)
}

const KINDS_OF_AGE: readonly {
  readonly curve: string
  readonly title: string
  readonly x: Axis
  readonly y: Axis
}[] = [
  {
    curve: 'consistent',
    title: 'Reads that see a write',
    x: { label: 'ms since it was acknowledged', spread: 'log from 0' },
    y: { label: 'share of reads', spread: 'linear' },
  },
  {
    curve: 'age ms',
    title: 'Age of reads',
    x: PERCENTILE,
    y: { label: 'ms', spread: 'log from 0' },
  },
  {
    curve: 'age entries',
    title: 'Entries behind',
    x: PERCENTILE,
    y: { label: 'entries', spread: 'log from 0' },
  },
]

/** For each kind of fault and who sees it: what was answered over time, and how long the gaps were. */
export function drawFailover(rows: readonly Row[]): string {
  const events = rows.filter(({ curves }) => curves?.timeline !== undefined)
  const operations = namesOf(events, ['operation'])
  return groupsOf(events, ['fault'])
    .map(([fault, some]) => {
      const charts = groupsOf(some, ['seen by']).flatMap(([witness, each]) =>
        outageOf(witness, each, operations),
      )
      return `<h3>${asText(fault)}</h3>${drawAll(charts)}`
    })
    .join('')
}

function outageOf(
  witness: string,
  rows: readonly Row[],
  operations: readonly string[],
): readonly LineChart[] {
  const lines = (curve: string): Line[] =>
    rows.map((row) => curveOf(row, 'operation', operations, curve))
  const lasting = medianOf(rows[0], 'fault')
  const bands = Number.isNaN(lasting) ? [] : [{ from: 0, to: lasting, label: 'fault' }]
  const gaps = lines('gaps').map((line) => ({
    ...line,
    points: line.points.map(([share, gap]): Point => [gap, share]),
  }))
  const title = `Seen by a ${witness}`
  return [
    { title: `${title}: answers`, x: SINCE, y: PER_SECOND, lines: lines('timeline'), bands },
    { title: `${title}: gaps`, x: GAP, y: SHARE, lines: gaps, bands: [] },
  ]
}

/** What the member held over time, with a line for each condition. */
export function drawMemory(rows: readonly Row[]): string {
  const conditions = namesOf(rows, ['condition'])
  const lines = rows.map((row) => curveOf(row, 'condition', conditions, 'memory'))
  const x: Axis = { label: 's of load', spread: 'linear' }
  const y: Axis = { label: 'bytes', spread: 'linear' }
  return drawAll([{ title: 'Memory of the leader', x, y, lines, bands: [] }])
}

/** Charts with one legend; those without a point are left out. */
function drawAll(charts: readonly LineChart[]): string {
  const drawn = charts.filter(({ lines }) => lines.some(hasPoints))
  return drawLegend(drawn.flatMap(({ lines }) => lines)) + grid(drawn.map(drawLines))
}

function hasPoints({ points }: Line): boolean {
  return points.length > 0
}

function lineOf(
  level: string,
  levels: readonly string[],
  rows: readonly Row[],
  figure: string,
): Omit<Line, 'style'> {
  const points = rows.map((row): Point => [medianOf(row, 'done'), medianOf(row, figure)])
  return { name: level, colour: levels.indexOf(level), points }
}

/** One of a row's curves; its name is a label, and its colour where that stands among all. */
function curveOf(row: Row, label: string, names: readonly string[], curve: string): Line {
  const name = String(row.labels[label])
  return { name, colour: names.indexOf(name), style: 'curve', points: row.curves?.[curve] ?? [] }
}
