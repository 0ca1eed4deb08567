/** What schedules are drawn from, by name, for properties of your own. Each takes the module `fast-check`. */
import {
  clientArbitrary,
  faultArbitrary,
  knobsArbitrary,
  scheduleArbitrary,
} from '../schedule/arbitraries.js'

/** Drawn at random, and shrunk towards few events, short times and harmless circumstances. */
export const arbitraries: {
  /** The circumstances of a run. */
  readonly knobs: typeof knobsArbitrary
  /** One fault. */
  readonly fault: typeof faultArbitrary
  /** What the simulator's own clients do. */
  readonly client: typeof clientArbitrary
  /** Whole schedules: actions of yours with faults in between. */
  readonly schedule: typeof scheduleArbitrary
} = {
  knobs: knobsArbitrary,
  fault: faultArbitrary,
  client: clientArbitrary,
  schedule: scheduleArbitrary,
}
