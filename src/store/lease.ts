/**
 * Leases: names with a time to live that values can be attached to (`put(key, value, { lease: lease.id })`), and that
 * go together with their keys when nobody keeps them alive.
 *
 * What holds here: the leader lets a lease live for `ttlMs` from when it has applied the last `keepAlive`, which was
 * sent before. So what this side counts from the sending (`remainingMs`) never ends later than the lease does, however
 * long the way is and whoever leads: as long as it is above 0, the lease lives.
 */
import { StoreError, type StoreErrorCode } from '../base/errors.js'

/** How a lease is to be kept. */
export interface LeaseOptions {
  /** `auto` (the default): kept alive every third of its time until it is revoked or lost. `manual`: by you. */
  readonly keepAlive?: 'auto' | 'manual'
}

/** Something that goes on beside the writes of a Store. */
export interface Companion {
  /** Called about every 50 ms. */
  tick(now: number): void
  /** The Store has ended. */
  end(error: unknown): void
}

/** What leases ask of their Store. */
export interface LeaseKeeper {
  /** On the clock of `tick`. */
  now(): number
  newLeaseId(): string
  /** False when it exists already. */
  grant(id: string, ttlMs: number): Promise<boolean>
  /** False when it does not exist (any more). */
  keepAlive(id: string): Promise<boolean>
  revoke(id: string): Promise<boolean>
  /** Lets `companion` go along until the returned function is called. */
  accompany(companion: Companion): () => void
}

const ENDING: readonly StoreErrorCode[] = [
  'QUORATE_NOT_OPEN',
  'QUORATE_STOPPED',
  'QUORATE_REMOVED',
  'QUORATE_NO_LEASE',
]
/** After an attempt that failed the next one comes no sooner. */
const RETRY_MS = 250

/** Grants a lease. */
export async function grantLease(
  keeper: LeaseKeeper,
  ttlMs: number,
  mode: 'auto' | 'manual',
): Promise<Lease> {
  for (;;) {
    const id = keeper.newLeaseId()
    const sentAt = keeper.now()
    if (await keeper.grant(id, ttlMs)) return new Lease(keeper, id, ttlMs, mode, sentAt)
  }
}

/**
 * A lease that was granted; made by `lease`. Holds a small record until it is revoked or lost.
 *
 * Whoever acts on the strength of a lease (a lock, a leadership of its own) acts only while `remainingMs` is above 0,
 * and lets what it writes depend on the lease.
 */
export class Lease implements AsyncDisposable {
  /** 16 hexadecimal digits; for `put(…, { lease })`, also by other clients. */
  readonly id: string
  /** How long it lives without being kept alive, in milliseconds. */
  readonly ttlMs: number
  /** Resolves with the reason when the lease is known to be gone, or when nobody keeps it alive here any more. */
  readonly lost: Promise<Error>
  readonly #keeper: LeaseKeeper
  readonly #leave: () => void
  #aliveUntil: number
  #nextAt: number
  #isKeeping = false
  #isLost = false
  #lose: (why: Error) => void = () => undefined

  /** @internal */
  constructor(
    keeper: LeaseKeeper,
    id: string,
    ttlMs: number,
    mode: 'auto' | 'manual',
    sentAt: number,
  ) {
    this.id = id
    this.ttlMs = ttlMs
    this.#keeper = keeper
    this.#aliveUntil = sentAt + ttlMs
    this.#nextAt = mode === 'auto' ? sentAt + ttlMs / 3 : Number.POSITIVE_INFINITY
    this.lost = new Promise((resolve) => {
      this.#lose = resolve
    })
    this.#leave = keeper.accompany({
      tick: (now) => this.#tick(now),
      end: (error) => this.#end(error),
    })
  }

  /**
   * For so long the lease certainly lives on, by this process's clock; 0 when it is not known to live. The leader's
   * clock is trusted to run no faster than this one.
   */
  get remainingMs(): number {
    return this.#isLost ? 0 : Math.max(0, this.#aliveUntil - this.#keeper.now())
  }

  /**
   * Lets it live for `ttlMs` from now on. Cost and errors as for a write.
   * @throws {StoreError} QUORATE_NO_LEASE it is gone, and its keys with it
   */
  async keepAlive(): Promise<void> {
    const sentAt = this.#keeper.now()
    const isAlive = await this.#keeper.keepAlive(this.id)
    if (!isAlive) {
      const error = new StoreError(
        'QUORATE_NO_LEASE',
        `the lease ${this.id} does not exist any more`,
      )
      this.#end(error)
      throw error
    }
    this.#aliveUntil = Math.max(this.#aliveUntil, sentAt + this.ttlMs)
  }

  /**
   * Ends the lease and removes the keys that are attached to it. Cost and errors as for a write.
   * @returns whether it was alive until then
   */
  async revoke(): Promise<boolean> {
    this.#nextAt = Number.POSITIVE_INFINITY
    this.#aliveUntil = 0
    const wasAlive = await this.#keeper.revoke(this.id)
    this.#end(new StoreError('QUORATE_NO_LEASE', `the lease ${this.id} was revoked`))
    return wasAlive
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isLost) await this.revoke()
  }

  #tick(now: number): void {
    if (now < this.#nextAt || this.#isKeeping) return
    this.#isKeeping = true
    this.#nextAt = now + this.ttlMs / 3
    this.keepAlive().then(
      () => {
        this.#isKeeping = false
      },
      (error: unknown) => this.#notKept(error),
    )
  }

  /** Tries again, unless that is in vain: until the lease is known to be gone it may live. */
  #notKept(error: unknown): void {
    this.#isKeeping = false
    if (error instanceof StoreError && !ENDING.includes(error.code)) {
      const isWanted = this.#nextAt !== Number.POSITIVE_INFINITY
      if (isWanted) this.#nextAt = this.#keeper.now() + RETRY_MS
    } else this.#end(error)
  }

  #end(error: unknown): void {
    if (this.#isLost) return
    this.#isLost = true
    this.#leave()
    this.#lose(error instanceof Error ? error : new Error(String(error)))
  }
}
