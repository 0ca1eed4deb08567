/**
 * Schedules for fast-check: drawn at random, and shrunk towards few events, short times and harmless knobs.
 *
 * Seeds and ids do not shrink: they key the draws of a run, and another key is another run.
 */
import type FastCheck from 'fast-check'
import type { Arbitrary, MaybeWeightedArbitrary } from 'fast-check'
import { clientArbitraries } from './client-arbitraries.js'
import {
  CLIENT_WEIGHTS,
  FAULT_WEIGHTS,
  GENERAL,
  KNOB_CHOICES,
  type KnobChoices,
  type Profile,
  type Weights,
} from './profiles.js'
import {
  type Action,
  type ClientEvent,
  FAILING_OPERATIONS,
  FAULT_CLASSES,
  type FaultClass,
  type FaultEvent,
  type Knobs,
  type MembershipChange,
  type Schedule,
  type ScheduleEvent,
  type Step,
  WHOEVER_LEADS,
} from './schedule.js'

/** What schedules are drawn from. */
export interface ScheduleParts<A extends Action> {
  readonly maxEvents: number
  /** The events happen within so many virtual milliseconds. */
  readonly durationMs: number
  readonly actions: Arbitrary<A>
  readonly knobs: Arbitrary<Knobs>
  /** Classes of faults to draw; default all. Which of them happen is up to the knobs. */
  readonly faults?: readonly FaultClass[]
  /** How often and when what happens; default at any time, of everything something. */
  readonly profile?: Pick<Profile, 'faults' | 'clientShare' | 'times'>
}

/** Those first that leave a cluster as able as it was. */
const MEMBERSHIP_CHANGES: readonly MembershipChange[] = [
  'add',
  'replace',
  'replace',
  'promote',
  'remove',
  'addLearner',
  'demote',
]
/** From one burst to the next. */
const BURST_EVERY_MS = 400
/** How long after the beginning of a burst. */
const WITHIN_BURST_MS: readonly number[] = [0, 0, 1, 5, 30]
const SEED_MAX = 2 ** 31 - 1

/** Schedules of `actions` by clients, with faults in between. `fc` is the module `fast-check`. */
export function scheduleArbitrary<A extends Action>(
  fc: typeof FastCheck,
  parts: ScheduleParts<A>,
): Arbitrary<Schedule<A>> {
  return fc.record({
    seed: fc.noShrink(fc.nat(SEED_MAX)),
    knobs: parts.knobs,
    events: fc.array(eventArbitrary(fc, parts), { maxLength: parts.maxEvents, size: 'max' }),
  })
}

/**
 * The circumstances of a run. The harmless value of each comes first; `choices` go before those that there are.
 * @param faults classes of faults that are switched on; default some, drawn
 */
export function knobsArbitrary(
  fc: typeof FastCheck,
  choices: Partial<KnobChoices> = {},
  faults?: readonly FaultClass[],
): Arbitrary<Knobs> {
  const all: KnobChoices = { ...KNOB_CHOICES, ...choices }
  const drawn = Object.entries(all).map(([name, values]) => [name, fc.constantFrom(...values)])
  const enabled = faults === undefined ? fc.subarray([...FAULT_CLASSES]) : fc.constant(faults)
  return fc.record({ ...Object.fromEntries(drawn), faults: enabled })
}

function eventArbitrary<A extends Action>(
  fc: typeof FastCheck,
  { durationMs, actions, faults = FAULT_CLASSES, profile = GENERAL }: ScheduleParts<A>,
): Arbitrary<ScheduleEvent<A>> {
  const atMs = profile.times === 'spread' ? fc.nat(durationMs) : burstArbitrary(fc, durationMs)
  const step = fc.record({ id: fc.noShrink(fc.maxSafeNat()), atMs })
  const classes = faults.filter((name) => profile.faults[name] !== undefined)
  const what: Arbitrary<A | FaultEvent> =
    classes.length === 0
      ? actions
      : fc.oneof(
          { weight: profile.clientShare, arbitrary: actions },
          {
            weight: 100 - profile.clientShare,
            arbitrary: faultArbitrary(fc, classes, profile.faults),
          },
        )
  return fc.tuple(step, what).map(([when, does]: [Step, A | FaultEvent]) => ({ ...when, ...does }))
}

/** Times at which several things happen. */
function burstArbitrary(fc: typeof FastCheck, durationMs: number): Arbitrary<number> {
  return fc
    .tuple(fc.nat(Math.ceil(durationMs / BURST_EVERY_MS)), fc.constantFrom(...WITHIN_BURST_MS))
    .map(([burst, within]) => burst * BURST_EVERY_MS + within)
}

