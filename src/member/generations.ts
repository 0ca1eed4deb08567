/**
 * Which of the databases in a data folder is the state, and how another one takes its place so that a crash at any
 * step leaves either the old state or the new one (reference: raft.md 3.5).
 *
 *   state/, state-<n>/       the state of generation 0, n; one of them counts, the others are leftovers
 *   state-<n>.broken-<m>/    a state that was set aside because it was damaged; the newest is kept, to be looked at
 *   CURRENT-STATE            the generation that counts; without the file it is 0
 *   install                  the plan of an installation under way: carried out to its end at the next open
 *
 * An installation, each step durable before the next: (1) the new state is loaded and flushed, (2) `begin` writes the
 * plan, (3) the owner makes the log begin after the state, (4) `commit` points at the new state and (5) removes the
 * plan, (6) `cleanUp` removes what does not count. Steps 3 to 6 may be done again.
 */
import { xxh64 } from '@node-rs/xxhash'
import { assert } from '../base/assert.js'
import { StoreError } from '../base/errors.js'
import type { Database, Databases } from '../env/database.js'
import type { Disk } from '../env/disk.js'
import type { EntryId } from '../raft/types.js'
import { readSmallFile, writeSmallFile } from './small-file.js'

const POINTER = 'CURRENT-STATE'
const PLAN = 'install'
const FORMAT = 1
const STATE_NAME = /^state(?:-(\d+))?$/
const BROKEN_NAME = /^(state(?:-\d+)?)\.broken-(\d+)$/

/** An installation that was begun: the state of `generation` is that after the entry named here. */
export interface InstallPlan extends EntryId {
  readonly generation: number
}

/** The databases of one data folder; see the file's comment. The member's lock is held by whoever uses it. */
export class Generations {
  readonly #disk: Disk
  readonly #databases: Databases
  readonly #dir: string
  #current: number
  #plan: InstallPlan | undefined

  /** @throws {StoreError} QUORATE_CORRUPTION naming the file that is damaged; QUORATE_FORMAT */
  static async open(disk: Disk, databases: Databases, dir: string): Promise<Generations> {
    const pointer = await readRecord(disk, dir, POINTER)
    const plan = await readRecord(disk, dir, PLAN)
    const current = pointer === undefined ? 0 : numberIn(pointer, 'generation', POINTER)
    const found = plan && {
      generation: numberIn(plan, 'generation', PLAN),
      index: numberIn(plan, 'index', PLAN),
      term: numberIn(plan, 'term', PLAN),
    }
    return new Generations(disk, databases, dir, current, found)
  }

  private constructor(
    disk: Disk,
    databases: Databases,
    dir: string,
    current: number,
    plan: InstallPlan | undefined,
  ) {
    this.#disk = disk
    this.#databases = databases
    this.#dir = dir
    this.#current = current
    this.#plan = plan
  }

  /** The folder of the state that counts. */
  get stateDir(): string {
    return this.#dirOf(this.#current)
  }

  /** The installation that was begun and is not complete. */
  get plan(): InstallPlan | undefined {
    return this.#plan
  }

  /** Opens an empty database for the next generation; what an earlier attempt left there is removed. */
  async openNext(): Promise<Database> {
    const dir = this.#dirOf(this.#current + 1)
    await this.#databases.remove(dir)
    return this.#databases.open(dir)
  }

  /** Gives up what `openNext` opened; the database is closed. */
  async dropNext(): Promise<void> {
    await this.#databases.remove(this.#dirOf(this.#current + 1))
  }

  /** Step 2: the next generation holds, durably, the state after `entry`, and is to count. */
  async begin({ index, term }: EntryId): Promise<void> {
    const plan = { generation: this.#current + 1, index, term }
    // The plan must not be there without the folder that it speaks of.
    await this.#disk.syncDir(this.#dir)
    await this.#write(PLAN, plan)
    this.#plan = plan
  }

  /** Steps 4 and 5: the planned generation counts. */
  async commit(): Promise<void> {
    const plan = this.#plan
    assert(plan !== undefined, 'an installation ends that was not begun')
    if (plan.generation !== this.#current) {
      await this.#write(POINTER, { generation: plan.generation })
      this.#current = plan.generation
    }
    await this.#disk.remove(`${this.#dir}/${PLAN}`)
    await this.#disk.syncDir(this.#dir)
    this.#plan = undefined
  }

  /** Step 6 while others are open: removes a folder that was `stateDir` before the last `commit`, and is closed. */
  async remove(stateDir: string): Promise<void> {
    assert(stateDir !== this.stateDir, 'the state that counts stays')
    await this.#databases.remove(stateDir)
  }

  /** Step 6: removes every generation but the one that counts; none of the others may be open. */
  async cleanUp(): Promise<void> {
    for (const name of await this.#databases.list(this.#dir)) {
      const generation = STATE_NAME.exec(name)
      if (generation !== null && Number(generation[1] ?? 0) !== this.#current) {
        await this.#databases.remove(`${this.#dir}/${name}`)
      }
    }
  }

  /** What the state that counts is called once it is set aside. */
  async nameAside(): Promise<string> {
    const names = await this.#databases.list(this.#dir)
    const numbers = names.map((name) => Number(BROKEN_NAME.exec(name)?.[2] ?? 0))
    return `${this.stateDir}.broken-${Math.max(0, ...numbers) + 1}`
  }

  /** Keeps a damaged state, which is closed, under the name of `nameAside`; an earlier one goes. */
  async setAside(stateDir: string, aside: string): Promise<void> {
    for (const name of await this.#databases.list(this.#dir)) {
      if (BROKEN_NAME.test(name)) await this.#databases.remove(`${this.#dir}/${name}`)
    }
    await this.#databases.rename(stateDir, aside)
  }

  #dirOf(generation: number): string {
    return generation === 0 ? `${this.#dir}/state` : `${this.#dir}/state-${generation}`
  }

  async #write(name: string, fields: Readonly<Record<string, number>>): Promise<void> {
    const body = JSON.stringify({ format: FORMAT, ...fields })
    const text = `${body} ${checkOf(body)}\n`
    await writeSmallFile(this.#disk, this.#dir, name, Buffer.from(text))
  }
}

/** What a file of this folder says; undefined when there is none. */
async function readRecord(
  disk: Disk,
  dir: string,
  name: string,
): Promise<ReadonlyMap<string, unknown> | undefined> {
  if (!((await disk.list(dir)) ?? []).includes(name)) return undefined
  const text = (await readSmallFile(disk, `${dir}/${name}`)).toString('latin1')
  const [, body, check] = /^(\{.*\}) ([0-9a-f]{16})\n$/.exec(text) ?? []
  if (body === undefined || checkOf(body) !== check) {
    throw new StoreError('QUORATE_CORRUPTION', `${dir}/${name} fails its checksum`)
  }
  const record = new Map(Object.entries(JSON.parse(body)))
  const format = record.get('format')
  if (format === FORMAT) return record
  throw new StoreError(
    'QUORATE_FORMAT',
    `${dir}/${name} has format ${String(format)}; this version reads ${FORMAT}`,
  )
}

function numberIn(record: ReadonlyMap<string, unknown>, field: string, name: string): number {
  const value = record.get(field)
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw new StoreError('QUORATE_CORRUPTION', `${name} lacks the number ${field}`)
}

function checkOf(text: string): string {
  return xxh64(text).toString(16).padStart(16, '0')
}
