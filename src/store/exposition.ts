/** Prometheus' text format, version 0.0.4: one family after the other, each with its help, its type and its samples. */
import type { DurationSummary } from '../base/durations.js'

/** What a server says it sends. */
export const PROMETHEUS_CONTENT_TYPE: string = 'text/plain; version=0.0.4; charset=utf-8'

type Labels = Readonly<Record<string, string>>

/** A text in the making; names get the prefix `quorate_`, samples the labels of the whole. */
export class Exposition {
  readonly #labels: Labels
  #text = ''

  constructor(labels: Labels) {
    this.#labels = labels
  }

  get text(): string {
    return this.#text
  }

  /** Only grows; `name` ends in `_total`. */
  counter(name: string, help: string, value: number): void {
    this.#begin(name, 'counter', help)
    this.#sample(name, {}, value)
  }

  /** Counters that differ in one label. */
  counters(
    name: string,
    help: string,
    label: string,
    values: Readonly<Record<string, number>>,
  ): void {
    this.#begin(name, 'counter', help)
    for (const [is, value] of Object.entries(values)) this.#sample(name, { [label]: is }, value)
  }

  /** Nothing is said of a value that is not known. */
  gauge(name: string, help: string, value: number | undefined): void {
    if (value === undefined) return
    this.#begin(name, 'gauge', help)
    this.#sample(name, {}, value)
  }

  /** In seconds; `name` ends in `_seconds`. */
  durations(name: string, help: string, { buckets, count, sum }: DurationSummary): void {
    this.#begin(name, 'histogram', help)
    for (const bucket of buckets) {
      this.#sample(`${name}_bucket`, { le: String(bucket.le / 1000) }, bucket.count)
    }
    this.#sample(`${name}_bucket`, { le: '+Inf' }, count)
    this.#sample(`${name}_sum`, {}, sum / 1000)
    this.#sample(`${name}_count`, {}, count)
  }

  #begin(name: string, type: 'counter' | 'gauge' | 'histogram', help: string): void {
    this.#text += `# HELP quorate_${name} ${help}\n# TYPE quorate_${name} ${type}\n`
  }

  #sample(name: string, labels: Labels, value: number): void {
    const pairs = Object.entries({ ...this.#labels, ...labels })
    const inner = pairs.map(([label, is]) => `${label}="${escaped(is)}"`).join(',')
    this.#text += `quorate_${name}${inner === '' ? '' : `{${inner}}`} ${numberText(value)}\n`
  }
}

function numberText(value: number): string {
  return value === Number.POSITIVE_INFINITY ? '+Inf' : String(value)
}

function escaped(text: string): string {
  return text.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n')
}
