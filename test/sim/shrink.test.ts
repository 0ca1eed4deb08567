import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ownSchedules, scheduleOf } from '../../src/sim/run/seeds.js'
import { shrinkSeed } from '../../src/sim/run/shrink.js'
import type { RunReport } from '../../src/sim/run/simulation.js'
import { newTally } from '../../src/sim/run/tally.js'
import { effectiveEvents, type Schedule } from '../../src/sim/schedule/schedule.js'

const SCHEDULES = ownSchedules(fc)

/** A run that breaks a rule when `isBroken` says so. */
function pretended(isBroken: (schedule: Schedule) => boolean): (s: Schedule) => Promise<RunReport> {
  return async (schedule) => ({
    violation: isBroken(schedule)
      ? { rule: 'C5 exactly once', message: 'pretended', atMs: 0 }
      : undefined,
    tally: newTally(),
    traceHash: '',
    historyHash: '',
    trace: [],
    history: [],
  })
}

test('a failing schedule shrinks to the events and the kind of fault that matter', async () => {
  const run = pretended((schedule) => {
    const types = effectiveEvents(schedule).map(({ type }) => type)
    return types.includes('kill') && types.filter((type) => type === 'write').length >= 2
  })
  let seed = 1
  while ((await run(scheduleOf(fc, SCHEDULES, seed))).violation === undefined) seed++
  const shrunk = await shrinkSeed(fc, SCHEDULES, seed, run, { timeMs: 10_000 })
  assert.deepEqual(shrunk?.needs, ['kill'])
  assert.deepEqual(shrunk.schedule.events.map(({ type }) => type).sort(), [
    'kill',
    'write',
    'write',
  ])
  assert.equal(shrunk.schedule.knobs.latency, 'lan')
})

test('what does not fail is not shrunk', async () => {
  const shrunk = await shrinkSeed(
    fc,
    SCHEDULES,
    1,
    pretended(() => false),
    { timeMs: 1000 },
  )
  assert.equal(shrunk, undefined)
})

test('faults that are switched off and events with an id that was there do not happen', () => {
  const { knobs } = scheduleOf(fc, SCHEDULES, 1)
  const kill = { id: 1, atMs: 30, type: 'kill', member: 0, downMs: 1 } as const
  const clock = { id: 2, atMs: 10, type: 'clock', member: 0, stepMs: 1 } as const
  const schedule: Schedule = {
    seed: 1,
    knobs: { ...knobs, faults: ['kill'] },
    events: [kill, clock, { ...kill, atMs: 5 }],
  }
  assert.deepEqual(effectiveEvents(schedule), [kill])
})
