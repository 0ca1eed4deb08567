/** The log that level-crash.test.ts and the process it kills share: a pure function of seed and index. */

import { keyedBelow, keyedU32 } from '../../src/base/prng.js'
import { LevelDatabases } from '../../src/env/level-database.js'
import { StateMachine } from '../../src/machine/state-machine.js'
import type { Entry } from '../../src/raft/types.js'
import { packEntry, RequestWriter } from '../../src/wire/request.js'
import { clientId, OPTIONS } from './machine-fixture.js'

const OPERATIONS = 12
const KEYS = 600
const CLIENTS = 5

/** One change; without a value it deletes. */
export interface Change {
  readonly key: string
  readonly value: Buffer | undefined
}

/** The changes of the entry at `index`, in order. */
export function changesOf(seed: number, index: number): Change[] {
  return Array.from({ length: OPERATIONS }, (_, i) => {
    const key = `key ${keyedBelow(seed, KEYS, index, i, 'key')}`
    if (keyedBelow(seed, 5, index, i, 'del') === 0) return { key, value: undefined }
    // Incompressible, so that memtables fill and tables are merged.
    const words = Uint32Array.from({ length: 64 }, (_, j) => keyedU32(seed, index, i, j))
    return {
      key,
      value: Buffer.from(words.buffer, 0, 1 + keyedBelow(seed, 256, index, i, 'bytes')),
    }
  })
}

/** The entry at `index`: one request, and every third time the one before it once more. */
export function entryAt(seed: number, index: number): Entry {
  const requests = [requestAt(seed, index)]
  if (index % 3 === 0) requests.push(requestAt(seed, index - 1))
  return { index, term: 1, kind: 'normal', data: packEntry(requests) }
}

function requestAt(seed: number, index: number): Buffer {
  const writer = new RequestWriter(4096)
  for (const { key, value } of changesOf(seed, index)) {
    if (value === undefined) writer.del(Buffer.from(key))
    else writer.put(Buffer.from(key), value)
  }
  const seq = Math.floor((index - 1) / CLIENTS) + 1
  const floor = Math.max(1, seq - 20)
  return writer.finish(clientId(`c${index % CLIENTS}`), seq, floor, 0)
}

/** A state machine whose LevelDB flushes and merges all the time. */
export function openSmall(dir: string): Promise<StateMachine> {
  const databases = new LevelDatabases({ writeBufferBytes: 65_536, cacheBytes: 1 << 20 })
  return StateMachine.open(databases, dir, OPTIONS)
}
