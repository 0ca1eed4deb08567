/**
 * A disk in memory that loses what real disks lose.
 *
 * What a process wrote and what would survive a power cut are two things here. Each file is its durable bytes
 * and an ordered list of changes that are not durable yet; each name is durable once its folder was synced.
 * A power cut keeps of the rest what the asked-for mode says, drawn from the world's seed; a kill loses only
 * what was under way. Every operation takes virtual time and happens at its end.
 *
 * Invariant: nothing of an earlier life (before a kill or a power cut) completes or changes anything.
 */
import { StoreError } from '../base/errors.js'
import type { Disk, DiskFile, DiskLock, OpenMode } from '../env/disk.js'
import { Moment } from './moment.js'
import { type Draw, type PendingChange, SimInode } from './sim-inode.js'
import type { SimWorld } from './world.js'

/**
 * What a power cut leaves of what was not durable: nothing; the oldest part; the oldest part with the last
 * write torn between sectors and followed by old bytes, zeros or garbage; any subset of pages and names.
 */
export type PowerCutMode = 'none' | 'prefix' | 'torn' | 'arbitrary'

/** The operations that take time and can be made to fail; `writeDurable` is a `write` and a `sync`. */
export type DiskOperation =
  | 'open'
  | 'read'
  | 'write'
  | 'sync'
  | 'truncate'
  | 'size'
  | 'makeDir'
  | 'list'
  | 'rename'
  | 'link'
  | 'remove'
  | 'removeDir'
  | 'syncDir'
  | 'freeBytes'
  | 'lock'

/** The durable contents of a disk. The bytes must not be changed. */
export interface DiskImage {
  readonly files: ReadonlyMap<string, Buffer>
  readonly dirs: ReadonlySet<string>
}

/** Settings of a SimDisk. */
export interface SimDiskOptions {
  /** The files' lengths together stay within it; beyond is ENOSPC. Unlimited when absent. */
  readonly capacityBytes?: number
}

/** The longest an operation takes at normal speed, in virtual milliseconds. */
const SLOW_MS = 2
const QUICK_MS = 0.2

/** A change of names: `from` loses its file, `to` gets it. */
interface NameChange {
  readonly from: string | undefined
  readonly to: string | undefined
  readonly inode: SimInode
  /** Syncing one of these folders makes it durable. */
  readonly dirs: readonly string[]
}

interface Failure {
  readonly operation: DiskOperation
  readonly code: string
  readonly pathPart: string
}

/** One host's disk. All of `Disk`, and what tests do to disks. */
export class SimDisk implements Disk {
  /** Multiplies the time that operations take. */
  slowness = 1
  /** As in the options; may change at any time. */
  capacityBytes: number
  /** Called when an operation that changes something begins, and again when it has happened. */
  onBoundary: (() => void) | undefined
  /** How the process hears of what has happened: at once, or through its gate (SimTime.deliver). */
  deliver: (callback: () => void) => void = (callback) => callback()
  readonly #world: SimWorld
  readonly #hostKey: string
  #files: Map<string, SimInode> = new Map()
  #durableFiles: Map<string, SimInode> = new Map()
  #dirs: Set<string> = new Set()
  #nameChanges: NameChange[] = []
  #failures: Failure[] = []
  readonly #locks: Set<string> = new Set()
  #life = 0
  readonly #moment: Moment

  constructor(world: SimWorld, hostKey: string, options: SimDiskOptions) {
    this.#world = world
    this.#hostKey = hostKey
    this.#moment = new Moment(world)
    this.capacityBytes = options.capacityBytes ?? Number.POSITIVE_INFINITY
  }

  /** The next `operation` on a path that contains `pathPart` fails with `code`, once. */
  failNext(operation: DiskOperation, code: string, pathPart: string): void {
    this.#failures.push({ operation, code, pathPart })
  }

  /** Forgets the failures of `failNext` that have not happened; returns how many. */
  forgetFailures(): number {
    return this.#failures.splice(0).length
  }

  /** Flips the bits of `mask` in one durable byte: rot that only a checksum can see. */
  corrupt(path: string, position: number, mask: number): void {
    const inode = this.#files.get(path)
    if (inode === undefined) throw new Error(`no file ${path}`)
    inode.corrupt(position, mask)
  }

