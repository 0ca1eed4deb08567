/** The cluster as those who handle shards see it, and the small things that they share. */
import { StoreError } from '../base/errors.js'
import type { ShardMembers } from '../machine/coverage.js'
import type { NodeId, Term } from '../raft/types.js'

/** What is known of the members, at this moment, and the way to them. */
export interface BlobCluster {
  readonly self: NodeId
  /** 8 bytes. */
  readonly clusterId: Uint8Array
  /** The term that this member's core is in. */
  readonly term: Term
  /** Whether a leader is known and can be reached. */
  readonly isReady: boolean
  /** In force here. */
  readonly members: ShardMembers
  /** Why no new write is taken at present. */
  readonly refusal: StoreError | undefined
  /** Whether `node` is this member, or connected and heard of lately. */
  isUp(node: NodeId): boolean
  /** Whether the disk of `node` is known to be low. */
  isLow(node: NodeId): boolean
  /** For people. */
  nameOf(node: NodeId): string
  /** False when the frame was dropped. The parts must not change afterwards. */
  send(to: NodeId, kind: number, parts: readonly Uint8Array[]): boolean
}

/** Takes charge of work that goes on after this turn. */
export interface WorkOwner {
  /** Of work that never rejects. */
  own(work: Promise<void>): void
  /** Something failed that cannot be lived with. */
  fail(error: unknown): void
}

/** The member that has the shard at `index` of every part; undefined when no member's slot it is. */
export function ownerOf({ slots }: ShardMembers, index: number): NodeId | undefined {
  for (const [node, slot] of slots) if (slot === index) return node
  return undefined
}

/** Lets work wait for the next tick of the member. */
export class Ticks {
  #resolve: (() => void) | undefined
  #next: Promise<void> | undefined

  /** Resolves with the next tick, or when the member ends. */
  next(): Promise<void> {
    this.#next ??= new Promise((resolve) => {
      this.#resolve = resolve
    })
    return this.#next
  }

  fire(): void {
    const resolve = this.#resolve
    this.#resolve = undefined
    this.#next = undefined
    resolve?.()
  }
}

/** Whether an error is an operating one, or the disk's own: any other is a bug. */
export function isOperating(error: unknown): boolean {
  if (error instanceof StoreError) return true
  if (!(error instanceof Error) || !('code' in error)) return false
  return typeof error.code === 'string' && !error.code.startsWith('ERR_')
}

/** Of a call that its caller has given up. */
export function aborted(signal: AbortSignal): StoreError {
  return new StoreError('QUORATE_ABORTED', 'the call was aborted by its caller', {
    cause: signal.reason,
  })
}
