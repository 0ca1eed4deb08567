/** The writes of a Store, view or session: from what the caller says to commands for the pipeline. */

import type { Backend } from '../member/backend.js'
import type { Operation } from '../wire/command.js'
import { resolveWrite, type WriteOptions, type WriteSpec } from './call-options.js'
import { encodeKey, encodeValue, type Key, type ValueEncoding } from './encoding.js'
import type { SessionState } from './session-state.js'
import type { WritePipeline, WriteResult } from './write-pipeline.js'

/** One change of a batch. */
export type BatchOperation =
  | { readonly type: 'put'; readonly key: Key; readonly value: unknown }
  | { readonly type: 'del'; readonly key: Key }

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

  put(key: Key, value: unknown, options: WriteOptions | undefined): Promise<WriteResult> {
    const spec = resolveWrite(options, this.#defaults)
    return this.#write([this.#encodePut(key, value, spec.valueEncoding)], spec)
  }

  del(key: Key, options: WriteOptions | undefined): Promise<WriteResult> {
    const spec = resolveWrite(options, this.#defaults)
    return this.#write([{ type: 'del', key: encodeKey(key) }], spec)
  }

  batch(
    operations: readonly BatchOperation[],
    options: WriteOptions | undefined,
  ): Promise<WriteResult> {
    const spec = resolveWrite(options, this.#defaults)
    if (!Array.isArray(operations)) throw new TypeError('batch takes an array of operations')
    if (operations.length === 0) throw new RangeError('a batch has at least one operation')
    return this.#write(
      operations.map((operation) => this.#encode(operation, spec.valueEncoding)),
      spec,
    )
  }

  #write(operations: readonly Operation[], spec: WriteSpec): Promise<WriteResult> {
    const deadline = this.#backend.now() + spec.timeoutMs
    const written = this.#pipeline.write(operations, deadline, spec.signal)
    const session = this.#session
    if (session === undefined) return written
    return written.then((result) => {
      session.raise(result)
      return result
    })
  }

  #encode(operation: BatchOperation, encoding: ValueEncoding): Operation {
    if (typeof operation !== 'object' || operation === null) {
      throw new TypeError('an operation of a batch is an object')
    }
    switch (operation.type) {
      case 'put':
        return this.#encodePut(operation.key, operation.value, encoding)
      case 'del':
        return { type: 'del', key: encodeKey(operation.key) }
      default:
        throw new TypeError('the type of an operation is put or del')
    }
  }

  #encodePut(key: Key, value: unknown, encoding: ValueEncoding): Operation {
    return {
      type: 'put',
      key: encodeKey(key),
      value: encodeValue(value, encoding, this.#maxValueBytes),
    }
  }
}
