import assert from 'node:assert/strict'
import { test } from 'node:test'
import { figure, type Row, resultTable, show } from '../../bench/results.js'

test('a figure holds its runs, and leaves out those that measured nothing', () => {
  const { median, min, max, runs } = figure('ms', [3, Number.NaN, 1, 2])
  assert.deepEqual(
    { median, min, max, runs },
    { median: 2, min: 1, max: 3, runs: [3, Number.NaN, 1, 2] },
  )
  assert.equal(show(figure('ms', [])), '—')
})

test('one run is shown as a number, several with their range', () => {
  assert.equal(show(figure('per s', [12_345])), '12,345')
  assert.equal(show(figure('per s', [1000, 3000, 2000])), '2,000 (1,000 to 3,000)')
  assert.equal(show(figure('share', [0.5])), '50.0 %')
})

test('a table has every label of any row, and says what was not measured', () => {
  const rows: Row[] = [
    { labels: { what: 'put', role: 'leader' }, figures: { p50: figure('ms', [2]) } },
    { labels: { what: 'get' }, figures: { age: figure('count', [7]) } },
  ]
  const lines = resultTable(rows, ['p50', 'age']).split('\n')
  assert.deepEqual(
    lines.map((line) => line.split(/ {2,}/)),
    [
      ['what', 'role', 'p50, ms', 'age'],
      ['put', 'leader', '2.0', '—'],
      ['get', '—', '—', '7'],
    ],
  )
})
