/** The writes of a Store, view or session: from what the caller says to commands for the pipeline, and back. */
import { asBuffer } from '../base/bytes.js'
import type { AppliedWhere, Backend } from '../member/backend.js'
import {
  type Clear,
  type Command,
  type Compare,
  hasResult,
  type Operation,
  RESULT_AGAIN,
  RESULT_NO,
  RESULT_PARTLY,
} from '../wire/command.js'
import {
  type Ack,
  type BatchOptions,
  type ClearOptions,
  type DelOptions,
  type PutOptions,
  requireMaxBytes,
  resolveWrite,
  type WriteSpec,
} from './call-options.js'
import { encodeKey, isByteStream, type Key } from './encoding.js'
import { hasLarge, type LargeCommand, largeCommandOf } from './large-command.js'
import { type Decided, writeLarge } from './large-writes.js'
import { grantLease, type Lease, type LeaseKeeper, type LeaseOptions } from './lease.js'
import { refuseUnknown, requireOneOf } from './open-options.js'
import { type AppendedWrite, Appending, type Coded, Deciding, Writing } from './pending-writes.js'
import type { SessionState } from './session-state.js'
import {
  type BatchOperation,
  encodeClear,
  encodeLease,
  encodeOperations,
  encodePlaceholder,
  encodePut,
  encodeTransaction,
  requireRevision,
  requireTtl,
  type Transaction,
  type ValueRules,
} from './transaction.js'
import type { Uploads } from './uploads.js'
import type { WriteFollower } from './write-follower.js'
import type { WritePipeline, WriteResult } from './write-pipeline.js'
import { accepted, asCommitted, conflict } from './write-results.js'

/** What a write resolves to: an AppendedWrite with `ack: 'leader'`. */
export type Written = WriteResult | AppendedWrite

/** What a transaction resolves to. */
export interface TransactionResult {
  /** Whether all conditions held, and `then` was done. */
  readonly succeeded: boolean
  readonly index: number
  readonly term: number
  readonly token: string
}

/** What the writes of a Store and of all its views and sessions share. */
export interface WriteWays {
  readonly pipeline: WritePipeline
  readonly uploads: Uploads
}

/** See the file's comment. */
export class Writer {
  readonly #backend: Backend
  readonly #pipeline: WritePipeline
  readonly #uploads: Uploads
  readonly #defaults: WriteSpec
  readonly #maxValueBytes: number
  /** Values of more bytes are stored as shards; Infinity: none are. */
  readonly #codeAbove: number
  readonly #session: SessionState | undefined

  /** @param session raised by every committed write; undefined: writes have no position */
  constructor(
    backend: Backend,
    { pipeline, uploads }: WriteWays,
    defaults: WriteSpec,
    maxValueBytes: number,
    session: SessionState | undefined,
  ) {
    const { thresholdBytes } = backend.blobs
    const isCoding = thresholdBytes < Number.POSITIVE_INFINITY
    this.#codeAbove = isCoding ? Math.min(thresholdBytes, maxValueBytes) : thresholdBytes
    this.#backend = backend
    this.#pipeline = pipeline
    this.#uploads = uploads
    this.#defaults = defaults
    this.#maxValueBytes = maxValueBytes
    this.#session = session
  }

