/** Rows of results by their labels, and what charts take from them. */
import type { Row } from '../results.js'
import type { Axis } from './axis.js'

/** Latencies. */
export const MS: Axis = { label: 'ms', spread: 'log' }
/** Rates whose heights compare. */
export const PER_SECOND: Axis = { label: 'per s', spread: 'linear' }
/** Quantiles. */
export const PERCENTILE: Axis = { label: 'percentile', spread: 'percentile' }

/** The rows by the values of these labels, in the order in which they come. */
export function groupsOf(
  rows: readonly Row[],
  labels: readonly string[],
): readonly (readonly [name: string, rows: readonly Row[]])[] {
  const groups = new Map<string, Row[]>()
  for (const row of rows) {
    const name = labels.map((label) => String(row.labels[label] ?? '')).join(', ')
    const group = groups.get(name)
    if (group === undefined) groups.set(name, [row])
    else group.push(row)
  }
  return [...groups]
}

/** The values of these labels, each once; where a name stands is its colour in every chart of a section. */
export function namesOf(rows: readonly Row[], labels: readonly string[]): readonly string[] {
  return groupsOf(rows, labels).map(([name]) => name)
}

/** The median of a figure; NaN where there is none, which charts leave out. */
export function medianOf(row: Row | undefined, figure: string): number {
  return row?.figures[figure]?.median ?? Number.NaN
}

/** Figures beside one another, as many as fit. */
export function grid(figures: readonly string[]): string {
  return `<div class="grid">${figures.join('')}</div>`
}
