/**
 * Which of several members serves the next weak read: pure decisions over what is known of each.
 *
 * A member that failed FAILURES_MAX times in a row is ejected: not chosen for a while, longer each time (EJECT_MS_MIN
 * to EJECT_MS_MAX). When that is over a probe has to succeed before it is chosen again. A member is slow when its
 * latency is more than SLOW_FACTOR times that of the fastest, and SLOW_MS more; it is not chosen while there are
 * others.
 *
 * Invariants:
 *   1. somebody is chosen whenever there is a candidate: when all are ejected, the one whose time is over first
 *   2. an ejected or slow one is chosen only when there is no better one
 */
import { unreachable } from '../../base/assert.js'

/** How weak reads are spread over the members. */
export type Balance = 'nearest' | 'round-robin' | 'random' | 'least-outstanding'

/** The ways to balance by name. */
export const BALANCES: readonly Balance[] = [
  'nearest',
  'round-robin',
  'random',
  'least-outstanding',
]

/** What is known about how well a member answers; replaced, never changed. */
export interface Health {
  /** A moving average; undefined before the first answer. */
  readonly latencyMs: number | undefined
  /** In a row. */
  readonly failures: number
  /** In a row: what makes the next one longer. */
  readonly ejections: number
  readonly state: 'good' | 'ejected'
  /** An ejected one is probed from then on. */
  readonly ejectedUntil: number
}

/** One that may be chosen. */
export interface Candidate {
  readonly health: Health
  /** What counts: the average, or for how long it has not answered a probe, if that is longer. */
  readonly latencyMs: number
  /** What was asked of it and is not answered. */
  readonly outstanding: number
}

/** A member about which nothing is known. */
export const UNKNOWN: Health = {
  latencyMs: undefined,
  failures: 0,
  ejections: 0,
  state: 'good',
  ejectedUntil: 0,
}

const FAILURES_MAX = 3
const EJECT_MS_MIN = 1_000
const EJECT_MS_MAX = 30_000
const SLOW_FACTOR = 8
const SLOW_MS = 20
/** The share of the newest sample in the average. */
const NEWEST = 0.25
/** `nearest` stays where it is unless another one is so much faster: no going to and fro over noise. */
const STAY_FACTOR = 0.7
const STAY_MS = 0.2

/** It answered, in `latencyMs`. */
export function onAnswer(health: Health, latencyMs: number): Health {
  const before = health.latencyMs ?? latencyMs
  const average = before + NEWEST * (latencyMs - before)
  if (health.state === 'good') return { ...health, latencyMs: average, failures: 0 }
  return { ...health, latencyMs: average }
}

/** A probe was answered; an ejected member whose time is over is in again. */
export function onProbe(health: Health, latencyMs: number, now: number): Health {
  const next = onAnswer(health, latencyMs)
  if (next.state === 'good') return { ...next, ejections: Math.max(0, next.ejections - 0.125) }
  if (now < next.ejectedUntil) return next
  // What it took while it was in trouble says nothing about now.
  return { ...next, latencyMs, state: 'good', failures: 0 }
}

/** It failed to answer, or could not do what it should. */
export function onFailure(health: Health, now: number): Health {
  const failures = health.failures + 1
  if (failures < FAILURES_MAX) return { ...health, failures }
  const ejections = Math.ceil(health.ejections) + 1
  const forMs = Math.min(EJECT_MS_MAX, EJECT_MS_MIN * 2 ** (ejections - 1))
  return { ...health, failures: 0, ejections, state: 'ejected', ejectedUntil: now + forMs }
}

/** Those that are neither ejected nor slow; when all are ejected, the one whose time is over first. */
export function eligibleOf<C extends Candidate>(candidates: readonly C[]): C[] {
  const good = candidates.filter(({ health }) => health.state === 'good')
  if (good.length === 0) {
    const until = ({ health }: C) => health.ejectedUntil
    return candidates.toSorted((a, b) => until(a) - until(b)).slice(0, 1)
  }
  const best = Math.min(...good.map(({ latencyMs }) => latencyMs))
  const bound = Math.max(best * SLOW_FACTOR, best + SLOW_MS)
  return good.filter(({ latencyMs }) => latencyMs <= bound)
}

/** What the choices before were. */
export interface Turn<C> {
  /** How many there were. */
  readonly count: number
  /** Who was chosen last. */
  readonly last: C | undefined
  /** Draws a number from 0 to below 1. */
  draw(): number
}

/** The one of `eligible` to ask next; undefined when there is none. */
export function choose<C extends Candidate>(
  balance: Balance,
  eligible: readonly C[],
  { count, last, draw }: Turn<C>,
): C | undefined {
  if (eligible.length <= 1) return eligible[0]
  switch (balance) {
    case 'nearest':
      return nearest(eligible, last)
    case 'round-robin':
      return eligible[count % eligible.length]
    case 'random':
      return eligible[Math.floor(draw() * eligible.length)]
    case 'least-outstanding':
      return leastOutstanding(eligible, count)
    default:
      return unreachable(balance)
  }
}

function nearest<C extends Candidate>(eligible: readonly C[], last: C | undefined): C {
  let best = eligible[0]!
  for (const candidate of eligible) if (candidate.latencyMs < best.latencyMs) best = candidate
  if (last === undefined || !eligible.includes(last)) return best
  const isWorthIt = best.latencyMs < last.latencyMs * STAY_FACTOR - STAY_MS
  return isWorthIt ? best : last
}

/** Of equally busy ones each in turn. */
function leastOutstanding<C extends Candidate>(eligible: readonly C[], count: number): C {
  const first = count % eligible.length
  let best = eligible[first]!
  for (let i = 1; i < eligible.length; i++) {
    const candidate = eligible[(first + i) % eligible.length]!
    if (candidate.outstanding < best.outstanding) best = candidate
  }
  return best
}