  /** Puts `bytes` in place of what is durable: a write that was lost, or that another one hit. */
  overwrite(path: string, position: number, bytes: Uint8Array): void {
    const there = this.bytesOf(path)
    for (const [i, byte] of bytes.entries()) {
      this.corrupt(path, position + i, byte ^ there[position + i]!)
    }
  }

  /** The contents of a file, as processes see it. */
  bytesOf(path: string): Buffer {
    const inode = this.#files.get(path)
    if (inode === undefined) throw new Error(`no file ${path}`)
    const bytes = Buffer.alloc(inode.length)
    inode.read(bytes, 0)
    return bytes
  }

  /** What a power cut now would leave at least of each file in a folder, by path. */
  *durableIn(dir: string): IterableIterator<readonly [path: string, bytes: Buffer]> {
    for (const [path, inode] of this.#durableFiles) {
      if (parentOf(path) === dir) yield [path, inode.survivor('none', () => 0)]
    }
  }

  /** A folder is gone with everything in it, durably. No process runs. */
  lose(dir: string): void {
    const isIn = (path: string | undefined) => path === dir || path?.startsWith(`${dir}/`) === true
    for (const files of [this.#files, this.#durableFiles]) {
      for (const path of files.keys()) if (isIn(path)) files.delete(path)
    }
    for (const path of this.#dirs) if (isIn(path)) this.#dirs.delete(path)
    this.#nameChanges = this.#nameChanges.filter(({ from, to }) => !isIn(from) && !isIn(to))
  }

  /** The files in a folder, sorted. */
  paths(dir: string): string[] {
    return [...this.#files.keys()].filter((path) => parentOf(path) === dir).sort()
  }

  /** All files. */
  get allPaths(): readonly string[] {
    return [...this.#files.keys()].sort()
  }

  /** All folders. */
  get allDirs(): readonly string[] {
    return [...this.#dirs].sort()
  }

  /** What the files' lengths add up to. */
  get usedBytes(): number {
    let used = 0
    for (const inode of this.#files.values()) used += inode.length
    return used
  }

  /** The process dies: finished writes stay with the system, those under way happen or not, locks end. */
  kill(): void {
    this.#life++
    this.#locks.clear()
    for (const [path, inode] of this.#files) {
      inode.endUnderWay((position) => this.#draw('kill', path, position) % 2 === 0)
    }
  }

  /** The power goes: what was not durable survives as `mode` says. */
  powerCut(mode: PowerCutMode): void {
    const [micros] = this.#moment.next()
    const image = this.image(mode, micros)
    this.restore(image)
  }

  /** The disk as the process that runs now sees it: after its death none of its calls does or settles anything. */
  mount(): Disk {
    const life = this.#life
    return new MountedDisk(this, () => life === this.#life)
  }

  /** Whether a power cut now could lose anything. */
  get hasUnsynced(): boolean {
    if (this.#nameChanges.length > 0) return true
    for (const inode of this.#inodes()) if (inode.hasUnsynced) return true
    return false
  }

  /** What a power cut in this moment would leave; different salts give different draws. Changes nothing. */
  image(mode: PowerCutMode, salt: number): DiskImage {
    const names = this.#survivingNames(mode, salt)
    const files = new Map<string, Buffer>()
    const dirs = new Set(this.#dirs)
    for (const [path, inode] of names) {
      files.set(
        path,
        inode.survivor(mode, (...keys) => this.#draw(salt, path, ...keys)),
      )
      for (let dir = parentOf(path); dir !== ''; dir = parentOf(dir)) dirs.add(dir)
    }
    return { files, dirs }
  }

  /** Becomes a disk that holds `image` and nothing else, all of it durable; the process before is dead. */
  restore(image: DiskImage): void {
    this.#life++
    this.#locks.clear()
    this.#nameChanges = []
    this.#files = new Map()
    for (const [path, bytes] of image.files) {
      this.#files.set(path, new SimInode(path, bytes))
    }
    this.#durableFiles = new Map(this.#files)
    this.#dirs = new Set(image.dirs)
  }

  open(path: string, mode: OpenMode): Promise<DiskFile> {
    return this.#perform('open', path, () => {
      const existing = this.#files.get(path)
      if (mode === 'create') {
        if (existing !== undefined) throw systemError('EEXIST', path)
        if (!this.#isDir(parentOf(path))) throw systemError('ENOENT', path)
        const inode = new SimInode(path, Buffer.alloc(0))
        this.#changeName({ from: undefined, to: path, inode, dirs: [parentOf(path)] })
        return this.#handle(inode)
      }
      if (existing === undefined) throw systemError('ENOENT', path)
      return this.#handle(existing)
    })
  }

  makeDir(path: string): Promise<void> {
    return this.#perform('makeDir', path, () => {
      for (let dir = trimmed(path); dir !== ''; dir = parentOf(dir)) this.#dirs.add(dir)
    })
  }

  list(path: string): Promise<string[] | undefined> {
    return this.#perform('list', path, () => {
      const dir = trimmed(path)
      if (!this.#isDir(dir)) return undefined
      const all = [...this.#files.keys(), ...this.#dirs]
      return all
        .filter((child) => parentOf(child) === dir)
        .map(nameOf)
        .sort()
    })
  }

  rename(from: string, to: string): Promise<void> {
    return this.#perform('rename', from, () => {
      const inode = this.#files.get(from)
      if (inode === undefined) throw systemError('ENOENT', from)
      this.#changeName({ from, to, inode, dirs: [parentOf(from), parentOf(to)] })
    })
  }

  link(from: string, to: string): Promise<void> {
    return this.#perform('link', from, () => {
      const inode = this.#files.get(from)
      if (inode === undefined) throw systemError('ENOENT', from)
      if (this.#files.has(to)) throw systemError('EEXIST', to)
      if (!this.#isDir(parentOf(to))) throw systemError('ENOENT', to)
      this.#changeName({ from: undefined, to, inode, dirs: [parentOf(to)] })
    })
  }

  remove(path: string): Promise<void> {
    return this.#perform('remove', path, () => {
      const inode = this.#files.get(path)
      if (inode === undefined) throw systemError('ENOENT', path)
      this.#changeName({ from: path, to: undefined, inode, dirs: [parentOf(path)] })
    })
  }

  removeDir(path: string): Promise<void> {
    return this.#perform('removeDir', path, () => {
      const top = trimmed(path)
      const isInside = (child: string) => child === top || child.startsWith(`${top}/`)
      for (const [file, inode] of this.#files) {
        if (!isInside(file)) continue
        const dirs = [parentOf(top)]
        for (let dir = parentOf(file); isInside(dir); dir = parentOf(dir)) dirs.push(dir)
        this.#changeName({ from: file, to: undefined, inode, dirs })
      }
      for (const dir of this.#dirs) if (isInside(dir)) this.#dirs.delete(dir)
    })
  }

  syncDir(path: string): Promise<void> {
    const dir = trimmed(path)
    const covered = new Set(this.#nameChanges.filter((change) => change.dirs.includes(dir)))
    return this.#perform('syncDir', path, () => {
      if (!this.#isDir(dir)) throw systemError('ENOENT', path)
      for (const change of covered) applyName(this.#durableFiles, change)
      this.#nameChanges = this.#nameChanges.filter((change) => !covered.has(change))
    })
  }

  freeBytes(path: string): Promise<number> {
    return this.#perform('freeBytes', path, () => this.#freeBytes)
  }

  lock(path: string): Promise<DiskLock> {
    return this.#perform('lock', path, () => {
      const life = this.#life
      if (this.#locks.has(path)) {
        throw new StoreError('QUORATE_LOCKED', `${path} is in use by a process on ${this.#hostKey}`)
      }
      for (let dir = trimmed(path); dir !== ''; dir = parentOf(dir)) this.#dirs.add(dir)
      this.#locks.add(path)
      return {
        close: async () => {
          if (life === this.#life) this.#locks.delete(path)
        },
      }
    })
  }

  #handle(inode: SimInode): DiskFile {
    const life = this.#life
    return new SimFile(inode, {
      operate: (operation, effect) => this.#operate(operation, effect),
      takeFailure: (operation) => this.#takeFailure(operation, inode.path),
      isDead: () => life !== this.#life,
      freeBytes: () => this.#freeBytes,
      draw: (...keys) => this.#draw(inode.path, ...keys),
    })
  }

  /** An operation that fails as a whole or happens as a whole. */
  #perform<T>(operation: DiskOperation, path: string, effect: () => T): Promise<T> {
    return this.#operate(operation, () => {
      const failure = this.#takeFailure(operation, path)
      if (failure !== undefined) throw failure
      return effect()
    })
  }

