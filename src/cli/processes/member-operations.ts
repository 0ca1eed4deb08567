/** What a member in a child process does for its parent. */
import { createHash } from 'node:crypto'
import type { Store } from '../../index.js'
import type { MemberOperations, Reading, ReadRequest } from './operations.js'

/** The operations of MemberOperations. */
export const memberOperations: MemberOperations = {
  put: async (store, { key, value, timeoutMs }) => {
    const begun = performance.now()
    const { index, token } = await store.put(key, value, { timeoutMs })
    return { index, token, milliseconds: performance.now() - begun }
  },
  read: readMany,
  status: async (store) => store.status(),
  sentBytes: async (store) => store.metrics().member?.network.sentBytes ?? 0,
}

async function readMany(store: Store, request: ReadRequest): Promise<readonly Reading[]> {
  const { keys, level, token, inFlight } = request
  const reader = level === 'session' ? store.session(token) : store
  const readings: Reading[] = new Array(keys.length)
  let next = 0
  const work = async (): Promise<void> => {
    while (next < keys.length) {
      const i = next++
      const begun = performance.now()
      const value = await reader.get(keys[i]!, { consistency: level })
      readings[i] = { sha256: digest(value), milliseconds: performance.now() - begun }
    }
  }
  await Promise.all(Array.from({ length: inFlight }, work))
  return readings
}

function digest(value: unknown): string | undefined {
  if (value === undefined) return undefined
  return createHash('sha256')
    .update(value as Uint8Array)
    .digest('hex')
}
