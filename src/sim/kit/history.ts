/** Histories by name: record one while calls are made, keep it as text, read it again. */
import { StoreError } from '../../base/errors.js'
import type { ReadOptions, WriteOptions } from '../../store/call-options.js'
import type { Session } from '../../store/session.js'
import type { Store } from '../../store/store.js'
import { type Caller, type Operation, pairCalls, type Result, type Value } from '../history.js'
import { formatHistory, parseHistory } from '../history-text.js'
import { type RecordedCall, Recorder } from '../recorder.js'

/** A Store or Session whose calls are recorded. */
export interface RecordedStore {
  put(key: string, value: Value, options?: WriteOptions): Promise<void>
  del(key: string): Promise<void>
  get(key: string, options?: ReadOptions): Promise<Value | undefined>
}

/** Makes calls through `target` and records them; `caller` says in which session and where. */
function record(target: Store | Session, recorder: Recorder, caller: Caller): RecordedStore {
  return {
    put: async (key, value, options) => {
      const call = recorder.invoke({ f: 'put', key, value, ack: 'quorum' }, caller)
      await settle(call, 'write', async () => {
        const { index, term } = await target.put(key, value, options)
        return { f: 'put', index, term }
      })
    },
    del: async (key) => {
      const call = recorder.invoke({ f: 'del', key, ack: 'quorum' }, caller)
      await settle(call, 'write', async () => {
        const { index, term } = await target.del(key)
        return { f: 'del', index, term }
      })
    },
    get: async (key, options) => {
      const level = options?.consistency ?? (caller.session === undefined ? 'strong' : 'session')
      const operation: Operation = { f: 'get', key, level }
      let found: Value | undefined
      await settle(recorder.invoke(operation, caller), 'read', async () => {
        const meta = await target.getWithMeta<Value>(key, { ...options, consistency: level })
        found = meta.value
        const { revision, appliedIndex: index } = meta
        return { f: 'get', value: found ?? null, revision, index }
      })
      return found
    },
  }
}

async function settle(
  call: RecordedCall,
  kind: 'read' | 'write',
  make: () => Promise<Result>,
): Promise<void> {
  try {
    call.ok(await make())
  } catch (error) {
    const isCertain = kind === 'read' || (error instanceof StoreError && error.outcome === 'none')
    const words = error instanceof StoreError ? error.code : String(error)
    if (isCertain) call.fail(words)
    else call.info(words)
    throw error
  }
}

/** See docs/testing.md and docs/history-format.md. */
export const history: {
  /** Numbers events and gives out processes. */
  readonly Recorder: typeof Recorder
  readonly record: typeof record
  /** Pairs calls with their answers, for the checkers. */
  readonly pair: typeof pairCalls
  readonly format: typeof formatHistory
  readonly parse: typeof parseHistory
} = { Recorder, record, pair: pairCalls, format: formatHistory, parse: parseHistory }
