/** Runs that once broke a rule: fixed, and run for ever. Each file in test/corpus tells what went wrong. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ownWorkload } from '../../src/sim/run/clients.js'
import { readFailure } from '../../src/sim/run/failure-file.js'
import { runSchedule } from '../../src/sim/run/simulation.js'

const CORPUS = join(import.meta.dirname, '../../../test/corpus')

for (const name of readdirSync(CORPUS).filter((file) => file.endsWith('.json'))) {
  test(`${name} breaks no rule any more`, async () => {
    const { schedule } = await readFailure(join(CORPUS, name))
    const { violation } = await runSchedule(schedule, { ...ownWorkload, keepTrace: 0 })
    assert.equal(violation, undefined, `npm run sim -- --replay test/corpus/${name}`)
  })
}