/** What the simulator's own clients do. */
export function clientArbitrary(
  fc: typeof FastCheck,
  weights: Weights<ClientEvent['type']> = CLIENT_WEIGHTS,
): Arbitrary<ClientEvent> {
  return oneOf(fc, clientArbitraries(fc), weights)
}

/** One fault, of the classes named; default any. */
export function faultArbitrary(
  fc: typeof FastCheck,
  classes: readonly FaultClass[] = FAULT_CLASSES,
  weights: Weights<FaultClass> = FAULT_WEIGHTS,
): Arbitrary<FaultEvent> {
  const wanted = Object.entries(weights).filter(([name]) => classes.includes(name as FaultClass))
  return oneOf(fc, faultArbitraries(fc), Object.fromEntries(wanted))
}

/** One of those that have a weight. */
function oneOf<T, N extends string>(
  fc: typeof FastCheck,
  arbitraries: Record<N, Arbitrary<T>>,
  weights: Weights<N>,
): Arbitrary<T> {
  const names = Object.keys(arbitraries) as N[]
  return fc.oneof(
    ...names.map((name): MaybeWeightedArbitrary<T> => {
      return { weight: weights[name] ?? 0, arbitrary: arbitraries[name] }
    }),
  )
}

/** By class. The order counts: seeds give other schedules in another one. */
function faultArbitraries(fc: typeof FastCheck): Record<FaultClass, Arbitrary<FaultEvent>> {
  const member = fc.nat(WHOEVER_LEADS + 3)
  const pair = { from: member, to: member }
  const mode = fc.constantFrom(
    'none' as const,
    'prefix' as const,
    'torn' as const,
    'arbitrary' as const,
  )
  const downMs = fc.constantFrom(10, 300, 3000)
  // Less than an election takes, about as much, and more, with every setting of the clock.
  const ms = fc.constantFrom(50, 400, 800, 2000, 5000)
  const is = <T extends string>(type: T) => fc.constant(type)
  const stepMs = fc.integer({ min: -60_000, max: 60_000 })
  return {
    kill: fc.record({ type: is('kill'), member, downMs }),
    powerCut: fc.record({ type: is('powerCut'), member, mode, downMs }),
    blackout: fc.record({ type: is('blackout'), mode, downMs }),
    close: fc.record({ type: is('close'), member, downMs }),
    pause: fc.record({ type: is('pause'), member, ms }),
    isolate: fc.record({ type: is('isolate'), member, ms }),
    partition: fc.record({ type: is('partition'), side: fc.integer({ min: 1, max: 30 }), ms }),
    oneWayCut: fc.record({ type: is('oneWayCut'), ...pair, ms }),
    clog: fc.record({ type: is('clog'), ...pair, ms }),
    break: fc.record({ type: is('break'), ...pair }),
    slowDisk: fc.record({
      type: is('slowDisk'),
      member,
      factor: fc.constantFrom(10, 50, 300, 1000),
      ms,
      end: fc.oneof(fc.constant('recovers' as const), mode),
    }),
    fullDisk: fc.record({
      type: is('fullDisk'),
      member,
      freeBytes: fc.constantFrom(0, 5000, 60_000),
      ms,
    }),
    diskError: fc.record({
      type: is('diskError'),
      member,
      operation: fc.constantFrom(...FAILING_OPERATIONS),
    }),
    flushError: fc.record({ type: is('flushError'), member }),
    clock: fc.record({ type: is('clock'), member, stepMs }),
    stateLoss: fc.record({ type: is('stateLoss'), member, downMs }),
    transfer: fc.record({ type: is('transfer'), member, to: member }),
    rot: fc.record({
      type: is('rot'),
      member,
      at: fc.nat(1_000_000),
      how: fc.constantFrom('flip' as const, 'lost' as const, 'misdirected' as const),
      found: fc.constantFrom('now' as const, 'later' as const),
    }),
    membership: fc.record({
      type: is('membership'),
      member,
      change: fc.constantFrom(...MEMBERSHIP_CHANGES),
      who: fc.nat(6),
    }),
    shardLoss: fc.record({ type: is('shardLoss'), member, downMs }),
    shardRot: fc.record({
      type: is('shardRot'),
      member,
      at: fc.nat(1_000_000),
      how: fc.constantFrom('flip' as const, 'lost' as const, 'misdirected' as const),
      found: fc.constantFrom('now' as const, 'later' as const),
    }),
  } as Record<FaultClass, Arbitrary<FaultEvent>>
}
