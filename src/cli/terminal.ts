/**
 * What the commands print: lines, colours, a progress bar and tables.
 *
 * Colours and the bar need a terminal; without one the same facts come as plain lines, few of them.
 */
import { styleText } from 'node:util'

/** The styles in use; see util.styleText. */
export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan'

/** Whether standard output is a terminal that wants colours (https://no-color.org). */
function isColourful(): boolean {
  return process.stdout.isTTY === true && (process.env.NO_COLOR ?? '') === ''
}

/** `text` in `style` on a terminal, `text` elsewhere. */
export function paint(style: Style, text: string): string {
  return isColourful() ? styleText(style, text) : text
}

/** Prints one line on standard output. */
export function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** Prints one line on standard error. */
export function complain(line: string): void {
  process.stderr.write(`${line}\n`)
}

const BAR_COLUMNS = 28
const REDRAW_EVERY_MS = 50
const PLAIN_STEPS = 4

/** One bar from nothing to `total`. Lines printed meanwhile go through `note`. */
export class Progress {
  readonly #label: string
  readonly #total: number
  #drawnAt = 0
  #plainStep = 0
  #line = ''

  constructor(label: string, total: number) {
    this.#label = label
    this.#total = total
  }

  /** Shows that `done` of the total are done, with `detail` behind it; redraws at most 20 times a second. */
  update(done: number, detail: string): void {
    if (process.stdout.isTTY) this.#draw(done, detail)
    else this.#report(done, detail)
  }

  /** Prints a line above the bar. */
  note(line: string): void {
    if (process.stdout.isTTY) process.stdout.write(`\r\x1b[K${line}\n${this.#line}`)
    else print(line)
  }

  /** Ends the bar; what it showed last stays. */
  end(): void {
    if (process.stdout.isTTY) process.stdout.write(`\r\x1b[K${this.#line}\n`)
  }

  #draw(done: number, detail: string): void {
    const share = this.#total === 0 ? 1 : done / this.#total
    const full = Math.floor(share * BAR_COLUMNS)
    const bar = `${'█'.repeat(full)}${'░'.repeat(BAR_COLUMNS - full)}`
    const percent = `${Math.floor(share * 100)}`.padStart(3)
    this.#line = `${this.#label} ${paint('cyan', bar)} ${percent}% ${paint('dim', detail)}`
    const now = performance.now()
    if (now - this.#drawnAt < REDRAW_EVERY_MS && done < this.#total) return
    this.#drawnAt = now
    process.stdout.write(`\r\x1b[K${this.#line}`)
  }

  #report(done: number, detail: string): void {
    const step = Math.floor((done / Math.max(1, this.#total)) * PLAIN_STEPS)
    if (step <= this.#plainStep) return
    this.#plainStep = step
    print(`${this.#label} ${Math.floor((100 * step) / PLAIN_STEPS)}% ${detail}`)
  }
}

/** Lays `rows` out in columns under `head`; numbers and what follows them stand to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((cell, i) => Math.max(cell.length, ...rows.map((row) => row[i]!.length)))
  const isNumeric = head.map((_, i) => rows.every((row) => /^[-\d—]/.test(row[i]!)))
  const layOut = (row: readonly string[]): string =>
    row
      .map((cell, i) => (isNumeric[i] ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd()
  return [paint('bold', layOut(head)), ...rows.map(layOut)].join('\n')
}

/** A count with thousands set apart: `12,345`. */
export function count(value: number): string {
  return Math.round(value).toLocaleString('en-US')
}

/** Bytes for people: `20.4 MiB`. */
export function bytes(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let unit = 0
  let shown = value
  while (shown >= 1024 && unit < units.length - 1) {
    shown /= 1024
    unit++
  }
  return unit === 0 ? `${value} B` : `${shown.toFixed(1)} ${units[unit]}`
}

/** Milliseconds for people: `0.42 ms`, `17.3 ms`, `1,204 ms`. */
export function milliseconds(value: number): string {
  if (value < 10) return `${value.toFixed(2)} ms`
  return value < 100 ? `${value.toFixed(1)} ms` : `${count(value)} ms`
}
