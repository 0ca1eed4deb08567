/** Changing a value by a function of it, as often as it takes until nobody was faster. */
import { StoreError } from '../base/errors.js'
import { type CallOptions, callSpec } from './call-options.js'
import type { Key, ValueEncoding } from './encoding.js'
import type { Handle } from './handle.js'
import { refuseUnknown } from './open-options.js'
import type { WriteResult } from './write-pipeline.js'

/** Options of an update. */
export interface UpdateOptions extends CallOptions {
  readonly valueEncoding?: ValueEncoding
  /** How often it begins again at most; default 100. */
  readonly retries?: number
}

/** What an update resolves to. */
export interface Updated<T> {
  /** What is stored now; undefined when the key was removed. */
  readonly value: T | undefined
  /** Where it was written; undefined when there was nothing to remove. */
  readonly written: WriteResult | undefined
}

const RETRIES = 100

/** What `Handle.update` does. */
export async function update<T>(
  handle: Handle,
  key: Key,
  change: (value: T | undefined) => T | undefined | Promise<T | undefined>,
  options: UpdateOptions = {},
): Promise<Updated<T>> {
  refuseUnknown('update', options, ['timeoutMs', 'signal', 'valueEncoding', 'retries'])
  if (typeof change !== 'function') throw new TypeError('update takes a function')
  const { retries = RETRIES, ...call } = options
  callSpec(call, 1)
  if (!Number.isSafeInteger(retries) || retries < 0) {
    throw new RangeError(`retries is a whole number from 0 on, not ${retries}`)
  }
  const { valueEncoding: _, ...delCall } = call
  for (let attempt = 0; ; attempt++) {
    const read = await handle.getWithMeta<T>(key, { ...call, consistency: 'strong' })
    const value = await change(read.value)
    const ifRevision = read.revision
    try {
      if (value !== undefined) {
        return { value, written: await handle.put(key, value, { ...call, ifRevision }) }
      }
      if (ifRevision === 0) return { value, written: undefined }
      return { value, written: await handle.del(key, { ...delCall, ifRevision }) }
    } catch (error) {
      const isConflict = error instanceof StoreError && error.code === 'QUORATE_CONFLICT'
      if (!isConflict || attempt >= retries) throw error
    }
  }
}