  /** Lets `effect` happen after a while, unless the process dies before: then the promise never settles. */
  #operate<T>(operation: DiskOperation, effect: () => T): Promise<T> {
    const life = this.#life
    const longest = operation === 'sync' || operation === 'syncDir' ? SLOW_MS : QUICK_MS
    const micros = this.#draw(operation, ...this.#moment.next()) % (longest * 1_000)
    this.onBoundary?.()
    return new Promise((resolve, reject) => {
      this.#world.schedule((micros / 1_000) * this.slowness, () => {
        if (life !== this.#life) return
        try {
          const result = effect()
          this.deliver(() => resolve(result))
        } catch (error) {
          this.deliver(() => reject(error))
        }
        this.onBoundary?.()
      })
    })
  }

  #takeFailure(operation: DiskOperation, path: string): Error | undefined {
    const at = this.#failures.findIndex(
      (failure) => failure.operation === operation && path.includes(failure.pathPart),
    )
    const [failure] = at === -1 ? [] : this.#failures.splice(at, 1)
    return failure === undefined ? undefined : systemError(failure.code, path)
  }

  #changeName(change: NameChange): void {
    applyName(this.#files, change)
    this.#nameChanges.push(change)
    if (change.to !== undefined) change.inode.path = change.to
  }

  #survivingNames(mode: PowerCutMode, salt: number): Map<string, SimInode> {
    const names = new Map(this.#durableFiles)
    const kept = this.#draw(salt, 'names') % (this.#nameChanges.length + 1)
    for (const [i, change] of this.#nameChanges.entries()) {
      const survives =
        mode === 'arbitrary' ? this.#draw(salt, 'name', i) % 2 === 0 : mode !== 'none' && i < kept
      if (survives) applyName(names, change)
    }
    return names
  }

  #isDir(path: string): boolean {
    return path === '' || path === '.' || this.#dirs.has(path)
  }

  get #freeBytes(): number {
    return Math.max(0, this.capacityBytes - this.usedBytes)
  }

  #inodes(): Set<SimInode> {
    return new Set([...this.#files.values(), ...this.#durableFiles.values()])
  }

  #draw(...keys: readonly (number | string)[]): number {
    return this.#world.u32('disk', this.#hostKey, ...keys)
  }
}

