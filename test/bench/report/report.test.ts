import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { hasPlace, type Spread, scaleFor } from '../../../bench/report/axis.js'
import { drawBars, drawRanking } from '../../../bench/report/bars.js'
import { findBrowser, lookAt, SCREENS } from '../../../bench/report/browser.js'
import { drawLines } from '../../../bench/report/chart.js'
import { pageOf } from '../../../bench/report/page.js'
import { readResults } from '../../../bench/report/read-results.js'
import { figure, type Results, writeResults } from '../../../bench/results.js'
import { resultsOf, samples } from './sample.js'

const run = promisify(execFile)
const SPREADS: readonly Spread[] = ['linear', 'log', 'log from 0', 'percentile']
let dir = ''

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'quorate-report-'))
})
after(() => rm(dir, { recursive: true, force: true }))

/** The numbers of an attribute in drawn SVG. */
function numbersOf(svg: string, attribute: string): number[] {
  return [...svg.matchAll(new RegExp(` ${attribute}="([^"]*)"`, 'g'))].map(([, text]) =>
    Number(text),
  )
}

test('what a benchmark writes is read as it was, and numbers that were not measured stay none', async () => {
  const path = join(dir, 'results.json')
  const row = { labels: { level: 'strong' }, figures: { p50: figure('ms', [Number.NaN, 2, 4]) } }
  const none = { labels: { level: 'none' }, figures: { p50: figure('ms', []) } }
  const results = resultsOf('levels', [
    { ...row, curves: { latency: [[0.5, 2]] } },
    { ...none, curves: {} },
  ])
  await writeResults(path, results)
  const read = await readResults(path)
  assert.deepEqual(read, { ...results, plan: { runs: '3', members: ['1', '3'] } })
})

test('a file of another form is refused with its name and what is wrong with it', async () => {
  const path = join(dir, 'other.json')
  const sound = JSON.parse(JSON.stringify(resultsOf('cost', []))) as Record<string, unknown>
  const broken: readonly (readonly [content: string, complaint: RegExp])[] = [
    ['{"schema"', /JSON/],
    ['[]', /no object/],
    [JSON.stringify({ ...sound, schema: 1 }), /its schema is 1/],
    [JSON.stringify({ ...sound, rows: {} }), /rows is no list/],
    [
      JSON.stringify({ ...sound, rows: [{ labels: { a: [] }, figures: {} }] }),
      /label a is no text/,
    ],
    [JSON.stringify({ ...sound, rows: [{ labels: {}, figures: { a: {} } }] }), /no unit/],
  ]
  for (const [content, complaint] of broken) {
    await writeFile(path, content)
    await assert.rejects(readResults(path), (error: Error) => {
      assert.match(error.message, complaint)
      return error.message.startsWith(`${path}: `)
    })
  }
})

test('every value has its place within its axis, in their order, and so has every tick', () => {
  const value = fc.double({ noNaN: true, min: -1e12, max: 1e12 })
  fc.assert(
    fc.property(fc.constantFrom(...SPREADS), fc.array(value, { maxLength: 20 }), (spread, some) => {
      const values = some.filter((each) => hasPlace(spread, each)).sort((a, b) => a - b)
      const scale = scaleFor(spread, values)
      const places = values.map((each) => scale.position(each))
      const ticks = scale.ticks.map(({ value: each }) => scale.position(each))
      for (const at of [...places, ...ticks]) assert.ok(at >= -0.001 && at <= 1.001, String(at))
      for (const all of [places, ticks])
        assert.deepEqual(
          all,
          all.toSorted((a, b) => a - b),
        )
      assert.ok(ticks.length >= 2 && ticks.length <= 24, `${ticks.length} ticks`)
    }),
  )
})

test('a bar is as high as its value, a line goes through its points, what was not measured is left out', () => {
  const bars = [4, 2, Number.NaN].map((value, colour) => ({ name: String(value), colour, value }))
  const chart = drawBars({
    title: 'heights',
    y: { label: 'per s', spread: 'linear' },
    groups: [{ name: 'a', bars }],
  })
  const [first, second, ...none] = numbersOf(chart, 'height')
  assert.deepEqual(none, [])
  assert.ok(Math.abs(first! - 2 * second!) < 0.2, `${first} and ${second}`)
  const ranking = drawRanking({ title: 'longest first', bars: bars.toReversed() })
  const [longest, half, ...more] = numbersOf(ranking, 'width')
  assert.ok(more.length === 0 && Math.abs(longest! - 2 * half!) < 0.2)
  const axis = { label: 'x', spread: 'log' } as const
  const points = [
    [1, 1],
    [10, 10],
    [100, 100],
    [0, 5],
    [Number.NaN, 1],
  ] as const
  const line = { name: 'line', colour: 0, style: 'dots' as const, points }
  const lines = drawLines({ title: 'line', x: axis, y: axis, lines: [line], bands: [] })
  const [xs, ys] = [numbersOf(lines, 'cx'), numbersOf(lines, 'cy')]
  assert.equal(xs.length, 3)
  assert.ok(Math.abs(xs[1]! - (xs[0]! + xs[2]!) / 2) < 0.2, 'decades are as wide as one another')
  assert.ok(ys[0]! > ys[1]! && ys[1]! > ys[2]!, 'more is higher')
})

