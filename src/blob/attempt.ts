/**
 * One attempt to store one part: its shards go to all members, and it has succeeded when so many of them are durable
 * that the part is covered (I1). Shards of different attempts are never mixed: each attempt is a part of its own, with
 * a number of its own (I4).
 */
import { StoreError } from '../base/errors.js'
import { coverageOf } from '../machine/coverage.js'
import type { NodeId } from '../raft/types.js'
import type { BlobPart, ShardHolder } from '../wire/manifest.js'
import type { Shard } from '../wire/shard.js'
import { type BlobCluster, isOperating } from './cluster.js'
import type { Sending, SendResult, ShardSender } from './shard-sender.js'

/** What an attempt works with. */
export interface AttemptParts {
  readonly cluster: BlobCluster
  readonly sender: ShardSender
  /** Stores a shard of this member; rejects when it cannot. */
  store(shard: Shard): Promise<void>
  now(): number
  /** Resolves when another attempt to store is worth it. */
  pause(): Promise<void>
  /** Takes charge of work that goes on after this turn and never rejects. */
  own(work: Promise<void>): void
  /** Something failed that cannot be lived with. */
  fail(error: unknown): void
}

/** The part that is stored. */
export type AttemptedPart = Pick<BlobPart, 'number' | 'bytes' | 'dataShards' | 'digest'>

/** See the file's comment. */
export class Attempt {
  readonly part: AttemptedPart
  /** Resolves once: whether the part is covered. Later acknowledgements still count for its manifest. */
  readonly covered: Promise<boolean>
  readonly #parts: AttemptParts
  readonly #holders: readonly ShardHolder[]
  readonly #digests: readonly Buffer[]
  readonly #durable = new Set<NodeId>()
  readonly #pending = new Set<NodeId>()
  readonly #sendings: Sending[] = []
  #settle: (isCovered: boolean) => void = () => {}
  #isSettled = false
  #progressAt: number

  /** @param shards in the order of `holders` */
  constructor(
    parts: AttemptParts,
    part: AttemptedPart,
    holders: readonly ShardHolder[],
    shards: readonly Shard[],
  ) {
    this.#parts = parts
    this.part = part
    this.#holders = holders
    this.#digests = shards.map(({ digest }) => digest)
    this.#progressAt = parts.now()
    this.covered = new Promise((resolve) => {
      this.#settle = resolve
    })
    this.#begin(shards)
  }

  /** As it stands in the manifest. */
  get described(): BlobPart {
    const durable = this.#holders.map(({ node }) => this.#durable.has(node))
    return { ...this.part, durable, digests: this.#digests }
  }

  /** Called with every tick: without progress for `stallMs` it has failed. */
  tick(now: number, stallMs: number): void {
    if (this.#isSettled) return
    if (now - this.#progressAt >= stallMs) this.#end(false)
    else this.#look()
  }

  /** It has failed, whatever comes. */
  giveUp(): void {
    this.#end(false)
  }

  #begin(shards: readonly Shard[]): void {
    const { cluster, sender } = this.#parts
    for (const { node } of this.#holders) {
      if (node === cluster.self || cluster.isUp(node)) this.#pending.add(node)
    }
    for (const [i, { node }] of this.#holders.entries()) {
      const shard = shards[i]!
      if (node === cluster.self) this.#parts.own(this.#storeOwn(shard))
      else if (this.#pending.has(node)) {
        const done = (result: SendResult) => this.#onResult(node, result)
        this.#sendings.push(sender.send(node, shard.parts, done))
      }
    }
    this.#look()
  }

  async #storeOwn(shard: Shard): Promise<void> {
    const { self } = this.#parts.cluster
    try {
      while (!(await this.#hasStored(shard))) {
        if (this.#isSettled) return
        await this.#parts.pause()
      }
      this.#onResult(self, 'stored')
    } catch (error) {
      if (!isOperating(error)) this.#parts.fail(error)
      // This member's disk is as good as any other's: the others may do without it.
      this.#onResult(self, 'noSpace')
    }
  }

  /** False while too much is on its way to the disk. */
  async #hasStored(shard: Shard): Promise<boolean> {
    try {
      await this.#parts.store(shard)
      return true
    } catch (error) {
      if (error instanceof StoreError && error.code === 'QUORATE_OVERLOADED') return false
      throw error
    }
  }

  #onResult(node: NodeId, result: SendResult): void {
    this.#pending.delete(node)
    if (result === 'stored') {
      this.#durable.add(node)
      this.#progressAt = this.#parts.now()
    }
    this.#look()
  }

  /** Whether it is decided. */
  #look(): void {
    if (this.#isSettled) return
    if (this.#isCoveredBy(({ node }) => this.#durable.has(node))) this.#end(true)
    else if (!this.#isCoveredBy(({ node }) => this.#durable.has(node) || this.#pending.has(node))) {
      this.#end(false)
    }
  }

  #isCoveredBy(has: (holder: ShardHolder) => boolean): boolean {
    const { members } = this.#parts.cluster
    return coverageOf(this.#holders.filter(has), members) >= this.part.dataShards
  }

  #end(isCovered: boolean): void {
    if (this.#isSettled) return
    this.#isSettled = true
    const { sender } = this.#parts
    // Their bytes go with them: the attempt itself is kept for the manifest, however long the value is.
    for (const sending of this.#sendings.splice(0)) {
      if (isCovered) sender.spare(sending)
      else sender.cancel(sending)
    }
    this.#settle(isCovered)
  }
}
