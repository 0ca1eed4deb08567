/**
 * The simulator's own runs by number: a seed gives a schedule, through fast-check, and a failing schedule is shrunk
 * to what matters of it.
 */
import type FastCheck from 'fast-check'
import type { Arbitrary } from 'fast-check'
import { clientArbitrary, knobsArbitrary, scheduleArbitrary } from '../schedule/arbitraries.js'
import { GENERAL, PROFILES } from '../schedule/profiles.js'
import type { ClientEvent, FaultClass, Schedule } from '../schedule/schedule.js'

const EVENTS_MAX = 400

/** The schedules of the simulator's own workload: each is drawn towards something. */
export function ownSchedules(fc: typeof FastCheck): Arbitrary<Schedule> {
  const profiles = PROFILES.map((profile) => {
    const { weight, knobs, clients } = profile
    const faults = profile === GENERAL ? undefined : (Object.keys(profile.faults) as FaultClass[])
    const arbitrary = scheduleArbitrary<ClientEvent>(fc, {
      maxEvents: EVENTS_MAX,
      durationMs: profile.durationMs,
      actions: clientArbitrary(fc, clients),
      knobs: knobsArbitrary(fc, knobs, faults),
      profile,
    })
    return { weight, arbitrary }
  })
  return fc.oneof(...profiles)
}

/** The schedule of `seed`; the same for the same version of fast-check. */
export function scheduleOf<S>(fc: typeof FastCheck, schedules: Arbitrary<S>, seed: number): S {
  const [schedule] = fc.sample(schedules, { ...ONE_RUN, seed })
  return schedule!
}

/** One value, drawn without the preference for small ones that fast-check begins with. */
export const ONE_RUN = { numRuns: 1, unbiased: true } as const
