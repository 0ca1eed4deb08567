/** A log on a simulated disk, and a tiny language for entries: `entries(4, '2 2 3')`. */
import assert from 'node:assert/strict'
import { StoreError } from '../../src/base/errors.js'
import { type LogIdentity, type LogOptions, RaftLog } from '../../src/log/raft-log.js'
import type { Entry, HardState, LogIndex } from '../../src/raft/types.js'
import { SimDisk } from '../../src/sim/sim-disk.js'
import { SimTime } from '../../src/sim/sim-time.js'
import { SimWorld } from '../../src/sim/world.js'

export const DIR = 'data/log'
export const IDENTITY: LogIdentity = { clusterId: Buffer.from('cluster!'), nodeId: 7 }
export const OPTIONS: LogOptions = {
  segmentBytes: 4_096,
  maxWriteBytes: 65_536,
  tailBytes: 1_000_000,
}

/** One machine: its disk, and the log of the process that runs on it. */
export class LogHost {
  readonly world: SimWorld
  readonly disk: SimDisk
  readonly #options: LogOptions
  #log: RaftLog | undefined

  constructor(seed: number, options: Partial<LogOptions>) {
    this.world = new SimWorld(seed)
    this.disk = new SimDisk(this.world, 'host', {})
    this.#options = { ...OPTIONS, ...options }
  }

  /** A host with an open log. */
  static async start(options: Partial<LogOptions>): Promise<LogHost> {
    const host = new LogHost(1, options)
    await host.open()
    return host
  }

  get log(): RaftLog {
    assert.ok(this.#log)
    return this.#log
  }

  run<T>(promise: Promise<T>): Promise<T> {
    return this.world.complete(promise, 600_000)
  }

  /** Opens the log as a new process would. */
  async open(): Promise<RaftLog> {
    this.#log = await this.run(this.begin())
    return this.#log
  }

  /** As `open`, but time passes only when the caller lets it. */
  begin(): Promise<RaftLog> {
    return RaftLog.open(this.disk.mount(), new SimTime(this.world), DIR, IDENTITY, this.#options)
  }

  async append(list: readonly Entry[], hardState?: HardState): Promise<void> {
    await this.run(this.log.append({ entries: list, hardState, mustSync: true }))
  }

  /** The terms of the entries from the first to the last, read back from disk. */
  async terms(): Promise<string> {
    return (await this.entries()).map((found) => found.term).join(' ')
  }

  async entries(): Promise<Entry[]> {
    const { firstIndex, lastIndex } = this.log.status()
    const all: Entry[] = []
    for (let at = firstIndex; at <= lastIndex; ) {
      const some = await this.run(this.log.read(at, lastIndex, 10_000))
      assert.ok(some.length > 0)
      all.push(...some)
      at += some.length
    }
    return all
  }

  /** The names in the log's folder, by what they end in. */
  async files(ending: string): Promise<string[]> {
    const names = (await this.run(this.disk.list(DIR))) ?? []
    return names.filter((name) => name.endsWith(ending)).map((name) => `${DIR}/${name}`)
  }
}

/** Entries from `first` on with the given terms and some data. */
export function entries(first: LogIndex, terms: string, data?: Buffer): Entry[] {
  return terms.split(' ').map((term, i) => ({
    index: first + i,
    term: Number(term),
    kind: 'normal',
    data: data ?? Buffer.from(`entry ${first + i} of term ${term}`),
  }))
}

/** Whether an error is a StoreError of this code because of a system error of that code; for assert.rejects. */
export function isFailure(code: string, causeCode: string): (error: unknown) => boolean {
  return (error) =>
    error instanceof StoreError &&
    error.code === code &&
    error.cause instanceof Error &&
    'code' in error.cause &&
    error.cause.code === causeCode
}
