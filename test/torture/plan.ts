/**
 * What goes wrong in a round: which members are killed or stopped, when, and for how long. A pure function of
 * the seed and the number of the round, so that a run is repeated by its seed (its timing is the machine's).
 */
import { keyedBelow } from '../../src/base/prng.js'

/**
 * `kill` is kill -9 and a restart after `forMs`; `stop` is SIGSTOP and SIGCONT after `forMs`; `fill` takes the space
 * of the disk, all but `freeBytes`, for `forMs`.
 */
export interface Fault {
  readonly kind: 'kill' | 'stop' | 'fill'
  /** The leader of that moment, or the member with this number. */
  readonly victim: 'leader' | number
  /** Milliseconds after the round's begin. */
  readonly atMs: number
  readonly forMs: number
  readonly freeBytes: number
}

const FAULTS_MAX = 3
const STOP_MS_MIN = 100
const STOP_MS_MAX = 2_500
const DOWN_MS_MAX = 600
const FULL_MS_MIN = 300
const FULL_MS_MAX = 4_000
const MIB = 1024 * 1024
/** Of 8 MiB that are to be free: enough to go on for a while, to begin nothing, and nothing. */
const FREE_BYTES = [7 * MIB, 3 * MIB, MIB, 65_536, 0, 0] as const

/** The faults of one round, in order of time; at least one. */
export function planRound(
  seed: number,
  round: number,
  members: number,
  roundMs: number,
): readonly Fault[] {
  const draw = (bound: number, what: string, i: number): number =>
    keyedBelow(seed, bound, round, what, i)
  const faultCount = 1 + draw(FAULTS_MAX, 'faults', 0)
  const faults = Array.from({ length: faultCount }, (_, i): Fault => {
    const kind = draw(3, 'kind', i) === 0 ? 'stop' : 'kill'
    const stopMs = STOP_MS_MIN + draw(STOP_MS_MAX - STOP_MS_MIN, 'stop', i)
    return {
      kind,
      victim: draw(2, 'leader', i) === 0 ? 'leader' : draw(members, 'victim', i),
      atMs: draw(Math.floor(roundMs * 0.7), 'at', i),
      forMs: kind === 'stop' ? stopMs : draw(DOWN_MS_MAX, 'down', i),
      freeBytes: 0,
    }
  })
  return inOrder(faults)
}

/** The disks that run full in one round: one, two or all, and each with some space left or none. */
export function planFullDisks(
  seed: number,
  round: number,
  members: number,
  roundMs: number,
): readonly Fault[] {
  const draw = (bound: number, what: string, i: number): number =>
    keyedBelow(seed, bound, round, 'full', what, i)
  const first = draw(members, 'first', 0)
  const faults = Array.from(
    { length: 1 + draw(members, 'disks', 0) },
    (_, i): Fault => ({
      kind: 'fill',
      victim: (first + i) % members,
      atMs: draw(Math.floor(roundMs * 0.7), 'at', i),
      forMs: FULL_MS_MIN + draw(FULL_MS_MAX - FULL_MS_MIN, 'for', i),
      freeBytes: FREE_BYTES[draw(FREE_BYTES.length, 'free', i)]!,
    }),
  )
  return inOrder(faults)
}

function inOrder(faults: readonly Fault[]): Fault[] {
  return faults.toSorted((a, b) => a.atMs - b.atMs)
}

/** A fault in words. */
export function describeFault({ kind, victim, atMs, forMs, freeBytes }: Fault): string {
  const who = victim === 'leader' ? 'the leader' : `member ${victim}`
  if (kind === 'fill') {
    return `${atMs} ms ${freeBytes / 1024} KiB left on the disk of ${who} for ${forMs} ms`
  }
  const what = kind === 'kill' ? 'kill -9' : 'SIGSTOP'
  return `${atMs} ms ${what} ${who} for ${forMs} ms`
}
