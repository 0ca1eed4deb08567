/** A state machine on a simulated database, and a small language for entries. */
import type { Cursor, Database, Databases } from '../../src/env/database.js'
import { type MachineOptions, StateMachine } from '../../src/machine/state-machine.js'
import type { ConfState, Entry } from '../../src/raft/types.js'
import { SimDatabases } from '../../src/sim/sim-database.js'
import { SimWorld } from '../../src/sim/world.js'
import { packEntry, RequestWriter } from '../../src/wire/request.js'

/** The configuration with these voters and nothing else. */
export function conf(...voters: number[]): ConfState {
  return { voters, votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false }
}

/** The options of most tests: many sessions, and a configuration entry's data are its voters and its members. */
export const OPTIONS: MachineOptions = {
  maxSessions: 100,
  historyBytes: 1_000_000,
  initial: { conf: conf(1, 2, 3), members: Uint8Array.of(1, 2, 3) },
  confChange: (_before, { data }) => ({ conf: conf(...data), members: data }),
}

/** `a=1` puts, `a` deletes; several in one word, joined by `+`, are one atomic batch. */
export type Commands = string

/** A request as a test writes it. */
export interface TestRequest {
  readonly client: string
  readonly seq: number
  readonly commands: Commands
  /** Defaults to 1. */
  readonly floor?: number
  /** Defaults to 0. */
  readonly base?: number
}

/** The client's 8 bytes. */
export function clientId(name: string): Buffer {
  const id = Buffer.alloc(8)
  id.write(name)
  return id
}

/** The request's bytes. */
export function encode({ client, seq, commands, floor = 1, base = 0 }: TestRequest): Buffer {
  const writer = new RequestWriter(64)
  for (const command of commands.split(' ').filter((word) => word !== '')) {
    const operations = command.split('+').map((word) => {
      const [key, value] = word.split('=')
      const bytes = Buffer.from(key!)
      return value === undefined
        ? ({ type: 'del', key: bytes } as const)
        : ({ type: 'put', key: bytes, value: Buffer.from(value) } as const)
    })
    const [first] = operations
    if (operations.length > 1) writer.batch(operations)
    else if (first!.type === 'put') writer.put(first!.key, first!.value)
    else writer.del(first!.key)
  }
  return writer.finish(clientId(client), seq, floor, base)
}

/** The entry at `index`, in term 1 unless said otherwise. */
export function entry(index: number, requests: readonly TestRequest[], term = 1): Entry {
  const data = requests.length === 0 ? Buffer.alloc(0) : packEntry(requests.map(encode))
  return { index, term, kind: 'normal', data }
}

/** The configuration entry at `index` that OPTIONS understands. */
export function confEntry(index: number, ...voters: number[]): Entry {
  return { index, term: 1, kind: 'confChangeV2', data: Uint8Array.from(voters) }
}

/** A host whose database survives its state machines. */
export class TestHost {
  readonly world: SimWorld
  readonly databases: SimDatabases

  constructor(seed: number) {
    this.world = new SimWorld(seed)
    this.databases = new SimDatabases(this.world, 'a')
  }

  run<T>(promise: Promise<T>): Promise<T> {
    return this.world.complete(promise, 3_600_000)
  }

  open(
    options: MachineOptions = OPTIONS,
    databases: Pick<Databases, 'open'> = this.databases,
  ): Promise<StateMachine> {
    return this.run(StateMachine.open(databases, 'state', options))
  }

  /** Everything that the closed or crashed state machine left, byte for byte. */
  async dump(): Promise<string[]> {
    const database = await this.run(this.databases.open('state'))
    const lines = await dumpOf(database, (promise) => this.run(promise))
    await this.run(database.close())
    return lines
  }
}

/** Every record of `database`, byte for byte. */
export async function dumpOf(
  database: Database,
  run: <T>(promise: Promise<T>) => Promise<T>,
): Promise<string[]> {
  const snapshot = database.snapshot()
  const entries = await drain(snapshot.cursor({ range: {}, reverse: false }), run)
  await run(snapshot.close())
  return entries.map(([key, value]) => `${hex(key)} ${hex(value)}`)
}

async function drain(
  cursor: Cursor,
  run: <T>(promise: Promise<T>) => Promise<T>,
): Promise<(readonly [Uint8Array, Uint8Array])[]> {
  const all: (readonly [Uint8Array, Uint8Array])[] = []
  for (;;) {
    const some = await run(cursor.next(1000, 1_000_000))
    if (some.length === 0) return all
    all.push(...some)
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

/** Keys, values and revisions of the state machine, as `a=1@7`. */
export async function contents(host: TestHost, machine: StateMachine): Promise<string[]> {
  const view = machine.view()
  const cursor = view.scan({}, false)
  const lines: string[] = []
  for (;;) {
    const some = await host.run(cursor.next(1000, 1_000_000))
    if (some.length === 0) break
    for (const [key, { value, revision }] of some) lines.push(`${key}=${value}@${revision}`)
  }
  await host.run(view.close())
  return lines
}
