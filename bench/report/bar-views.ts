/** Pictures of benchmarks that compare closed loops: compare, ycsb, writes, scale, large-values. */
import type { Row } from '../results.js'
import type { Axis } from './axis.js'
import { drawBars, drawRanking } from './bars.js'
import { drawLegend, drawLines, type Line } from './chart.js'
import { grid, groupsOf, MS, medianOf, namesOf, PER_SECOND } from './rows.js'

/** For puts and gets with so many in flight: everything that does them, below one another. */
export function drawCompare(rows: readonly Row[]): string {
  const loops = rows.filter(({ figures }) => figures['per s'] !== undefined)
  const systems = namesOf(loops, ['system'])
  const kinds = ['put', 'get'].flatMap((kind) =>
    groupsOf(loops.filter(isOf(kind)), ['in flight']).map(([inFlight, some]) => ({
      title: `${kind}, ${inFlight} in flight: per s`,
      bars: some.map((row) => ({
        name: shortName(row),
        colour: systems.indexOf(String(row.labels.system)),
        value: medianOf(row, 'per s'),
      })),
    })),
  )
  return grid(kinds.filter(({ bars }) => bars.length > 1).map(drawRanking))
}

function isOf(kind: string): (row: Row) => boolean {
  return ({ labels }) => new RegExp(`\\b${kind}$|\\b${kind},`).test(String(labels.operation))
}

/** The system, and what is special about the operation. */
function shortName({ labels }: Row): string {
  const special = String(labels.operation).replace(/,? ?\b(?:put|get)\b,? ?/, '')
  return [labels.system, special].filter((part) => part !== '').join(', ')
}

/** Of a label that a row has no value for. */
const NOT_SAID = '—'

/** For each size of cluster and value: the workloads, with a bar for each level. */
export function drawYcsb(rows: readonly Row[]): string {
  const baselines = rows.filter(({ labels }) => labels.level === 'classic-level')
  const stores = rows.filter(({ labels }) => labels.level !== 'classic-level')
  const ack = namesOf(stores, ['ack']).find((name) => name !== NOT_SAID)
  const shown = stores.filter(({ labels }) => labels.ack === ack || labels.ack === NOT_SAID)
  const levels = ['classic-level', ...namesOf(shown, ['level'])]
  const panels = groupsOf(shown, ['value bytes', 'members'])
  const charts = panels.map(([, some]) => {
    const { 'value bytes': valueBytes, members } = some[0]!.labels
    const beside = baselines.filter(({ labels }) => labels['value bytes'] === valueBytes)
    return drawBars({
      title: `${members} members, values of ${valueBytes} B${ack === undefined ? '' : `, ack ${ack}`}`,
      y: PER_SECOND,
      groups: groupsOf([...beside, ...some], ['workload']).map(([name, each]) => ({
        name,
        bars: levels.map((level, colour) => ({
          name: level,
          colour,
          value: medianOf(
            each.find(({ labels }) => labels.level === level),
            'per s',
          ),
        })),
      })),
    })
  })
  return drawLegend(levels.map((name, colour) => ({ name, colour, style: 'dots' }))) + grid(charts)
}

/** For each size of batch: rate and latency by calls in flight. */
export function drawWrites(rows: readonly Row[]): string {
  const x: Axis = { label: 'calls in flight', spread: 'log' }
  const charts = groupsOf(rows, ['puts per call']).flatMap(([puts, some]) => {
    const lines = (figure: string): Line[] =>
      groupsOf(some, ['ack']).map(([ack, points], colour) => ({
        name: ack,
        colour,
        style: 'dots',
        points: points.map((row) => [Number(row.labels['in flight']), medianOf(row, figure)]),
      }))
    const calls = puts === '1' ? 'put' : `batch of ${puts} puts`
    const rate: Axis = { label: 'puts per s', spread: 'log' }
    return [
      { title: `${calls}: puts per second`, x, y: rate, lines: lines('per s'), bands: [] },
      { title: `${calls}: latency in the median`, x, y: MS, lines: lines('p50'), bands: [] },
    ]
  })
  return drawLegend(charts.flatMap(({ lines }) => lines)) + grid(charts.map(drawLines))
}

/** For each number of members: throughput, and what is sent and stored, by the size of values. */
export function drawLargeValues(rows: readonly Row[]): string {
  const puts = rows.filter(({ labels }) => labels.stored !== undefined)
  const ways = namesOf(puts, ['stored'])
  const figures = [
    { figure: 'MB per s', title: 'put', label: 'MB per s' },
    { figure: 'sent per byte', title: 'sent by the leader', label: 'bytes per byte' },
    { figure: 'on disk per byte', title: 'on all disks', label: 'bytes per byte' },
  ]
  const charts = groupsOf(puts, ['members']).flatMap(([members, some]) =>
    figures.map(({ figure, title, label }) =>
      drawBars({
        title: `${title}, ${members} members`,
        y: { label, spread: 'linear' },
        groups: groupsOf(some, ['KiB']).map(([kib, each]) => ({
          name: `${Number(kib).toLocaleString('en-US')} KiB`,
          bars: ways.map((way, colour) => ({
            name: way,
            colour,
            value: medianOf(
              each.find(({ labels }) => labels.stored === way),
              figure,
            ),
          })),
        })),
      }),
    ),
  )
  return drawLegend(ways.map((name, colour) => ({ name, colour, style: 'dots' }))) + grid(charts)
}

/** For each thing that grows: rates where it stands. */
export function drawScale(rows: readonly Row[]): string {
  const figures = ['put', 'get strong', 'get eventual']
  const charts = groupsOf(rows, ['grows']).map(([grows, some]) =>
    drawBars({
      title: `by ${grows}`,
      y: PER_SECOND,
      groups: some.map((row) => ({
        name: Number(row.labels.to).toLocaleString('en-US'),
        bars: figures.map((name, colour) => ({ name, colour, value: medianOf(row, name) })),
      })),
    }),
  )
  return drawLegend(figures.map((name, colour) => ({ name, colour, style: 'dots' }))) + grid(charts)
}
