/** What a member in a process of its own does for a test: the calls of a Store, by message. */
import type { BatchOperation, MemberStatus, ReadLevel, Store } from '../../index.js'
import type { Operations } from './operations.js'

interface Timed {
  readonly timeoutMs?: number
}

/** Where a write stands. */
export interface Written {
  readonly index: number
  readonly token: string
}

/** The operations of store-process.ts. Keys are text, values whatever structured clone and msgpack take. */
export interface StoreOperations extends Operations {
  put(
    store: Store,
    request: Timed & { readonly key: string; readonly value: unknown },
  ): Promise<Written>
  del(store: Store, request: Timed & { readonly key: string }): Promise<Written>
  batch(
    store: Store,
    request: Timed & { readonly operations: readonly BatchOperation[] },
  ): Promise<Written>
  /** The value, and the index of the state that served it. */
  get(
    store: Store,
    request: Timed & {
      readonly key: string
      readonly consistency?: ReadLevel
      readonly token?: string
    },
  ): Promise<{ readonly value: unknown; readonly revision: number; readonly index: number }>
  status(store: Store, request: undefined): Promise<MemberStatus>
}

/** See StoreOperations. */
export const storeOperations: StoreOperations = {
  put: async (store, { key, value, ...options }) => written(await store.put(key, value, options)),
  del: async (store, { key, ...options }) => written(await store.del(key, options)),
  batch: async (store, { operations, ...options }) =>
    written(await store.batch(operations, options)),
  get: async (store, { key, token, ...options }) => {
    const reader = token === undefined ? store : store.session(token)
    const { value, revision, appliedIndex } = await reader.getWithMeta(key, options)
    return { value, revision, index: appliedIndex }
  },
  status: async (store) => store.status(),
}

function written({ index, token }: Written): Written {
  return { index, token }
}