test('the page has a section for each file, asks nothing of the network, and runs no script', () => {
  const all = [...samples(), resultsOf('unheard of', samples()[0]!.rows)]
  const page = pageOf(all)
  const titles = [...page.matchAll(/<h2>([^<]*)<\/h2>/g)].map(([, title]) => title)
  assert.equal(titles.length, all.length)
  assert.match(titles[0]!, /run instead/)
  assert.equal(titles.at(-1), 'unheard of')
  assert.ok(page.match(/<svg viewBox="0 0 \d+ \d+" role="img"/g)!.length > 15)
  assert.doesNotMatch(page, /<script|https?:|\bsrc=|@import|url\(/)
  assert.doesNotMatch(page, /NaN|Infinity|undefined/)
})

test('texts from files stay texts', () => {
  const evil = '"><img/src=x onerror=alert(1)>'
  const rows: Results['rows'] = [
    {
      labels: { operation: evil, level: evil, role: evil, 'rtt ms': evil, offered: 1, fault: evil },
      figures: { [evil]: figure('ms', [1]), done: figure('per s', [1]), p50: figure('ms', [1]) },
      curves: { latency: [[0.5, 1]], timeline: [[1, 1]], consistent: [[1, 1]] },
    },
  ]
  const names = [...samples().map(({ benchmark }) => benchmark), 'staleness', 'failover', evil]
  for (const benchmark of names) {
    const machine = { ...resultsOf('x', []).machine, command: evil, cpu: evil }
    const results = { ...resultsOf(benchmark, rows), machine, finishedAt: evil, notes: [evil] }
    assert.doesNotMatch(pageOf([results]), /<img/, benchmark)
  }
})

test('results of several machines come with a warning', () => {
  const [one, other] = samples()
  assert.doesNotMatch(pageOf([one!, other!]), /class="warning"/)
  const elsewhere = { ...other!, machine: { ...other!.machine, cpu: 'Another CPU' } }
  assert.match(pageOf([one!, elsewhere]), /class="warning"/)
})

test('bench -- report writes the page, and refuses what is none', async () => {
  const program = join(import.meta.dirname, '../../../bench/run.js')
  const [path, page] = [join(dir, 'cost.json'), join(dir, 'page.html')]
  await writeResults(path, samples()[0]!)
  await run(process.execPath, [program, 'report', path, '--out', page])
  assert.match(await readFile(page, 'utf8'), /^<!doctype html>[\s\S]*<\/html>\n$/)
  await assert.rejects(run(process.execPath, [program, 'report', page]), { code: 2 })
  await assert.rejects(run(process.execPath, [program, 'report', `${page}.none`]), { code: 2 })
  await assert.rejects(run(process.execPath, [program, 'report']), { code: 2 })
})

const browser = findBrowser()
const skip = browser === undefined ? 'no Chromium is installed' : false

test('a browser finds nothing wrong with the page, and finds what is wrong with another', {
  skip,
}, async () => {
  const page = join(dir, 'look.html')
  const phone = SCREENS.filter(({ name }) => name === 'phone-dark')
  const sound = pageOf(samples())
  await writeFile(page, sound)
  const look = await lookAt(browser!, page, dir, phone)
  assert.deepEqual(look.faults, [])
  const png = await readFile(look.pictures[0]!)
  assert.equal(png.subarray(1, 4).toString(), 'PNG')
  const faulty = sound
    .replace(/<meta http-equiv[^>]*>/, '')
    .replace('<main>', '<main><p style="width:3000px">wide</p><script>console.error(1)</script>')
  await writeFile(page, faulty)
  const { faults } = await lookAt(browser!, page, dir, phone)
  assert.equal(faults.length, 2)
  assert.match(faults.join('; '), /the console: .*px wide, the screen 390/)
})