/** A SimDisk for one process: what is left of its microtasks when it dies must not reach the next one's files. */
class MountedDisk implements Disk {
  readonly #disk: SimDisk
  readonly #isAlive: () => boolean

  constructor(disk: SimDisk, isAlive: () => boolean) {
    this.#disk = disk
    this.#isAlive = isAlive
  }

  open(path: string, mode: OpenMode): Promise<DiskFile> {
    return this.#alive(() => this.#disk.open(path, mode))
  }

  makeDir(path: string): Promise<void> {
    return this.#alive(() => this.#disk.makeDir(path))
  }

  list(path: string): Promise<string[] | undefined> {
    return this.#alive(() => this.#disk.list(path))
  }

  rename(from: string, to: string): Promise<void> {
    return this.#alive(() => this.#disk.rename(from, to))
  }

  link(from: string, to: string): Promise<void> {
    return this.#alive(() => this.#disk.link(from, to))
  }

  remove(path: string): Promise<void> {
    return this.#alive(() => this.#disk.remove(path))
  }

  removeDir(path: string): Promise<void> {
    return this.#alive(() => this.#disk.removeDir(path))
  }

  syncDir(path: string): Promise<void> {
    return this.#alive(() => this.#disk.syncDir(path))
  }

  freeBytes(path: string): Promise<number> {
    return this.#alive(() => this.#disk.freeBytes(path))
  }

  lock(path: string): Promise<DiskLock> {
    return this.#alive(() => this.#disk.lock(path))
  }

  #alive<T>(call: () => Promise<T>): Promise<T> {
    return this.#isAlive() ? call() : never()
  }
}

/** What an open file needs of its disk. */
interface FileHost {
  operate<T>(operation: DiskOperation, effect: () => T): Promise<T>
  takeFailure(operation: DiskOperation): Error | undefined
  /** Whether the process that opened the file is gone. */
  isDead(): boolean
  freeBytes(): number
  readonly draw: Draw
}

