/** Axes of charts: where a value stands between 0 and 1, and which values are written beside the axis. */
import { unreachable } from '../../src/base/assert.js'

/**
 * How values are spread along an axis. `log from 0` is one that has a zero: 0, 1, 10, 100. `percentile` takes quantiles
 * and gives each further nine as much room as the one before: 0, 90 %, 99 %, 99.9 %.
 */
export type Spread = 'linear' | 'log' | 'log from 0' | 'percentile'

/** An axis as a chart asks for it. */
export interface Axis {
  readonly label: string
  readonly spread: Spread
}

/** A value that is written beside the axis. */
export interface Tick {
  readonly value: number
  readonly text: string
}

/** An axis that fits its values. */
export interface Scale {
  /** 0 at the beginning of the axis, 1 at its end. */
  position(value: number): number
  readonly ticks: readonly Tick[]
}

/** What is measured lies between these; beyond them arithmetic would lose the steps between ticks. */
const LEAST = 1e-9
const MOST = 1e15
const LINEAR_TICKS = 5
/** Beyond so many decades only each power of ten is written. */
const FINE_DECADES = 1.6
const STEPS: readonly number[] = [1, 2, 5, 10]
const DECADES_MAX = 7

/** Whether the axis has a place for the value: logarithms have none for zero, percentiles none for certainty. */
export function hasPlace(spread: Spread, value: number): boolean {
  switch (spread) {
    case 'linear':
      return Math.abs(value) <= MOST
    case 'log':
      return value >= LEAST && value <= MOST
    case 'log from 0':
      return value >= 0 && value <= MOST
    case 'percentile':
      return value >= 0 && value <= 1 - LEAST
    default:
      return unreachable(spread)
  }
}

/** An axis for `values`, all of which have a place on it; one without values is as good as any. */
export function scaleFor(spread: Spread, values: readonly number[]): Scale {
  switch (spread) {
    case 'linear':
      return linear(values)
    case 'log':
      return logarithmic(values)
    case 'log from 0':
      return logarithmicFromZero(values)
    case 'percentile':
      return percentile(values)
    default:
      return unreachable(spread)
  }
}

/** Holds zero, so that heights compare. */
function linear(values: readonly number[]): Scale {
  const least = Math.min(0, ...values)
  const most = Math.max(0, ...values)
  const step = niceStep((most - least > LEAST ? most - least : 1) / LINEAR_TICKS)
  const from = Math.floor(least / step) * step
  const to = Math.max(Math.ceil(most / step) * step, from + step)
  const count = Math.round((to - from) / step)
  return {
    position: (value) => (value - from) / (to - from),
    ticks: Array.from({ length: count + 1 }, (_, i) => tickOf(from + i * step)),
  }
}

function niceStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough))
  return STEPS.map((step) => step * power).find((step) => step >= rough * 0.999)!
}

function logarithmic(values: readonly number[]): Scale {
  const all = values.length === 0 ? [1, 10] : values
  const from = roundDown(Math.min(...all))
  let to = roundUp(Math.max(...all))
  if (to <= from) to = roundUp(from * 1.5)
  const decades = Math.log10(to / from)
  const steps = decades <= FINE_DECADES ? [1, 2, 5] : [1]
  const every = decades > DECADES_MAX ? 2 : 1
  const ticks: Tick[] = []
  for (
    let power = Math.floor(Math.log10(from));
    power <= Math.ceil(Math.log10(to));
    power += every
  ) {
    for (const step of steps) {
      const value = step * 10 ** power
      if (value >= from * 0.999 && value <= to * 1.001) ticks.push(tickOf(value))
    }
  }
  return { position: (value) => Math.log(value / from) / Math.log(to / from), ticks }
}

function roundDown(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value))
  return [5, 2, 1].map((step) => step * power).find((step) => step <= value * 1.001)!
}

function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value))
  return STEPS.map((step) => step * power).find((step) => step >= value * 0.999)!
}

function logarithmicFromZero(values: readonly number[]): Scale {
  const most = Math.max(1, ...values)
  const decades = Math.floor(Math.log10(most * 1.001))
  const every = Math.ceil((decades + 1) / DECADES_MAX)
  const powers = Array.from(
    { length: Math.floor(decades / every) + 1 },
    (_, i) => 10 ** (i * every),
  )
  return {
    position: (value) => Math.log1p(value) / Math.log1p(most),
    ticks: [0, ...powers].map(tickOf),
  }
}

function percentile(values: readonly number[]): Scale {
  const nines = (quantile: number): number => -Math.log10(1 - quantile)
  const most = Math.max(1, ...values.map(nines))
  const whole = Array.from({ length: Math.floor(most + 1e-6) + 1 }, (_, i) => 1 - 10 ** -i)
  return {
    position: (value) => nines(value) / most,
    ticks: [0.5, ...whole]
      .sort((a, b) => a - b)
      .map((value) => ({ value, text: `${Number((value * 100).toPrecision(8))} %` })),
  }
}

function tickOf(value: number): Tick {
  return { value, text: shortNumber(value) }
}

/** `0.05`, `7`, `1.5k`, `20M`: as short as can be read. */
export function shortNumber(value: number): string {
  const size = Math.abs(value)
  if (size >= 1e9) return `${Number((value / 1e9).toPrecision(3))}G`
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(3))}M`
  if (size >= 1e3) return `${Number((value / 1e3).toPrecision(3))}k`
  return String(Number(value.toPrecision(3)))
}
