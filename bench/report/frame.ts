/** What all charts have in common: their size, the y axis, the title, and where values stand. */
import { asText } from './as-text.js'
import type { Axis, Scale } from './axis.js'

/** How many colours there are. */
export const COLOURS = 8

export const WIDTH = 440
export const HEIGHT = 280
export const LEFT = 50
export const RIGHT = 12
export const TOP = 26
export const BOTTOM = 46
export const PLOT_WIDTH: number = WIDTH - LEFT - RIGHT
export const PLOT_HEIGHT: number = HEIGHT - TOP - BOTTOM
/** Texts beside an axis need so much room, in letters of this width. */
export const LETTER = 7.2

/** Content with a title around it. */
export function figureOf(title: string, content: readonly string[], height: number): string {
  return (
    `<figure><figcaption>${asText(title)}</figcaption><svg viewBox="0 0 ${WIDTH} ${height}" role="img" ` +
    `aria-label="${asText(title)}">${content.join('')}</svg></figure>`
  )
}

/** Values beside the axis, and its label above. */
export function drawYAxis(y: Scale, { label }: Axis): string {
  const ticks = y.ticks.map(({ value, text }) => {
    const at = n(yOf(y, value))
    return (
      `<path class="rule" d="M${LEFT} ${at}H${WIDTH - RIGHT}"/>` +
      `<text class="tick" x="${LEFT - 6}" y="${n(yOf(y, value) + 4)}" text-anchor="end">${asText(text)}</text>`
    )
  })
  return `${ticks.join('')}<text class="label" x="4" y="13">${asText(label)}</text>`
}

/** Where a value stands from left to right. */
export function xOf(x: Scale, value: number): number {
  return LEFT + x.position(value) * PLOT_WIDTH
}

/** Where a value stands from the top down. */
export function yOf(y: Scale, value: number): number {
  return HEIGHT - BOTTOM - y.position(value) * PLOT_HEIGHT
}

/** A coordinate: a tenth of a pixel is enough. */
export function n(value: number): string {
  return String(Math.round(value * 10) / 10)
}
