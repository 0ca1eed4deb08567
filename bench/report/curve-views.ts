/** Pictures of benchmarks whose results are curves: levels, staleness, failover. */
import type { Point } from '../latencies.js'
import type { Row } from '../results.js'
import { asText } from './as-text.js'
import { type Axis, shortNumber } from './axis.js'
import { type Band, drawLegend, drawLines, type Line, type LineChart } from './chart.js'
import { grid, groupsOf, MS, medianOf, nameOf, namesOf, PER_SECOND, PERCENTILE } from './rows.js'

const DONE: Axis = { label: 'operations done per s', spread: 'log' }

/** For each distance: throughput against latency, and the slowest operations by percentile. */
export function drawLevels(rows: readonly Row[]): string {
  const levels = namesOf(rows, ['level'])
  return groupsOf(rows, ['rtt ms'])
    .map(([rtt, near]) => {
      const panels = groupsOf(near, ['operation', 'role']).map(([name, some]) => ({ name, some }))
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

/** Consistency over time, and ages by percentile. */
export function drawStaleness(rows: readonly Row[]): string {
  const kinds: readonly (readonly [curve: string, title: string, x: Axis, y: Axis])[] = [
    [
      'consistent',
      'Share of reads that saw the write',
      { label: 'ms after the acknowledgement', spread: 'linear' },
      { label: 'share', spread: 'linear' },
    ],
    ['age ms', 'Age in time', PERCENTILE, MS],
    ['age entries', 'Age in entries', PERCENTILE, { label: 'entries', spread: 'linear' }],
  ]
  return drawCurves(rows, kinds)
}

/** For each kind of fault: what was acknowledged over time, and the gaps. */
export function drawFailover(rows: readonly Row[]): string {
  const timelines = groupsOf(rows, ['fault']).map(([fault, some]) => {
    const lines = some.map((row, colour) =>
      curveOf(row, nameOf(row, ['fault']), colour, 'timeline'),
    )
    const bands: Band[] = some.slice(0, 1).flatMap((row) => {
      const lasting = row.figures.fault?.median
      return lasting === undefined ? [] : [{ from: 0, to: lasting, label: 'fault' }]
    })
    const x: Axis = { label: 'ms since the fault', spread: 'linear' }
    return { title: `${fault}: acknowledged over time`, x, y: PER_SECOND, lines, bands }
  })
  const gaps = groupsOf(rows, ['fault']).map(([fault, some]) => {
    const lines = some.map((row, colour) => curveOf(row, nameOf(row, ['fault']), colour, 'gaps'))
    return { title: `${fault}: gaps`, x: PERCENTILE, y: MS, lines, bands: [] }
  })
  const drawn = [...timelines, ...gaps].filter(({ lines }) => lines.some(hasPoints))
  return drawLegend(drawn.flatMap(({ lines }) => lines)) + grid(drawn.map(drawLines))
}

/** One chart for each kind of curve that there is, with a line for each row. */
function drawCurves(
  rows: readonly Row[],
  kinds: readonly (readonly [curve: string, title: string, x: Axis, y: Axis])[],
): string {
  const charts = kinds
    .map(([curve, title, x, y]) => {
      const lines = rows.map((row, colour) => curveOf(row, nameOf(row, []), colour, curve))
      return { title, x, y, lines, bands: [] }
    })
    .filter(({ lines }) => lines.some(hasPoints))
  const named = charts.flatMap(({ lines }) => lines.filter(hasPoints))
  return drawLegend(named) + grid(charts.map(drawLines))
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

function curveOf(row: Row, name: string, colour: number, curve: string): Line {
  return { name, colour, style: 'curve', points: row.curves?.[curve] ?? [] }
}