class SimFile implements DiskFile {
  readonly #inode: SimInode
  readonly #host: FileHost
  #isClosed = false
  #underWay = 0
  #whenIdle: (() => void) | undefined

  constructor(inode: SimInode, host: FileHost) {
    this.#inode = inode
    this.#host = host
  }

  read(target: Uint8Array, position: number): Promise<number> {
    return this.#use('read', () => {
      this.#throwFailure('read')
      return this.#inode.read(target, position)
    })
  }

  write(parts: readonly Uint8Array[], position: number): Promise<void> {
    return this.#change('write', position, parts, (change) => {
      this.#finishWrite(change, position, parts)
    })
  }

  writeDurable(parts: readonly Uint8Array[], position: number): Promise<void> {
    return this.#change('sync', position, parts, (change) => {
      this.#finishWrite(change, position, parts)
      this.#finishSync([change])
    })
  }

  sync(): Promise<void> {
    const covered = this.#inode.finished()
    return this.#use('sync', () => this.#finishSync(covered))
  }

  truncate(bytes: number): Promise<void> {
    return this.#change('truncate', bytes, undefined, (change) => {
      const isTooLarge = bytes - this.#inode.length > this.#host.freeBytes()
      const failure = isTooLarge
        ? systemError('ENOSPC', this.#inode.path)
        : this.#host.takeFailure('truncate')
      if (failure !== undefined) {
        this.#inode.forget(change)
        throw failure
      }
      this.#inode.finish(change, 0)
    })
  }

  size(): Promise<number> {
    return this.#use('size', () => {
      this.#throwFailure('size')
      return this.#inode.length
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    if (this.#underWay === 0) return
    await new Promise<void>((resolve) => {
      this.#whenIdle = resolve
    })
  }

  /** From here on a power cut may find the change done. */
  async #change(
    operation: DiskOperation,
    position: number,
    parts: readonly Uint8Array[] | undefined,
    effect: (change: PendingChange) => void,
  ): Promise<void> {
    if (this.#host.isDead()) return never()
    this.#throwIfClosed()
    const change = this.#inode.begin(position, parts)
    return this.#use(operation, () => effect(change))
  }

  #finishWrite(change: PendingChange, position: number, parts: readonly Uint8Array[]): void {
    const bytes = parts.reduce((sum, part) => sum + part.length, 0)
    const room = this.#inode.length + this.#host.freeBytes() - position
    const failure =
      this.#host.takeFailure('write') ??
      (bytes > room ? systemError('ENOSPC', this.#inode.path) : undefined)
    // A failed write has written something, or nothing.
    const some = this.#host.draw('failed write', position) % (bytes + 1)
    this.#inode.finish(change, failure === undefined ? bytes : Math.max(0, Math.min(room, some)))
    if (failure !== undefined) throw failure
  }

  #finishSync(covered: readonly PendingChange[]): void {
    const failure = this.#host.takeFailure('sync')
    if (failure !== undefined) {
      this.#inode.makeUncertain(covered)
      throw failure
    }
    this.#inode.makeDurable(covered)
  }

  #throwFailure(operation: DiskOperation): void {
    const failure = this.#host.takeFailure(operation)
    if (failure !== undefined) throw failure
  }

  #throwIfClosed(): void {
    if (this.#isClosed) throw systemError('EBADF', this.#inode.path)
  }

  async #use<T>(operation: DiskOperation, effect: () => T): Promise<T> {
    // What a process still does in the turn of its death reaches nobody: not even a failure comes back.
    if (this.#host.isDead()) return never()
    this.#throwIfClosed()
    this.#underWay++
    try {
      return await this.#host.operate(operation, effect)
    } finally {
      this.#underWay--
      if (this.#underWay === 0) this.#whenIdle?.()
    }
  }
}

function applyName(names: Map<string, SimInode>, change: NameChange): void {
  if (change.from !== undefined) names.delete(change.from)
  if (change.to !== undefined) names.set(change.to, change.inode)
}

/** What a dead process waits for. */
function never<T>(): Promise<T> {
  return new Promise(() => {})
}

function systemError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code })
}

function trimmed(path: string): string {
  return path.endsWith('/') ? path.slice(0, -1) : path
}

/** The folder of a path; empty at the top. */
function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')))
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}
