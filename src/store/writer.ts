/** The writes of a Store, view or session: from what the caller says to commands for the pipeline, and back. */
import { asBuffer } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import type { AppliedWhere, Backend } from '../member/backend.js'
import {
  type Clear,
  type Command,
  type Compare,
  hasResult,
  type Operation,
  RESULT_AGAIN,
  RESULT_NO,
  RESULT_NO_LEASE,
  RESULT_PARTLY,
  RESULT_TOO_LARGE,
} from '../wire/command.js'
import {
  type Ack,
  type BatchOptions,
  type ClearOptions,
  type DelOptions,
  type PutOptions,
  resolveWrite,
  type WriteSpec,
} from './call-options.js'
import { encodeKey, type Key } from './encoding.js'
import { grantLease, type Lease, type LeaseKeeper, type LeaseOptions } from './lease.js'
import { refuseUnknown, requireOneOf } from './open-options.js'
import { type AppendedWrite, Appending, type Coded, Deciding, Writing } from './pending-writes.js'
import type { SessionState } from './session-state.js'
import {
  type BatchOperation,
  encodeClear,
  encodeLease,
  encodeOperations,
  encodePut,
  encodeTransaction,
  requireRevision,
  requireTtl,
  type Transaction,
  type ValueRules,
} from './transaction.js'
import type { WriteFollower } from './write-follower.js'
import type { WritePipeline, WriteResult } from './write-pipeline.js'

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

/** See the file's comment. */
export class Writer {
  readonly #backend: Backend
  readonly #pipeline: WritePipeline
  readonly #defaults: WriteSpec
  readonly #maxValueBytes: number
  readonly #session: SessionState | undefined

  /** @param session raised by every committed write; undefined: writes have no position */
  constructor(
    backend: Backend,
    pipeline: WritePipeline,
    defaults: WriteSpec,
    maxValueBytes: number,
    session: SessionState | undefined,
  ) {
    this.#backend = backend
    this.#pipeline = pipeline
    this.#defaults = defaults
    this.#maxValueBytes = maxValueBytes
    this.#session = session
  }

  put(key: Key, value: unknown, options: PutOptions | undefined): Promise<Written> {
    if (options === undefined) {
      const rules = this.#rules(this.#defaults)
      return this.#write([encodePut(key, value, undefined, rules)], undefined, this.#defaults)
    }
    const spec = resolveWrite('put', options, this.#defaults)
    const put = encodePut(key, value, options, this.#rules(spec))
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
    return { encoding: valueEncoding, maxBytes: this.#maxValueBytes }
  }

  #deadline({ timeoutMs }: WriteSpec): number {
    return this.#backend.now() + timeoutMs
  }

  #write(
    operations: readonly Operation[],
    condition: Compare | undefined,
    spec: WriteSpec,
  ): Promise<Written> {
    if (condition !== undefined) {
      return this.#writeIf(operations, condition, requireCommitted(spec))
    }
    const command: Command = { type: 'write', operations }
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

  async #transact(command: Command, spec: WriteSpec): Promise<TransactionResult> {
    const deadline = this.#deadline(spec)
    const { result, code } = await this.#conditional(command, spec, deadline)
    await this.#acked(result, spec, deadline)
    const { index, term, token } = result
    return { succeeded: code !== RESULT_NO, index, term, token }
  }

  async #writeCoded(command: Command, spec: WriteSpec): Promise<WriteResult> {
    const deadline = this.#deadline(spec)
    const { result } = await this.#conditional(command, spec, deadline)
    return this.#acked(result, spec, deadline)
  }

  async #writeIf(
    operations: readonly Operation[],
    condition: Compare,
    spec: WriteSpec,
  ): Promise<WriteResult> {
    const command: Command = { type: 'txn', compares: [condition], then: operations, else: [] }
    const deadline = this.#deadline(spec)
    const { result, code } = await this.#conditional(command, spec, deadline)
    if (code === RESULT_NO) {
      const message = 'the key is not as the write expects it to be; nothing was changed'
      throw new StoreError('QUORATE_CONFLICT', message)
    }
    return this.#acked(result, spec, deadline)
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
      const told = committed(error)
      this.#backend.calls.failed(told)
      throw told
    }
    return result
  }
}

/** What ended the wait for others did not undo the write, whoever says so: a member that closes or was removed, say. */
function committed(error: unknown): unknown {
  if (!(error instanceof StoreError) || error.outcome === 'committed') return error
  return new StoreError(error.code, error.message, { outcome: 'committed', cause: error })
}

/** @throws {StoreError} when nothing happened for another reason than what the command itself asks. */
function accepted(command: Command, coded: Coded): Coded {
  const { code } = coded
  if (code === RESULT_TOO_LARGE) {
    throw new StoreError(
      'QUORATE_TOO_LARGE',
      'it would clear more keys than one step may; nothing was changed',
    )
  }
  const noLease = command.type === 'write' ? RESULT_NO : RESULT_NO_LEASE
  const mayLackLease = command.type === 'write' || command.type === 'txn'
  if (mayLackLease && code === noLease && !isClear(command)) {
    throw new StoreError(
      'QUORATE_NO_LEASE',
      'the lease does not exist (any more); nothing was changed',
    )
  }
  return coded
}

/** Throws for an acknowledgement that comes before there is a result. */
function requireCommitted(spec: WriteSpec): WriteSpec {
  if (spec.ack !== 'leader') return spec
  throw new TypeError("ack: 'leader' is for writes whose effect does not depend on the state")
}

function isClear(command: Command): boolean {
  return command.type === 'write' && command.operations.every(({ type }) => type === 'clear')
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
