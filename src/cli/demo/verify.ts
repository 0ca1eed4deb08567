/** Reads everything back, at every level from every member, and compares it with what was written. */
import type { ReadLevel } from '../../index.js'
import type { MemberOperations } from '../processes/operations.js'
import type { LivingSeat, ProcessCluster } from '../processes/process-cluster.js'

/** Keys asked for in one call to a member's process. */
const KEYS_PER_CALL = 64
const READS_IN_FLIGHT = 16

/** The levels, the strictest first. */
export const LEVELS: readonly ReadLevel[] = ['strong', 'session', 'eventual']

/** One value that was not what had been acknowledged. */
export interface Fault {
  readonly kind: 'lost' | 'wrong'
  readonly key: string
  readonly member: string
  readonly level: ReadLevel
}

/** What reading everything back found. */
export interface Verification {
  readonly faults: readonly Fault[]
  /** Milliseconds of each read in the process of the member that served it, by level. */
  readonly latencies: ReadonlyMap<ReadLevel, readonly number[]>
}

/**
 * Reads every key of `expected` (key to SHA-256) from every member at every level. `token` is the position
 * that session reads must have seen. Calls `onRead` with the count of reads after each group of them.
 */
export async function verify(
  cluster: ProcessCluster<MemberOperations>,
  expected: ReadonlyMap<string, string>,
  token: string | undefined,
  onRead: (reads: number) => void,
): Promise<Verification> {
  const faults: Fault[] = []
  const latencies = new Map<ReadLevel, number[]>(LEVELS.map((level) => [level, []]))
  const keys = [...expected.keys()]
  for (const seat of cluster.living) {
    for (const level of LEVELS) {
      for (let at = 0; at < keys.length; at += KEYS_PER_CALL) {
        const group = keys.slice(at, at + KEYS_PER_CALL)
        const readings = await read(seat, group, level, token)
        for (const [i, { sha256, milliseconds }] of readings.entries()) {
          const key = group[i]!
          latencies.get(level)!.push(milliseconds)
          if (sha256 === expected.get(key)) continue
          const kind = sha256 === undefined ? 'lost' : 'wrong'
          faults.push({ kind, key, member: seat.id, level })
        }
        onRead(group.length)
      }
    }
  }
  return { faults, latencies }
}

function read(
  seat: LivingSeat<MemberOperations>,
  keys: readonly string[],
  level: ReadLevel,
  token: string | undefined,
): ReturnType<typeof seat.child.call<'read'>> {
  return seat.child.call('read', { keys, level, token, inFlight: READS_IN_FLIGHT })
}
