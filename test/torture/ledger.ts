/**
 * What the writers know: which values they tried to write, which were acknowledged, and so which a strong read
 * may return.
 *
 * Each key is written by one writer, once a round, and tried again with the same bytes until it is
 * acknowledged. The rule for a strong read after all writers have paused: the last acknowledged value, or a
 * value whose write ended without a certain outcome (it may take effect at any time, even late).
 */
import { keyedU32 } from '../../src/base/prng.js'

/** What a read returned that it may not. */
export interface Violation {
  readonly kind: 'lost' | 'stale' | 'never written'
  readonly key: string
  readonly found: string
  readonly expected: string
}

interface KeyState {
  /** The newest round whose value was acknowledged; undefined when none was. */
  acknowledged: number | undefined
  /** Rounds whose value was sent at least once without a certain outcome. */
  readonly uncertain: Set<number>
}

/** The bytes that `key` gets in `round`: text that names both, and seeded filling up to 2 KiB. */
export function valueFor(seed: number, key: string, round: number): Buffer {
  const filling = keyedU32(seed, key, round, 'length') % 2048
  const fill = keyedU32(seed, key, round, 'fill') % 256
  return Buffer.concat([Buffer.from(`${key}@${round};`), Buffer.alloc(filling, fill)])
}

/** The book of one run. */
export class Ledger {
  readonly #seed: number
  readonly #keys = new Map<string, KeyState>()
  #acknowledged = 0

  constructor(seed: number) {
    this.#seed = seed
  }

  /** Acknowledged writes so far. */
  get acknowledged(): number {
    return this.#acknowledged
  }

  /** Keys that were ever tried. */
  get keys(): readonly string[] {
    return [...this.#keys.keys()]
  }

  /** An attempt ended without a certain outcome. */
  noteUncertain(key: string, round: number): void {
    this.#state(key).uncertain.add(round)
  }

  noteAcknowledged(key: string, round: number): void {
    this.#state(key).acknowledged = round
    this.#acknowledged++
  }

  /** Judges what a strong read of `key` returned; undefined when it may. */
  judge(key: string, found: Uint8Array | undefined): Violation | undefined {
    if (found === undefined) return this.judgeRound(key, undefined)
    const round = this.#roundOf(key, found)
    if (round !== undefined) return this.judgeRound(key, round)
    const text = Buffer.from(found).toString('latin1', 0, 60)
    return { kind: 'never written', key, found: text, expected: this.#expected(key) }
  }

  /** The same of a value that is known to be the one of `round`; undefined: there was none. */
  judgeRound(key: string, round: number | undefined): Violation | undefined {
    const { acknowledged, uncertain } = this.#state(key)
    if (round === undefined) {
      if (acknowledged === undefined) return undefined
      return { kind: 'lost', key, found: 'nothing', expected: `round ${acknowledged}` }
    }
    if (round === acknowledged || uncertain.has(round)) return undefined
    return { kind: 'stale', key, found: `round ${round}`, expected: this.#expected(key) }
  }

  #expected(key: string): string {
    const { acknowledged, uncertain } = this.#state(key)
    const allowed = new Set(uncertain)
    if (acknowledged !== undefined) allowed.add(acknowledged)
    return `round ${[...allowed].join(' or ')}`
  }

  /** The round that gave `key` exactly these bytes. */
  #roundOf(key: string, found: Uint8Array): number | undefined {
    const text = Buffer.from(found).toString('latin1', 0, key.length + 12)
    const round = Number(text.slice(key.length + 1).split(';')[0])
    if (!Number.isSafeInteger(round)) return undefined
    return valueFor(this.#seed, key, round).equals(found) ? round : undefined
  }

  #state(key: string): KeyState {
    let state = this.#keys.get(key)
    if (state === undefined) {
      state = { acknowledged: undefined, uncertain: new Set() }
      this.#keys.set(key, state)
    }
    return state
  }
}