  put(key: Key, value: unknown, options: PutOptions | undefined): Promise<Written> {
    if (isByteStream(value)) return this.#putStream(key, value, options ?? {})
    if (options === undefined) {
      const rules = this.#rules(this.#defaults)
      return this.#write([encodePut(key, value, undefined, rules)], undefined, this.#defaults)
    }
    const spec = resolveWrite('put', options, this.#defaults)
    const put = encodePut(key, value, options, this.#rules(spec))
    const maxBytes = requireMaxBytes(options.maxBytes)
    if (put.value.length > maxBytes) {
      throw new RangeError(`the value has ${put.value.length} bytes, and maxBytes is ${maxBytes}`)
    }
    return this.#write([put], conditionOf(put.key, options), spec)
  }

  del(key: Key, options: DelOptions | undefined): Promise<Written> {
    const spec = resolveWrite('del', options, this.#defaults)
    const del = { type: 'del', key: encodeKey(key) } as const
    return this.#write([del], options && conditionOf(del.key, options), spec)
  }

  batch(
    operations: readonly BatchOperation[],
    options: BatchOptions | undefined,
  ): Promise<Written> {
    const spec = resolveWrite('batch', options, this.#defaults)
    const encoded = encodeOperations(operations, this.#rules(spec))
    if (encoded.length === 0) throw new RangeError('a batch has at least one operation')
    return this.#write(encoded, undefined, spec)
  }

  clear(options: ClearOptions | undefined): Promise<WriteResult> {
    const spec = requireCommitted(resolveWrite('clear', options, this.#defaults))
    const { gt, gte, lt, lte, limit, reverse } = options ?? {}
    const given = Object.entries({ gt, gte, lt, lte, limit, reverse })
    const clear = encodeClear(Object.fromEntries(given.filter(([, value]) => value !== undefined)))
    return this.#clear(clear, spec)
  }

  txn(transaction: Transaction, options: BatchOptions | undefined): Promise<TransactionResult> {
    const spec = requireCommitted(resolveWrite('txn', options, this.#defaults))
    return this.#transact(encodeTransaction(transaction, this.#rules(spec)), spec)
  }

  /** Follows the writes that are called from now on, through this Store and all its views and sessions. */
  follow(): WriteFollower {
    return this.#pipeline.follow()
  }

  lease(ttlMs: number, options: LeaseOptions = {}): Promise<Lease> {
    refuseUnknown('a lease', options, ['keepAlive'])
    const mode = requireOneOf('keepAlive', options.keepAlive ?? 'auto', ['auto', 'manual'] as const)
    requireTtl(ttlMs)
    const backend = this.#backend
    const keeper: LeaseKeeper = {
      now: () => backend.now(),
      newLeaseId: () => asBuffer(backend.newClientId()).toString('hex'),
      grant: (id, ms) => this.grant(id, ms),
      keepAlive: (id) => this.keepAlive(id),
      revoke: (id) => this.revoke(id),
      accompany: (companion) => this.#pipeline.accompany(companion),
    }
    return grantLease(keeper, ttlMs, mode)
  }

  /** Whether it was granted: false when the lease exists already. */
  async grant(lease: string, ttlMs: number): Promise<boolean> {
    const command: Command = {
      type: 'grant',
      lease: encodeLease(lease),
      ttlMs: requireTtl(ttlMs),
    }
    return (await this.#conditional(command, this.#defaults)).code !== RESULT_NO
  }

  /** Whether the lease lives still. */
  async keepAlive(lease: string): Promise<boolean> {
    const command: Command = { type: 'keepAlive', lease: encodeLease(lease) }
    return (await this.#conditional(command, this.#defaults)).code !== RESULT_NO
  }

  /** Whether the lease lived; its keys are gone with it. */
  async revoke(lease: string): Promise<boolean> {
    const command: Command = { type: 'revoke', lease: encodeLease(lease) }
    for (let times = 0; ; times++) {
      const { code } = await this.#conditional(command, this.#defaults)
      if (code !== RESULT_PARTLY) return code !== RESULT_NO || times > 0
    }
  }

  #rules({ valueEncoding }: WriteSpec): ValueRules {
    const isCoding = this.#codeAbove < Number.POSITIVE_INFINITY
    const maxPutBytes = isCoding ? Number.POSITIVE_INFINITY : this.#maxValueBytes
    return { encoding: valueEncoding, maxBytes: this.#maxValueBytes, maxPutBytes }
  }

  #deadline({ timeoutMs }: WriteSpec): number {
    return this.#backend.now() + timeoutMs
  }

  #putStream(key: Key, stream: AsyncIterable<unknown>, options: PutOptions): Promise<Written> {
    const spec = resolveWrite('put', options, this.#defaults)
    if (options.valueEncoding !== undefined) {
      throw new TypeError('a stream is stored as its bytes: it has no valueEncoding')
    }
    if (this.#codeAbove === Number.POSITIVE_INFINITY) {
      throw new TypeError('streams are stored as shards, which are turned off (erasure: false)')
    }
    const maxBytes = requireMaxBytes(options.maxBytes)
    const put = encodePlaceholder(key, options)
    const condition = conditionOf(put.key, options)
    const command = conditionally([put], condition)
    if (condition !== undefined) requireCommitted(spec)
    const sources = new Map([[put, { type: 'stream', stream, maxBytes } as const]])
    return this.#writeLarge({ command, sources }, spec)
  }

  #write(
    operations: readonly Operation[],
    condition: Compare | undefined,
    spec: WriteSpec,
  ): Promise<Written> {
    if (condition !== undefined) requireCommitted(spec)
    const command = conditionally(operations, condition)
    if (hasLarge(operations, this.#codeAbove)) {
      return this.#writeLarge(this.#largeOf(command, spec), spec)
    }
    if (condition !== undefined) return this.#writeIf(command, spec)
    if (hasResult(command)) return this.#writeCoded(command, requireCommitted(spec))
    if (spec.ack === 'leader') return this.#append(command, spec)
    const deadline = this.#deadline(spec)
    const written = new Promise<WriteResult>((resolve, reject) => {
      const write = new Writing(deadline, spec.signal, this.#session, resolve, reject)
      this.#pipeline.write(command, write)
    })
    if (spec.ack === 'quorum') return written
    return written.then((result) => this.#acked(result, spec, deadline))
  }

  #append(command: Command, spec: WriteSpec): Promise<AppendedWrite> {
    return new Promise((resolve, reject) => {
      const write = new Appending(this.#deadline(spec), spec.signal, this.#session, resolve, reject)
      this.#pipeline.write(command, write)
    })
  }

  async #clear(clear: Clear, spec: WriteSpec): Promise<WriteResult> {
    const command: Command = { type: 'write', operations: [clear] }
    const isLimited = clear.limit !== Number.POSITIVE_INFINITY
    const deadline = this.#deadline(spec)
    for (;;) {
      const { result, code } = await this.#coded(command, spec, deadline)
      // Keys that are left are left by the limit, when there is one.
      const isDone = code === RESULT_PARTLY ? isLimited : code !== RESULT_AGAIN
      if (isDone) return this.#acked(result, spec, deadline)
    }
  }

  async #transact(
    command: Command & { readonly type: 'txn' },
    spec: WriteSpec,
  ): Promise<TransactionResult> {
    const { result, code, deadline } = await this.#decide(command, spec)
    await this.#acked(result, spec, deadline)
    const { index, term, token } = result
    return { succeeded: code !== RESULT_NO, index, term, token }
  }

  async #writeCoded(command: Command, spec: WriteSpec): Promise<WriteResult> {
    const deadline = this.#deadline(spec)
    const { result } = await this.#conditional(command, spec, deadline)
    return this.#acked(result, spec, deadline)
  }

  async #writeIf(command: Command, spec: WriteSpec): Promise<WriteResult> {
    const deadline = this.#deadline(spec)
    const { result, code } = await this.#conditional(command, spec, deadline)
    if (code === RESULT_NO) throw conflict()
    return this.#acked(result, spec, deadline)
  }

  /** Its result depends on the state, so there is none before it is committed, whatever `ack` says. */
  async #writeLarge(large: LargeCommand, spec: WriteSpec): Promise<Written> {
    const { result, code, deadline } = await this.#decideLarge(large, spec)
    if (large.command.type === 'txn' && code === RESULT_NO) throw conflict()
    await this.#acked(result, spec, deadline)
    if (spec.ack !== 'leader') return result
    return { index: result.index, term: result.term, committed: Promise.resolve(result) }
  }

  #decide(command: Command & { readonly type: 'txn' }, spec: WriteSpec): Promise<Decided> {
    const isLarge = [command.then, command.else].some((all) => hasLarge(all, this.#codeAbove))
    if (isLarge) return this.#decideLarge(this.#largeOf(command, spec), spec)
    return this.#decideBy(command, spec, this.#deadline(spec))
  }

  /** Stores the large values, then sends the command; the time of both counts from their beginning. */
  #decideLarge(large: LargeCommand, spec: WriteSpec): Promise<Decided> {
    return writeLarge(this.#uploads, large, spec, (command) =>
      this.#decideBy(command, spec, this.#deadline(spec)),
    )
  }

  async #decideBy(command: Command, spec: WriteSpec, deadline: number): Promise<Decided> {
    return { ...(await this.#conditional(command, spec, deadline)), deadline }
  }

  #largeOf(command: Command, { valueEncoding }: WriteSpec): LargeCommand {
    return largeCommandOf(command, this.#codeAbove, valueEncoding === 'binary' ? 'caller' : 'store')
  }

  /** Does `command` until it was not turned away for want of room in its entry. */
  async #conditional(
    command: Command,
    spec: WriteSpec,
    deadline: number = this.#deadline(spec),
  ): Promise<Coded> {
    for (;;) {
      const coded = await this.#coded(command, spec, deadline)
      if (coded.code !== RESULT_AGAIN) return accepted(command, coded)
    }
  }

  #coded(command: Command, { signal }: WriteSpec, deadline: number): Promise<Coded> {
    return new Promise((resolve, reject) => {
      const write = new Deciding(deadline, signal, this.#session, resolve, reject)
      this.#pipeline.write(command, write)
    })
  }

  /** Resolves when `result` has reached whom `ack` names. */
  async #acked(
    result: WriteResult,
    { ack, signal }: WriteSpec,
    deadline: number,
  ): Promise<WriteResult> {
    const where = whereOf(ack)
    if (where === undefined) return result
    try {
      await this.#backend.awaitApplied(result.index, where, deadline, signal)
    } catch (error) {
      const told = asCommitted(error)
      this.#backend.calls.failed(told)
      throw told
    }
    return result
  }
}

function conditionally(operations: readonly Operation[], condition: Compare | undefined): Command {
  if (condition === undefined) return { type: 'write', operations }
  return { type: 'txn', compares: [condition], then: operations, else: [] }
}

/** Throws for an acknowledgement that comes before there is a result. */
function requireCommitted(spec: WriteSpec): WriteSpec {
  if (spec.ack !== 'leader') return spec
  throw new TypeError("ack: 'leader' is for writes whose effect does not depend on the state")
}

function conditionOf(
  key: Uint8Array,
  { ifRevision, ifAbsent }: DelOptions & PutOptions,
): Compare | undefined {
  if (ifRevision !== undefined && ifAbsent !== undefined) {
    throw new TypeError('a write has ifRevision or ifAbsent, not both')
  }
  if (ifRevision !== undefined) {
    return { type: 'revision', key, revision: requireRevision(ifRevision) }
  }
  if (ifAbsent === undefined) return undefined
  if (ifAbsent !== true) throw new TypeError('ifAbsent is true, or is not given')
  return { type: 'absent', key }
}

/** Where a write has to be applied beside the leader before it is acknowledged. */
function whereOf(ack: Ack): AppliedWhere | undefined {
  switch (ack) {
    case 'leader':
    case 'quorum':
      return undefined
    case 'applied':
      return 'here'
    case 'all':
      return 'all'
    default:
      return ack
  }
}
