/**
 * What goes wrong in a round of the level torture: processes killed or stopped, members cut off in one direction or
 * both, connections broken or slow. A pure function of the seed and the number of the round.
 */
import { keyedBelow } from '../../../src/base/prng.js'

/** Kinds of faults; each has an end, `forMs` after it began, and `break` is over at once. */
export type LevelFaultKind =
  /** kill -9 and, at its end, a new process. */
  | 'kill'
  /** SIGSTOP, and SIGCONT at its end. */
  | 'stop'
  /** Nothing passes between the member and the others. */
  | 'isolate'
  /** Nothing reaches it. */
  | 'deafen'
  /** Nothing of it reaches others. */
  | 'silence'
  /** Its connections break. */
  | 'break'
  /** What passes between it and the others takes long. */
  | 'slow'

/** One fault. */
export interface LevelFault {
  readonly kind: LevelFaultKind
  /** The leader of that moment, or the member with this number. */
  readonly victim: 'leader' | number
  /** Milliseconds after the round's begin. */
  readonly atMs: number
  readonly forMs: number
}

/** Beside a cut and a process that is struck. */
const OTHERS_MAX = 2
/** Weak reads are stale where the log does not arrive: every round has one of these. */
const CUTS: readonly LevelFaultKind[] = ['isolate', 'isolate', 'isolate', 'deafen', 'silence']
/** And one of these. */
const STRIKES: readonly LevelFaultKind[] = ['kill', 'kill', 'stop']
const ALL: readonly LevelFaultKind[] = [...STRIKES, 'break', 'slow', ...CUTS]
const FOR_MS_MIN = 100
/** Long enough for the others to elect a leader and go on, while the old one may still believe that it is one. */
const FOR_MS_MAX = 2_500

/** The faults of one round, in order of time. */
export function planLevels(
  seed: number,
  round: number,
  members: number,
  roundMs: number,
): readonly LevelFault[] {
  const draw = (bound: number, what: string, i: number): number =>
    keyedBelow(seed, bound, 'levels', round, what, i)
  const length = 2 + draw(OTHERS_MAX + 1, 'faults', 0)
  const faults = Array.from({ length }, (_, i): LevelFault => {
    const kinds = [CUTS, STRIKES][i] ?? ALL
    return {
      kind: kinds[draw(kinds.length, 'kind', i)]!,
      victim: draw(2, 'leader', i) === 0 ? 'leader' : draw(members, 'victim', i),
      atMs: draw(Math.floor(roundMs * 0.7), 'at', i),
      forMs: FOR_MS_MIN + draw(FOR_MS_MAX - FOR_MS_MIN, 'for', i),
    }
  })
  return faults.toSorted((a, b) => a.atMs - b.atMs)
}

/** A fault in words. */
export function describeLevelFault({ kind, victim, atMs, forMs }: LevelFault): string {
  const who = victim === 'leader' ? 'the leader' : `member ${victim}`
  return `${atMs} ms ${kind} ${who} for ${forMs} ms`
}
