/** Reads from a database what the state machine keeps in memory, and checks that it fits together. */
import { asBuffer } from '../base/bytes.js'
import { StoreError } from '../base/errors.js'
import type { Database, KeyRange } from '../env/database.js'
import type { ConfState } from '../raft/types.js'
import { MEMBERS_KEY, META_KEY, prefixRange, SESSION_PREFIX } from './key-space.js'
import { decodeSessionRecord } from './session-record.js'
import type { Session } from './sessions.js'
import { DIGEST_OF_NOTHING } from './state-digest.js'
import { decodeStateRecord, type StateRecord } from './state-record.js'

/** What a database holds beside the users' data. */
export interface LoadedState {
  readonly state: StateRecord
  /** Undefined in a new database. */
  readonly members: Uint8Array | undefined
  /** In the order of their touches. */
  readonly sessions: readonly Session[]
}

const LOAD_ENTRIES = 1000
const LOAD_BYTES = 1_048_576

/**
 * Reads it all; costs one range scan over the session records, at most some thousand.
 * @throws {StoreError} QUORATE_CORRUPTION when records are missing, damaged or contradict one another;
 *   QUORATE_FORMAT when they are of a newer version.
 */
export async function loadState(database: Database, initialConf: ConfState): Promise<LoadedState> {
  const state = await loadRecord(database, initialConf)
  const members = loadMembers(database, state)
  return { state, members, sessions: await loadSessions(database, state) }
}

/** The state record, or that of an empty database; a database that holds anything else without it is damaged. */
async function loadRecord(database: Database, initialConf: ConfState): Promise<StateRecord> {
  const record = database.get(META_KEY)
  if (record !== undefined) return decodeStateRecord(asBuffer(record))
  const [stray] = await readSome(database, {}, 1)
  if (stray !== undefined) {
    throw new StoreError('QUORATE_CORRUPTION', 'the database has data but no state record')
  }
  return {
    appliedIndex: 0,
    appliedTerm: 0,
    conf: initialConf,
    evictedThrough: 0,
    touches: 0,
    sessions: 0,
    digest: DIGEST_OF_NOTHING,
  }
}

/** The members, which are written with the first state record. */
function loadMembers(database: Database, state: StateRecord): Uint8Array | undefined {
  const members = database.get(MEMBERS_KEY)
  if (members === undefined && state.appliedIndex > 0) {
    throw new StoreError('QUORATE_CORRUPTION', 'the database has a state record but no members')
  }
  return members
}

/** The sessions: as many as the state record says, none newer than it. */
async function loadSessions(database: Database, state: StateRecord): Promise<Session[]> {
  const range = prefixRange(SESSION_PREFIX)
  const records = await readSome(database, range, Number.POSITIVE_INFINITY)
  const sessions = records.map(([key, bytes]) =>
    decodeSessionRecord(asBuffer(key).toString('latin1', 1), asBuffer(bytes)),
  )
  const isAhead = ({ touch, lastActive }: Session) =>
    touch > state.touches || lastActive > state.appliedIndex
  if (sessions.length !== state.sessions || sessions.some(isAhead)) {
    throw new StoreError('QUORATE_CORRUPTION', 'the session records do not fit the state record')
  }
  return sessions.sort((a, b) => a.touch - b.touch)
}

async function readSome(
  database: Database,
  range: KeyRange,
  maxEntries: number,
): Promise<(readonly [Uint8Array, Uint8Array])[]> {
  const snapshot = database.snapshot()
  const cursor = snapshot.cursor({ range, reverse: false })
  try {
    const found: (readonly [Uint8Array, Uint8Array])[] = []
    while (found.length < maxEntries) {
      const some = await cursor.next(Math.min(LOAD_ENTRIES, maxEntries - found.length), LOAD_BYTES)
      if (some.length === 0) break
      found.push(...some)
    }
    return found
  } finally {
    await cursor.close()
    await snapshot.close()
  }
}
