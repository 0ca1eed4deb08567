/**
 * What a benchmark found, in one form for all of them: the file that `--json` writes (docs/benchmarks.md), and the
 * table that it prints.
 *
 * Every row says what was measured (labels), what came out (figures, each with all its runs) and, where a single number
 * would hide too much, curves. Latencies are in milliseconds everywhere.
 */
import { writeFile } from 'node:fs/promises'
import { count, table } from '../src/cli/terminal.js'
import type { LatencySummary, Point } from './latencies.js'
import type { Machine } from './machine.js'
import { median } from './measure.js'

/** Of the file's form: goes up when a reader of the last one would misread the next. */
export const SCHEMA = 2

const MIB = 1 << 20

/** What the numbers of a figure are. */
export type Unit = 'per s' | 'ms' | 'bytes' | 'count' | 'x' | 'share' | 'bytes per s'

/** A number that was measured once or several times. */
export interface Figure {
  readonly unit: Unit
  readonly runs: readonly number[]
  readonly median: number
  readonly min: number
  readonly max: number
}

/** One thing that was measured. */
export interface Row {
  readonly labels: Readonly<Record<string, string | number>>
  readonly figures: Readonly<Record<string, Figure>>
  /** By name; see the benchmark's documentation for their axes. */
  readonly curves?: Readonly<Record<string, readonly Point[]>>
}

/** A whole run of a benchmark; what `--json` writes. */
export interface Results {
  readonly schema: typeof SCHEMA
  readonly benchmark: string
  readonly machine: Machine
  /** ISO 8601. */
  readonly finishedAt: string
  /** Sizes and times, as the flags had them. */
  readonly plan: Readonly<Record<string, string | number | readonly (string | number)[]>>
  readonly rows: readonly Row[]
  /** What a reader must know: what was skipped or rejected, and why. */
  readonly notes: readonly string[]
}

/** What the runs of one measurement came to. */
export function figure(unit: Unit, runs: readonly number[]): Figure {
  const sound = runs.filter((run) => Number.isFinite(run))
  if (sound.length === 0) {
    return { unit, runs, median: Number.NaN, min: Number.NaN, max: Number.NaN }
  }
  return { unit, runs, median: median(sound), min: Math.min(...sound), max: Math.max(...sound) }
}

/** The figures of latencies, one run each. */
export function latencyFigures(
  runs: readonly LatencySummary[],
): Readonly<Record<'p50' | 'p99' | 'p99.9', Figure>> {
  const of = (pick: (run: LatencySummary) => number): Figure => figure('ms', runs.map(pick))
  return { p50: of(({ p50 }) => p50), p99: of(({ p99 }) => p99), 'p99.9': of(({ p999 }) => p999) }
}

/** A figure for people: `12,345 (12,001 to 13,000)`; the spread only where there were several runs. */
export function show(figure: Figure | undefined): string {
  if (figure === undefined || Number.isNaN(figure.median)) return '—'
  const { unit, median: middle, min, max, runs } = figure
  const one = (value: number): string => showNumber(unit, value)
  return runs.length < 2 ? one(middle) : `${one(middle)} (${one(min)} to ${one(max)})`
}

function showNumber(unit: Unit, value: number): string {
  switch (unit) {
    case 'ms':
      return value < 1 ? value.toFixed(3) : value < 100 ? value.toFixed(1) : count(value)
    case 'x':
      return value < 10 ? value.toFixed(2) : value.toFixed(0)
    case 'share':
      return `${(value * 100).toFixed(1)} %`
    case 'bytes':
      return value < MIB ? count(value) : `${(value / MIB).toFixed(1)} MiB`
    case 'per s':
    case 'bytes per s':
    case 'count':
      return Number.isInteger(value) || value >= 100 ? count(value) : value.toFixed(2)
  }
}

/** The rows as a table: the labels, then the named figures, with their units in the head. */
export function resultTable(rows: readonly Row[], figures: readonly string[]): string {
  const labels = [...new Set(rows.flatMap((row) => Object.keys(row.labels)))]
  const headOf = (name: string): string => {
    const units = new Set(rows.flatMap((row) => row.figures[name]?.unit ?? []))
    const [unit] = units
    return units.size !== 1 || unit === 'count' || name.includes(unit!) ? name : `${name}, ${unit}`
  }
  return table(
    [...labels, ...figures.map(headOf)],
    rows.map((row) => [
      ...labels.map((label) => showLabel(row.labels[label])),
      ...figures.map((name) => show(row.figures[name])),
    ]),
  )
}

function showLabel(label: string | number | undefined): string {
  return typeof label === 'number' ? count(label) : (label ?? '—')
}

/** Results that were found just now. */
export function resultsNow(
  benchmark: string,
  machine: Machine,
  plan: Results['plan'],
  rows: readonly Row[],
): Results {
  const finishedAt = new Date().toISOString()
  return { schema: SCHEMA, benchmark, machine, finishedAt, plan, rows, notes: [] }
}

/** Writes what `--json` asks for. NaN, which JSON does not have, becomes null. */
export async function writeResults(path: string, results: Results): Promise<void> {
  await writeFile(path, `${JSON.stringify(results, undefined, 1)}\n`)
}
