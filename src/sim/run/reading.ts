/** The reads of simulated clients: what each asks in the words of a history, and the call that does it. */
import type { Session } from '../../store/session.js'
import type { Store } from '../../store/store.js'
import type { Read, Result } from '../history.js'
import type { ClientEvent, Step } from '../schedule/schedule.js'
import { shortText } from './values.js'

type ReadEvent = Step & ClientEvent & { readonly type: 'read' }

/** A read that is to be made. */
export interface ReadCall {
  readonly operation: Read
  make(): Promise<Result>
}

/** The clock of a member may run so much slower than the world. */
const SLOW_CLOCK = 1.01

/** The read of `keys`, at least one, that `event` asks for; a get is made through `target`, all others by `store`. */
export function readCallOf(
  event: ReadEvent,
  keys: readonly string[],
  store: Store,
  target: Store | Session,
): ReadCall {
  const { level, timeoutMs, onBehind = 'wait' } = event
  const options = { timeoutMs, consistency: level, onBehind }
  const key = keys[0]!
  switch (event.shape) {
    case 'get':
      return getCall(event, key, target)
    case 'stream':
      return {
        operation: { f: 'getMany', keys: [key], level },
        make: async () => {
          const stream = await store.read(key, options)
          const value = stream === undefined ? null : shortText(await bytesIn(stream))
          return { f: 'getMany', values: [value] }
        },
      }
    case 'getMany':
      return {
        operation: { f: 'getMany', keys, level },
        make: async () => {
          const values = await store.getMany<string>(keys, options)
          return { f: 'getMany', values: values.map(nameOf) }
        },
      }
    case 'scan': {
      const range = rangeBetween(keys)
      return {
        operation: { f: 'scan', ...range, level },
        make: async () => {
          const entries: [string, string][] = []
          for await (const [name, value] of store.scan<string>({ ...options, ...range })) {
            entries.push([name, shortText(value)])
          }
          return { f: 'scan', entries }
        },
      }
    }
  }
}

function getCall(event: ReadEvent, key: string, target: Store | Session): ReadCall {
  const { level, timeoutMs, onBehind = 'wait' } = event
  const bound = level === 'strong' ? 0 : (event.maxStalenessMs ?? 0)
  const terms = bound === 0 ? {} : { maxStalenessMs: bound }
  // What the member proves, it proves on its own clock.
  const proven = bound === 0 ? {} : { maxStalenessMs: bound * SLOW_CLOCK }
  const options = { timeoutMs, consistency: level, onBehind, ...terms }
  return {
    operation: { f: 'get', key, level, ...proven },
    make: async () => {
      const meta = await target.getWithMeta<string>(key, options)
      const { value, revision, appliedIndex: index, servedBy: node } = meta
      return { f: 'get', value: nameOf(value), revision, index, node }
    },
  }
}

/** From the first key up to the second, in their order, or to the end. */
export function rangeBetween([first, second = 'z']: readonly string[]): {
  gte: string
  lt: string
} {
  const [gte, lt] = [first!, second].sort()
  return { gte: gte!, lt: lt! }
}

function nameOf(stored: string | undefined): string | null {
  return stored === undefined ? null : shortText(stored)
}

async function bytesIn(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of stream) chunks.push(chunk as Uint8Array)
  return Buffer.concat(chunks)
}
