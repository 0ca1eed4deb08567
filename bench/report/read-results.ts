/**
 * Reads the files that `--json` writes; they may come from anywhere and any time, so their form is checked.
 *
 * Numbers that were not measured stand as null in them, and are NaN from here on.
 */
import { readFile } from 'node:fs/promises'
import { UsageError } from '../../src/cli/command-line.js'
import type { Point } from '../latencies.js'
import type { Machine } from '../machine.js'
import { type Figure, type Results, type Row, SCHEMA, type Unit } from '../results.js'

type Fields = Readonly<Record<string, unknown>>

const UNITS: readonly Unit[] = ['per s', 'ms', 'bytes', 'count', 'x', 'share', 'bytes per s']

/** @throws {UsageError} with the name of the file and what it lacks */
export async function readResults(path: string): Promise<Results> {
  try {
    return resultsOf(fieldsOf(JSON.parse(await readFile(path, 'utf8')), 'the file'))
  } catch (error) {
    throw new UsageError(`${path}: ${(error as Error).message}`, { cause: error })
  }
}

function resultsOf(fields: Fields): Results {
  if (fields.schema !== SCHEMA) {
    throw new UsageError(`its schema is ${String(fields.schema)}; this version reads ${SCHEMA}`)
  }
  return {
    schema: SCHEMA,
    benchmark: textOf(fields.benchmark, 'benchmark'),
    machine: machineOf(fieldsOf(fields.machine, 'machine')),
    finishedAt: textOf(fields.finishedAt, 'finishedAt'),
    plan: planOf(fieldsOf(fields.plan, 'plan')),
    rows: listOf(fields.rows, 'rows').map((row) => rowOf(fieldsOf(row, 'a row'))),
    notes: listOf(fields.notes, 'notes').map((note) => textOf(note, 'a note')),
  }
}

function machineOf(fields: Fields): Machine {
  const text = (name: string): string => textOf(fields[name], `machine.${name}`)
  return {
    command: text('command'),
    cpu: text('cpu'),
    cores: numberOf(fields.cores, 'machine.cores'),
    memoryGiB: numberOf(fields.memoryGiB, 'machine.memoryGiB'),
    system: text('system'),
    node: text('node'),
    quorate: text('quorate'),
    classicLevel: text('classicLevel'),
  }
}

function planOf(fields: Fields): Results['plan'] {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      Array.isArray(value) ? value.map(String) : String(value),
    ]),
  )
}

function rowOf(fields: Fields): Row {
  const labels = Object.entries(fieldsOf(fields.labels, 'labels')).map(([name, value]) => [
    name,
    typeof value === 'number' ? value : textOf(value, `label ${name}`),
  ])
  const figures = Object.entries(fieldsOf(fields.figures, 'figures')).map(([name, value]) => [
    name,
    figureOf(fieldsOf(value, `figure ${name}`), name),
  ])
  const curves = Object.entries(fieldsOf(fields.curves ?? {}, 'curves')).map(([name, points]) => [
    name,
    listOf(points, `curve ${name}`).map((point) => pointOf(point, name)),
  ])
  return {
    labels: Object.fromEntries(labels),
    figures: Object.fromEntries(figures),
    curves: Object.fromEntries(curves),
  }
}

function figureOf(fields: Fields, name: string): Figure {
  const unit = UNITS.find((one) => one === fields.unit)
  if (unit === undefined) throw new UsageError(`figure ${name} has no unit that is known`)
  return {
    unit,
    runs: listOf(fields.runs, name).map((run) => numberOf(run, name)),
    median: numberOf(fields.median, name),
    min: numberOf(fields.min, name),
    max: numberOf(fields.max, name),
  }
}

function pointOf(value: unknown, name: string): Point {
  const [x, y] = listOf(value, `a point of ${name}`)
  return [numberOf(x, name), numberOf(y, name)]
}

function fieldsOf(value: unknown, what: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new UsageError(`${what} is no object`)
  }
  return value as Fields
}

function listOf(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new UsageError(`${what} is no list`)
  return value
}

function textOf(value: unknown, what: string): string {
  if (typeof value !== 'string') throw new UsageError(`${what} is no text`)
  return value
}

function numberOf(value: unknown, what: string): number {
  if (value === null) return Number.NaN
  if (typeof value !== 'number') throw new UsageError(`${what} is no number`)
  return value
}
