/** Bars as SVG: groups of them beside one another, and rankings below one another. */
import { asText } from './as-text.js'
import { type Axis, hasPlace, scaleFor, shortNumber } from './axis.js'
import {
  BOTTOM,
  COLOURS,
  drawYAxis,
  figureOf,
  HEIGHT,
  LEFT,
  n,
  PLOT_WIDTH,
  WIDTH,
  yOf,
} from './frame.js'

/** One bar; NaN where nothing was measured. */
export interface Bar {
  readonly name: string
  /** Which of the page's colours. */
  readonly colour: number
  readonly value: number
}

/** Groups of bars beside one another. */
export interface BarChart {
  readonly title: string
  readonly y: Axis
  readonly groups: readonly { readonly name: string; readonly bars: readonly Bar[] }[]
}

/** Bars with long names, below one another. */
export interface Ranking {
  readonly title: string
  readonly bars: readonly Bar[]
}

const ROW = 25
const NAMES_WIDTH = 205
const VALUE_WIDTH = 46

/** Bars as a figure with its title. */
export function drawBars(chart: BarChart): string {
  const values = chart.groups
    .flatMap(({ bars }) => bars.map(({ value }) => value))
    .filter((value) => hasPlace(chart.y.spread, value))
  const y = scaleFor(chart.y.spread, values)
  const groupWidth = PLOT_WIDTH / Math.max(1, chart.groups.length)
  const content = chart.groups.flatMap(({ name, bars }, i) => {
    const from = LEFT + i * groupWidth
    const width = (groupWidth * 0.84) / Math.max(1, bars.length)
    const middle = from + groupWidth / 2
    return [
      `<text class="tick" x="${n(middle)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${asText(name)}</text>`,
      ...bars.map((bar, j) => {
        if (!hasPlace(chart.y.spread, bar.value)) return ''
        const top = yOf(y, bar.value)
        const left = from + groupWidth * 0.08 + j * width
        const height = HEIGHT - BOTTOM - top
        const saying = `${name}, ${bar.name}: ${shortNumber(bar.value)}`
        return (
          `<rect class="bar s${bar.colour % COLOURS}" x="${n(left)}" y="${n(top)}" width="${n(width * 0.92)}" ` +
          `height="${n(Math.max(0, height))}"><title>${asText(saying)}</title></rect>`
        )
      }),
    ]
  })
  return figureOf(chart.title, [drawYAxis(y, chart.y), ...content], HEIGHT)
}

/** The bars as a figure with its title, the longest first; their unit belongs into the title. */
export function drawRanking({ title, bars }: Ranking): string {
  const ranked = bars
    .filter(({ value }) => hasPlace('linear', value))
    .sort((one, other) => other.value - one.value)
  const most = ranked[0]?.value || 1
  const content = ranked.map(({ name, colour, value }, i) => {
    const [top, middle] = [i * ROW + 4, i * ROW + ROW / 2 + 4.5]
    const width = Math.max(1, (value / most) * (WIDTH - NAMES_WIDTH - VALUE_WIDTH))
    return (
      `<text class="label" x="${NAMES_WIDTH - 8}" y="${n(middle)}" text-anchor="end">${asText(name)}</text>` +
      `<rect class="bar s${colour % COLOURS}" x="${NAMES_WIDTH}" y="${top}" width="${n(width)}" height="${ROW - 7}"/>` +
      `<text class="tick" x="${n(NAMES_WIDTH + width + 5)}" y="${n(middle)}">${shortNumber(value)}</text>`
    )
  })
  return figureOf(title, content, ranked.length * ROW + 6)
}
