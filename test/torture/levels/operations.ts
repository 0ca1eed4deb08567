/**
 * What the level torture asks of its members: calls in the words of a history, alone or in a session that lives in
 * the member's process.
 */
import { unreachable } from '../../../src/base/assert.js'
import type { Operations } from '../../../src/cli/processes/operations.js'
import type {
  AppendedWrite,
  MemberStatus,
  OnBehind,
  ReadOptions,
  Session,
  Store,
  WriteResult,
} from '../../../src/index.js'
import type { Operation, Read, Result, Write } from '../../../src/sim/history.js'

/** A call by message. */
export interface LevelRequest {
  readonly operation: Operation
  /** Of a read. */
  readonly onBehind: OnBehind
  readonly timeoutMs: number
  readonly session?: SessionRequest
}

/** The session of a call, which begins with its first one and has then seen what `tokens` say. */
export interface SessionRequest {
  readonly name: string
  readonly tokens: readonly string[]
}

/** What a member is when it serves; `any` when a client of all members asked. */
export type ServingRole = 'leader' | 'follower' | 'any'

/** What came of a call. */
export interface LevelAnswer {
  readonly result: Result
  readonly role: ServingRole
  /** Where the session stands now. */
  readonly token: string | undefined
}

/** Everything that a member has, as of an index. */
export interface Dump {
  readonly appliedIndex: number
  readonly entries: readonly (readonly [key: string, value: string])[]
}

/** The operations of levels/member-process.ts. */
export interface LevelOperations extends Operations {
  call(store: Store, request: LevelRequest): Promise<LevelAnswer>
  status(store: Store, request: undefined): Promise<MemberStatus>
  dump(store: Store, request: undefined): Promise<Dump>
}

/** Makes calls on one Store, and keeps the sessions that live there. */
export class LevelCalls {
  readonly #sessions = new Map<string, Session>()

  async call(
    store: Store,
    { operation, onBehind, timeoutMs, session }: LevelRequest,
  ): Promise<Omit<LevelAnswer, 'role'>> {
    const known = session === undefined ? undefined : this.#sessionOf(store, session)
    const target = known ?? store
    const result =
      'level' in operation
        ? await read(target, operation, { onBehind, timeoutMs })
        : await write(target, operation, { timeoutMs })
    return { result, token: known?.token }
  }

  #sessionOf(store: Store, { name, tokens }: SessionRequest): Session {
    const known = this.#sessions.get(name)
    if (known !== undefined) return known
    const [first, ...others] = tokens
    const session = store.session(first)
    for (const token of others) session.observe(token)
    this.#sessions.set(name, session)
    return session
  }
}

/** One member's side. */
export function levelOperations(): LevelOperations {
  const calls = new LevelCalls()
  let leader: string | undefined
  let self: string | undefined
  const watchLeader = (store: Store): void => {
    const status = store.status()
    self = status.id
    leader = status.leader
    store.on('leader', (change) => {
      leader = change.leader
    })
  }
  return {
    call: async (store, request) => {
      if (self === undefined) watchLeader(store)
      const answer = await calls.call(store, request)
      // What another member served was forwarded, and so to the leader.
      const servedBy = answer.result.node ?? self
      const role = servedBy !== self || leader === self ? 'leader' : 'follower'
      return { ...answer, role }
    },
    status: async (store) => store.status(),
    dump: async (store) => {
      const { appliedIndex } = store.status()
      const entries: [string, string][] = []
      for await (const entry of store.scan<string>({ consistency: 'eventual' })) entries.push(entry)
      return { appliedIndex, entries }
    },
  }
}

async function read(
  target: Store | Session,
  read: Read,
  { onBehind, timeoutMs }: Pick<LevelRequest, 'onBehind' | 'timeoutMs'>,
): Promise<Result> {
  const { level: consistency, maxStalenessMs } = read
  const options: ReadOptions = {
    timeoutMs,
    consistency,
    onBehind,
    ...(maxStalenessMs !== undefined && { maxStalenessMs }),
  }
  switch (read.f) {
    case 'get': {
      const found = await target.getWithMeta<string>(read.key, options)
      const { value, revision, appliedIndex: index, servedBy: node } = found
      return { f: 'get', value: value ?? null, revision, index, node }
    }
    case 'getMany': {
      const values = await target.getMany<string>(read.keys, options)
      return { f: 'getMany', values: values.map((value) => value ?? null) }
    }
    case 'scan': {
      const entries: [string, string][] = []
      const range = { gte: read.gte ?? '', lt: read.lt ?? '~' }
      for await (const entry of target.scan<string>({ ...options, ...range })) entries.push(entry)
      return { f: 'scan', entries }
    }
    default:
      return unreachable(read)
  }
}

async function write(
  target: Store | Session,
  write: Write,
  { timeoutMs }: Pick<LevelRequest, 'timeoutMs'>,
): Promise<Result> {
  const options = { timeoutMs, ack: write.ack }
  switch (write.f) {
    case 'put':
      return resultOf('put', await target.put(write.key, write.value, options))
    case 'del':
      return resultOf('del', await target.del(write.key, options))
    case 'batch':
      return resultOf('batch', await target.batch(write.changes, options))
    default:
      return unreachable(write)
  }
}

function resultOf(f: Write['f'], { index, term }: WriteResult | AppendedWrite): Result {
  return { f, index, term }
}
