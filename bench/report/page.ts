/**
 * The page: one file with everything in it, no script, no font, no picture from elsewhere.
 *
 * Sections follow the order of VIEWS; each says where, when and how it was measured, because figures mean nothing
 * without.
 */
import type { Machine } from '../machine.js'
import { type Figure, type Results, type Row, show } from '../results.js'
import { asText } from './as-text.js'
import { STYLE } from './style.js'
import { inOrder, viewOf } from './views.js'

/** Longer tables and lists of notes are folded. */
const OPEN_ROWS_MAX = 14
const OPEN_NOTES_MAX = 4

/** All results as one HTML page. */
export function pageOf(all: readonly Results[]): string {
  const ordered = inOrder(all)
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>quorate: what was measured</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>quorate: what was measured</h1>
${environment(ordered)}
<nav aria-label="Benchmarks"><ul>${ordered.map(link).join('')}</ul></nav>
</header>
<main>
${ordered.map(section).join('\n')}
</main>
<footer>
<p>Before you compare: a closed loop (so many calls at a time) tells what a system can do, an open one what callers wait
when they come by themselves. All members, clients and generators share one machine here, so figures for several members
are lower than on machines of their own, and the network costs nothing unless a distance was added. Ranges in brackets
are from the lowest to the highest run.</p>
</footer>
</body>
</html>
`
}

function anchorOf({ benchmark }: Results, place: number): string {
  return `${benchmark.replace(/[^\w-]/g, '-')}-${place}`
}

function link(results: Results, place: number): string {
  return `<li><a href="#${anchorOf(results, place)}">${asText(viewOf(results.benchmark).title)}</a></li>`
}

function environment(all: readonly Results[]): string {
  const machines = new Set(all.map(({ machine }) => describe(machine)))
  const list = [...machines].map((machine) => `<p class="machine">${asText(machine)}</p>`).join('')
  if (machines.size < 2) return list
  return (
    `${list}<p class="warning">These results are from ${machines.size} different machines or versions: do not ` +
    'compare one section with another.</p>'
  )
}

function describe({ cpu, cores, memoryGiB, system, ...versions }: Machine): string {
  const { node, quorate, classicLevel } = versions
  return (
    `${cpu}, ${cores} cores, ${memoryGiB} GiB; ${system}; ` +
    `node ${node}, quorate ${quorate}, classic-level ${classicLevel}`
  )
}

function section(results: Results, place: number): string {
  const { machine, finishedAt, plan, rows, notes } = results
  const { title, hint, draw } = viewOf(results.benchmark)
  const settings = Object.entries(plan).map(
    ([name, value]) => `${name} ${Array.isArray(value) ? value.join(', ') : value}`,
  )
  return `<section id="${anchorOf(results, place)}">
<h2>${asText(title)}</h2>
${hint === '' ? '' : `<p>${asText(hint)}</p>`}
${draw(rows)}
${tablesOf(rows)}
${notesOf(notes)}
<dl>
<dt>Command</dt><dd><code>${asText(machine.command)}</code></dd>
<dt>Settings</dt><dd>${asText(settings.join('; '))}</dd>
<dt>Where</dt><dd>${asText(describe(machine))}</dd>
<dt>Finished</dt><dd>${asText(finishedAt)}</dd>
</dl>
</section>`
}

function notesOf(notes: readonly string[]): string {
  if (notes.length === 0) return ''
  const list = `<ul class="notes">${notes.map((note) => `<li>${asText(note)}</li>`).join('')}</ul>`
  return folded(`Notes (${notes.length})`, notes.length <= OPEN_NOTES_MAX ? 'open' : 'folded', list)
}

function folded(summary: string, state: 'open' | 'folded', content: string): string {
  return `<details${state === 'open' ? ' open' : ''}><summary>${summary}</summary>${content}</details>`
}

/** Rows of different kinds stand in tables of their own. */
function tablesOf(rows: readonly Row[]): string {
  if (rows.length === 0) return '<p>Nothing was measured.</p>'
  const kinds = new Map<string, Row[]>()
  for (const row of rows) {
    const kind = Object.keys(row.labels).join()
    kinds.set(kind, [...(kinds.get(kind) ?? []), row])
  }
  return [...kinds.values()].map(tableOf).join('')
}

function tableOf(rows: readonly Row[]): string {
  const labels = [...new Set(rows.flatMap((row) => Object.keys(row.labels)))]
  const names = [...new Set(rows.flatMap((row) => Object.keys(row.figures)))]
  const head = [
    ...labels.map((label) => `<th>${asText(label)}</th>`),
    ...names.map((name) => `<th class="number">${asText(headOf(name, rows))}</th>`),
  ]
  const body = rows.map(({ labels: values, figures }) => {
    const cells = [
      ...labels.map((label) => `<td>${asText(String(values[label] ?? '—'))}</td>`),
      ...names.map((name) => `<td class="number">${cellOf(figures[name])}</td>`),
    ]
    return `<tr>${cells.join('')}</tr>`
  })
  const table =
    `<div class="wide" tabindex="0"><table><thead><tr>${head.join('')}</tr></thead>` +
    `<tbody>${body.join('')}</tbody></table></div>`
  const state = rows.length <= OPEN_ROWS_MAX ? 'open' : 'folded'
  const what = labels.includes('aim') ? 'Aims' : 'All figures'
  return folded(`${what} (${rows.length} rows)`, state, table)
}

function headOf(name: string, rows: readonly Row[]): string {
  const unit = rows.find(({ figures }) => figures[name] !== undefined)?.figures[name]?.unit
  const isSaid = unit === undefined || unit === 'count' || unit === 'x' || name.includes(unit)
  return isSaid ? name : `${name}, ${unit}`
}

/** The median large, the range small behind it. */
function cellOf(figure: Figure | undefined): string {
  const text = show(figure)
  const range = text.indexOf(' (')
  if (range === -1) return asText(text)
  return `${asText(text.slice(0, range))}<small>${asText(text.slice(range))}</small>`
}
