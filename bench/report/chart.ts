/**
 * Lines over one another, as SVG.
 *
 * Colours come from the page by class (`s0` to `s7`), so that they follow light and dark; every line also has a mark or
 * a dash of its own, and every point says its values when it is pointed at.
 */
import type { Point } from '../latencies.js'
import { asText } from './as-text.js'
import { type Axis, hasPlace, type Scale, scaleFor, shortNumber } from './axis.js'
import {
  BOTTOM,
  COLOURS,
  drawYAxis,
  figureOf,
  HEIGHT,
  LEFT,
  LETTER,
  n,
  PLOT_HEIGHT,
  PLOT_WIDTH,
  TOP,
  WIDTH,
  xOf,
  yOf,
} from './frame.js'

/** A line. */
export interface Line {
  readonly name: string
  /** Which of the page's colours. */
  readonly colour: number
  readonly points: readonly Point[]
  /** Dots that were measured one by one; a curve of many points; the same dashed, beside another of its colour. */
  readonly style: 'dots' | 'curve' | 'dashed'
}

/** A stretch of the x axis that is marked: a fault, while it lasted. */
export interface Band {
  readonly from: number
  readonly to: number
  readonly label: string
}

/** Lines over one another. */
export interface LineChart {
  readonly title: string
  readonly x: Axis
  readonly y: Axis
  readonly lines: readonly Line[]
  readonly bands: readonly Band[]
}

/** Lines as a figure with its title. */
export function drawLines(chart: LineChart): string {
  const lines = chart.lines.map((line) => ({ ...line, points: placed(line.points, chart) }))
  const all = lines.flatMap(({ points }) => points)
  const x = scaleFor(chart.x.spread, [
    ...all.map(([at]) => at),
    ...chart.bands.flatMap(({ from, to }) => [from, to]),
  ])
  const y = scaleFor(
    chart.y.spread,
    all.map(([, value]) => value),
  )
  const content = [
    ...chart.bands.map((band) => drawBand(band, x)),
    drawYAxis(y, chart.y),
    drawXAxis(x, chart.x),
    ...lines.map((line) => drawLine(line, x, y, chart)),
  ]
  return figureOf(chart.title, content, HEIGHT)
}

/** What the colours mean, for the charts that follow; a name stands once. */
export function drawLegend(lines: readonly Pick<Line, 'name' | 'colour' | 'style'>[]): string {
  const seen = new Map(lines.map((line) => [line.name, line]))
  const items = [...seen.values()].map(({ name, colour, style }) => {
    const dash = style === 'dashed' ? ' dashed' : ''
    const mark = style === 'dots' ? drawMark(colour, 12, 6) : ''
    return (
      `<li><svg class="key" viewBox="0 0 24 12" aria-hidden="true"><path class="line${dash} s${colour % COLOURS}" ` +
      `d="M0 6H24"/>${mark}</svg>${asText(name)}</li>`
    )
  })
  return `<ul class="legend">${items.join('')}</ul>`
}

function placed(points: readonly Point[], { x, y }: LineChart): readonly Point[] {
  return points.filter(([at, value]) => hasPlace(x.spread, at) && hasPlace(y.spread, value))
}

function drawBand({ from, to, label }: Band, x: Scale): string {
  const left = xOf(x, from)
  const width = Math.max(1, xOf(x, to) - left)
  return (
    `<rect class="band" x="${n(left)}" y="${TOP}" width="${n(width)}" height="${PLOT_HEIGHT}"/>` +
    `<text class="tick" x="${n(left + 4)}" y="${TOP + 12}">${asText(label)}</text>`
  )
}

function drawXAxis(x: Scale, { label }: Axis): string {
  let free = Number.NEGATIVE_INFINITY
  const ticks = x.ticks.map(({ value, text }) => {
    const at = xOf(x, value)
    const half = (text.length * LETTER) / 2
    const grid = `<path class="rule" d="M${n(at)} ${TOP}V${HEIGHT - BOTTOM}"/>`
    if (at - half < free) return grid
    free = at + half + LETTER
    const [middle, anchor] = at + half > WIDTH ? [WIDTH - 2, 'end'] : [at, 'middle']
    return (
      `${grid}<text class="tick" x="${n(middle)}" y="${HEIGHT - BOTTOM + 18}" ` +
      `text-anchor="${anchor}">${asText(text)}</text>`
    )
  })
  const middle = LEFT + PLOT_WIDTH / 2
  return (
    `${ticks.join('')}<text class="label" x="${n(middle)}" y="${HEIGHT - 6}" text-anchor="middle">` +
    `${asText(label)}</text>`
  )
}

function drawLine(line: Line, x: Scale, y: Scale, chart: LineChart): string {
  const { points, style, name } = line
  if (points.length === 0) return ''
  const colour = line.colour % COLOURS
  const path = points.map(([at, value]) => `${n(xOf(x, at))} ${n(yOf(y, value))}`).join('L')
  const dash = style === 'dashed' ? ' dashed' : ''
  const drawn = `<path class="line${dash} s${colour}" d="M${path}"><title>${asText(name)}</title></path>`
  if (style !== 'dots') return drawn
  const marks = points.map(([at, value]) => {
    const values = `${name}: ${chart.x.label} ${shortNumber(at)}, ${chart.y.label} ${shortNumber(value)}`
    return `<g>${drawMark(colour, xOf(x, at), yOf(y, value))}<title>${asText(values)}</title></g>`
  })
  return drawn + marks.join('')
}

/** Each colour has a shape of its own, for who does not tell the colours apart. */
function drawMark(colour: number, x: number, y: number): string {
  const style = `class="mark s${colour % COLOURS}"`
  switch (colour % 4) {
    case 0:
      return `<circle ${style} cx="${n(x)}" cy="${n(y)}" r="4"/>`
    case 1:
      return `<rect ${style} x="${n(x - 3.5)}" y="${n(y - 3.5)}" width="7" height="7"/>`
    case 2:
      return `<path ${style} d="M${n(x)} ${n(y - 4.5)}L${n(x + 4.5)} ${n(y + 3.5)}H${n(x - 4.5)}Z"/>`
    default:
      return `<path ${style} d="M${n(x)} ${n(y - 5)}L${n(x + 5)} ${n(y)}L${n(x)} ${n(y + 5)}L${n(x - 5)} ${n(y)}Z"/>`
  }
}
