/**
 * The writes of a database of the Level kind: in the order of their calls, behind the reads that are not settled yet
 * (fence.ts), and known until they have ended, so that `close` can wait for them. A large value takes its time before
 * its command is sent: a later write that is not made to wait for it may overtake it.
 */
import type { KeyRange } from '../../env/database.js'
import { CLEAR_LIMIT_MAX } from '../../wire/command.js'
import type { ClearOptions } from '../call-options.js'
import type { Position } from '../token.js'
import type { BatchOperation } from '../transaction.js'
import type { Fence } from './fence.js'

/** A put or del with the Store's keys. */
export type LevelOperation =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: Uint8Array }

/** Which entries a clear removes. */
export interface LevelClear {
  /** In the keys of the Store. */
  readonly range: KeyRange
  readonly order: 'forward' | 'reverse'
  /** Infinity: all. */
  readonly limit: number
}

/** Where the writes go: a Writer (../writer.ts) whose value encoding is `binary`, or a part of one. */
export interface LevelSink {
  put(key: Uint8Array, value: Uint8Array, options: undefined): Promise<Position>
  del(key: Uint8Array, options: undefined): Promise<Position>
  batch(operations: readonly BatchOperation[], options: undefined): Promise<Position>
  clear(options: ClearOptions): Promise<Position>
}

/** See the file's comment. */
export class LevelWrites {
  readonly #sink: LevelSink
  readonly #fence: Fence
  #underWay = 0
  #whenIdle: (() => void) | undefined

  constructor(sink: LevelSink, fence: Fence) {
    this.#sink = sink
    this.#fence = fence
  }

  /** Writes all `operations` atomically; keys and values may change once it has returned. */
  async write(operations: readonly LevelOperation[]): Promise<void> {
    this.#underWay++
    try {
      if (this.#fence.isClosed) await this.#writeLater(operations)
      else await this.#write(operations)
    } finally {
      this.#ended()
    }
  }

  /** Removes what `clear` says; atomic as long as the range has no more keys than one log entry removes. */
  async clear(clear: LevelClear): Promise<void> {
    this.#underWay++
    const bounds = Object.values(clear.range) as Uint8Array[]
    try {
      if (this.#fence.isClosed) {
        await this.#fence.pass(bytesOf(bounds), () => this.#clear(clear))
      } else await this.#clear(clear)
    } finally {
      this.#ended()
    }
  }

  /** Resolves when no write is under way. One waits at a time. */
  async idle(): Promise<void> {
    if (this.#underWay === 0) return
    await new Promise<void>((resolve) => {
      this.#whenIdle = resolve
    })
  }

  #ended(): void {
    this.#underWay--
    if (this.#underWay > 0) return
    this.#whenIdle?.()
    this.#whenIdle = undefined
  }

  #writeLater(operations: readonly LevelOperation[]): Promise<unknown> {
    const copies = operations.map(copied)
    const bytes = bytesOf(copies.map((copy) => copy.key)) + valueBytesOf(copies)
    return this.#fence.pass(bytes, () => this.#write(copies))
  }

  #write(operations: readonly LevelOperation[]): Promise<unknown> {
    const [first] = operations
    if (first === undefined || operations.length > 1) return this.#sink.batch(operations, undefined)
    if (first.type === 'put') return this.#sink.put(first.key, first.value, undefined)
    return this.#sink.del(first.key, undefined)
  }

  /** A limit above what one command may have is reached in steps. */
  async #clear({ range, order, limit }: LevelClear): Promise<void> {
    const options = { ...range, reverse: order === 'reverse' }
    if (limit === Number.POSITIVE_INFINITY) {
      await this.#sink.clear(options)
      return
    }
    for (let left = limit; left > 0; left -= CLEAR_LIMIT_MAX) {
      await this.#sink.clear({ ...options, limit: Math.min(left, CLEAR_LIMIT_MAX) })
    }
  }
}

function copied(operation: LevelOperation): LevelOperation {
  const key = Buffer.from(operation.key)
  if (operation.type === 'del') return { type: 'del', key }
  return { type: 'put', key, value: Buffer.from(operation.value) }
}

function bytesOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, { length }) => sum + length, 0)
}

function valueBytesOf(operations: readonly LevelOperation[]): number {
  return operations.reduce((sum, write) => sum + (write.type === 'put' ? write.value.length : 0), 0)
}
