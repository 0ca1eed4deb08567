/** Clusters whose members come and go, and a writer that notices when one of its writes is lost. */
import assert from 'node:assert/strict'
import { StoreError } from '../../src/base/errors.js'
import { SimCluster } from '../../src/sim/sim-cluster.js'
import type { OpenOptions } from '../../src/store/open-options.js'

const SMALL = { storage: { segmentBytes: 64 * 1024, checkpointBytes: 64 * 1024 } }

/** One member that others can join, and that leads. */
export async function lone(seed: number, options: Partial<OpenOptions> = {}): Promise<SimCluster> {
  const cluster = await SimCluster.start(seed, ['a'], { ...SMALL, listen: 'a:7100', ...options })
  await cluster.awaitLeader()
  return cluster
}

/** The members a, b and c, one of which leads. */
export async function three(seed: number, options: Partial<OpenOptions> = {}): Promise<SimCluster> {
  const cluster = await SimCluster.start(seed, ['a', 'b', 'c'], { ...SMALL, ...options })
  await cluster.awaitLeader()
  return cluster
}

/** Starts a member and adds it, through `via`. */
export async function grow(cluster: SimCluster, via: string, name: string): Promise<void> {
  const added = cluster.store(via).members.add(name, cluster.addressOf(name))
  await cluster.run(Promise.all([added, cluster.join(name)]))
}

/** The members in order, learners in brackets, as the leader has them. */
export async function namesAt(cluster: SimCluster, via: string): Promise<string> {
  const { members } = await cluster.run(cluster.store(via).members.list())
  return members.map(({ id, as }) => (as === 'voter' ? id : `(${id})`)).join(' ')
}

/** Writes numbers one after the other through `via` until stopped; none that was acknowledged may be lost. */
export class Writer {
  readonly #cluster: SimCluster
  readonly #acknowledged: string[] = []
  #isOver = false
  #lastAt: number
  /** Virtual time between two acknowledgements. */
  longestGapMs = 0
  readonly #work: Promise<void>

  constructor(cluster: SimCluster, via: string) {
    this.#cluster = cluster
    this.#lastAt = cluster.world.now
    this.#work = this.#run(via)
  }

  async #run(via: string): Promise<void> {
    const store = this.#cluster.store(via)
    for (let i = 0; !this.#isOver; i++) {
      const key = `${via}${i}`
      await store.put(key, i, { timeoutMs: 30_000 })
      this.#acknowledged.push(key)
      const { world } = this.#cluster
      this.longestGapMs = Math.max(this.longestGapMs, world.now - this.#lastAt)
      this.#lastAt = world.now
      await new Promise<void>((resolve) => {
        world.schedule(20, resolve)
      })
    }
  }

  async stop(): Promise<void> {
    this.#isOver = true
    await this.#cluster.run(this.#work)
  }

  async verify(via: string): Promise<void> {
    assert.ok(this.#acknowledged.length > 10, `${this.#acknowledged.length} writes`)
    const values = await this.#cluster.run(this.#cluster.store(via).getMany(this.#acknowledged))
    assert.deepEqual(
      values,
      this.#acknowledged.map((_, i) => i),
    )
  }
}

/** For assert.rejects: an operating error with this code, and outcome. */
export function hasCode(code: string, outcome?: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof StoreError, String(error))
    assert.equal(error.code, code, error.message)
    if (outcome !== undefined) assert.equal(error.outcome, outcome)
    return true
  }
}
