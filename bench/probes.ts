/**
 * What an application sees of a store while things go wrong: every few milliseconds it begins a write and a read of
 * each level, whatever became of earlier ones, and keeps when they were answered.
 *
 * Bounded: an operation ends with its time-out, and no more than OUTSTANDING_MAX of a kind are under way.
 */
import { type Handle, type Store, StoreError } from '../src/index.js'
import { sharedNow } from './pace.js'
import { keyOf, makeValue } from './workload.js'

/** The operations that are tried. */
export const PROBED = ['put', 'get, strong', 'get, session', 'get, eventual'] as const

/** One of them. */
export type Probed = (typeof PROBED)[number]

/** What became of one kind of operation; times are those of `sharedNow`. */
export interface ProbeLog {
  /** When operations were answered with success, rising. */
  readonly answeredAt: readonly number[]
  /** Failures by error code. */
  readonly failures: Readonly<Record<string, number>>
}

export const PROBE_EVERY_MS = 10
const OUTSTANDING_MAX = 400
const TIMEOUT_MS = 3_000
const KEY = keyOf(0)
const VALUE = makeValue(128, 0)

/** Running probes. Stop them. */
export class Probes {
  readonly #calls: Readonly<Record<Probed, () => Promise<unknown>>>
  readonly #logs = new Map<Probed, { answeredAt: number[]; failures: Map<string, number> }>()
  readonly #outstanding = new Map<Probed, number>()
  readonly #timer: NodeJS.Timeout

  constructor(store: Store) {
    // The session writes as well, so that its reads have something to wait for.
    const session = store.session()
    this.#calls = {
      put: () => session.put(KEY, VALUE, { timeoutMs: TIMEOUT_MS }),
      'get, strong': () => read(store, 'strong'),
      'get, session': () => read(session, 'session'),
      'get, eventual': () => read(store, 'eventual'),
    }
    for (const kind of PROBED) {
      this.#logs.set(kind, { answeredAt: [], failures: new Map() })
      this.#outstanding.set(kind, 0)
    }
    this.#timer = setInterval(() => this.#turn(), PROBE_EVERY_MS)
  }

  /** Whether operations of every kind were answered after `time`. */
  allAnsweredSince(time: number): boolean {
    return PROBED.every((kind) => (this.#logs.get(kind)!.answeredAt.at(-1) ?? 0) > time)
  }

  /** Begins no more; what is under way is forgotten. */
  stop(): Readonly<Record<Probed, ProbeLog>> {
    clearInterval(this.#timer)
    const logs = PROBED.map((kind) => {
      const { answeredAt, failures } = this.#logs.get(kind)!
      return [kind, { answeredAt: [...answeredAt], failures: Object.fromEntries(failures) }]
    })
    return Object.fromEntries(logs) as Record<Probed, ProbeLog>
  }

  #turn(): void {
    for (const kind of PROBED) {
      const outstanding = this.#outstanding.get(kind)!
      if (outstanding >= OUTSTANDING_MAX) continue
      this.#outstanding.set(kind, outstanding + 1)
      const { answeredAt, failures } = this.#logs.get(kind)!
      this.#calls[kind]().then(
        () => {
          answeredAt.push(sharedNow())
          this.#end(kind)
        },
        (error: unknown) => {
          const code = error instanceof StoreError ? error.code : String(error)
          failures.set(code, (failures.get(code) ?? 0) + 1)
          this.#end(kind)
        },
      )
    }
  }

  #end(kind: Probed): void {
    this.#outstanding.set(kind, this.#outstanding.get(kind)! - 1)
  }
}

function read(handle: Handle, consistency: 'strong' | 'session' | 'eventual'): Promise<unknown> {
  return handle.get(KEY, { consistency, timeoutMs: TIMEOUT_MS })
}
