/** The program of the member that is fuzzed. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { hostMember } from '../../../src/cli/processes/host.js'
import type { Operations } from '../../../src/cli/processes/operations.js'
import type { MemberStatus, Store } from '../../../src/index.js'

/** What a process holds after a garbage collection, in bytes. */
export interface Memory {
  readonly rss: number
  readonly heapUsed: number
  /** Outside of the heap: buffers. */
  readonly external: number
}

/** What is asked of it besides. */
export interface TargetOperations extends Operations {
  addLearner(
    store: Store,
    request: { readonly id: string; readonly address: string },
  ): Promise<void>
  put(store: Store, request: { readonly key: string; readonly value: string }): Promise<void>
  get(store: Store, request: { readonly key: string }): Promise<unknown>
  status(store: Store, request: undefined): Promise<MemberStatus>
  memory(store: Store, request: undefined): Promise<Memory>
}

const TIMEOUT_MS = 10_000

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

const operations: TargetOperations = {
  addLearner: async (store, { id, address }) => {
    await store.members.add(id, address, { as: 'learner' })
  },
  put: async (store, { key, value }) => {
    await store.put(key, value, { timeoutMs: TIMEOUT_MS })
  },
  get: (store, { key }) => store.get(key, { timeoutMs: TIMEOUT_MS }),
  status: async (store) => store.status(),
  memory: async () => {
    collectGarbage()
    const { rss, heapUsed, external } = process.memoryUsage()
    return { rss, heapUsed, external }
  },
}

hostMember(operations)
