/**
 * A simulated disk with real files beside it: whatever a process does happens in both, and what it reads comes from
 * the real ones and must be what the simulated ones say.
 *
 * The simulated disk decides when an operation ends and whether it fails; the real one follows at that moment, while
 * virtual time stands still (SimWorld.hold). What a crash leaves is decided by the simulated one, too: the real files
 * are made equal to it before the next process starts.
 */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { assert } from '../../base/assert.js'
import type { Disk, DiskFile, DiskLock, OpenMode } from '../../env/disk.js'
import { NodeDisk } from '../../env/node-disk.js'
import type { SimDisk } from '../sim-disk.js'
import type { SimWorld } from '../world.js'

/** The real files of one simulated machine. */
export class FileMirror {
  readonly root: string
  readonly #world: SimWorld
  readonly #real = new NodeDisk()
  readonly #locks = new Set<DiskLock>()
  readonly #open = new Set<MirroredFile>()
  #ready: Promise<void> = Promise.resolve()

  /** @param root an existing folder that nobody else uses */
  constructor(world: SimWorld, root: string) {
    this.#world = world
    this.root = root
  }

  /** The disk for a new process on the machine whose simulated one `simulated` is. */
  mount(simulated: Disk, disk: SimDisk): Disk {
    const ready = this.#restore(disk)
    this.#ready = ready
    this.#world.hold(ready)
    return new MirroredDisk(this, simulated, disk)
  }

  /** Makes the real files what the simulated ones are, after these were damaged. */
  async copy(disk: SimDisk): Promise<void> {
    for (const path of disk.allPaths) await this.rewrite(path, disk.bytesOf(path))
  }

  /** Does a real operation while virtual time stands still. */
  async real<T>(work: (disk: NodeDisk) => Promise<T>): Promise<T> {
    await this.#ready
    return this.#world.hold(work(this.#real))
  }

  at(path: string): string {
    return join(this.root, path)
  }

  keepLock(lock: DiskLock): void {
    this.#locks.add(lock)
  }

  keepOpen(file: MirroredFile): void {
    this.#open.add(file)
  }

  forget(file: MirroredFile): void {
    this.#open.delete(file)
  }

  renamed(from: string, to: string): void {
    for (const file of this.#open) if (file.path === from) file.path = to
  }

  /** Replaces the contents of a real file in place. */
  async rewrite(path: string, bytes: Buffer): Promise<void> {
    const names = await this.#real.list(join(this.at(path), '..'))
    const isThere = names?.includes(path.slice(path.lastIndexOf('/') + 1)) === true
    const file = await this.#real.open(this.at(path), isThere ? 'write' : 'create')
    try {
      await file.truncate(bytes.length)
      await file.write([bytes], 0)
    } finally {
      await file.close()
    }
  }

  /** Ends what a dead process had open. */
  async abandon(): Promise<void> {
    for (const lock of this.#locks) await lock.close()
    for (const file of this.#open) await file.abandon()
    this.#locks.clear()
    this.#open.clear()
  }

  async #restore(disk: SimDisk): Promise<void> {
    await this.#ready
    await this.abandon()
    const wanted = new Set(disk.allPaths)
    for (const dir of disk.allDirs) {
      await this.#real.makeDir(this.at(dir))
      for (const name of (await this.#real.list(this.at(dir))) ?? []) {
        const path = `${dir}/${name}`
        const isKnown = wanted.has(path) || disk.allDirs.includes(path)
        // The folders of locks and databases are not the simulated disk's.
        if (!isKnown && /\.\w+$/.test(name)) await rm(this.at(path), { recursive: true })
      }
    }
    for (const path of wanted) await this.rewrite(path, disk.bytesOf(path))
  }
}

class MirroredDisk implements Disk {
  readonly #mirror: FileMirror
  readonly #simulated: Disk
  readonly #disk: SimDisk

  constructor(mirror: FileMirror, simulated: Disk, disk: SimDisk) {
    this.#mirror = mirror
    this.#simulated = simulated
    this.#disk = disk
  }

  async open(path: string, mode: OpenMode): Promise<DiskFile> {
    const simulated = await this.#simulated.open(path, mode)
    const real = await this.#mirror.real((disk) => disk.open(this.#mirror.at(path), mode))
    return new MirroredFile(this.#mirror, simulated, real, path, this.#disk)
  }

  async makeDir(path: string): Promise<void> {
    await this.#simulated.makeDir(path)
    await this.#mirror.real((disk) => disk.makeDir(this.#mirror.at(path)))
  }

  async list(path: string): Promise<string[] | undefined> {
    const simulated = await this.#simulated.list(path)
    const real = await this.#mirror.real((disk) => disk.list(this.#mirror.at(path)))
    const isFound = simulated?.every((name) => real?.includes(name)) ?? real === undefined
    assert(isFound, 'a real folder lacks what the simulated one has', { path, simulated, real })
    return simulated
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#simulated.rename(from, to)
    this.#mirror.renamed(from, to)
    const { at } = this.#mirror
    await this.#mirror.real((disk) =>
      disk.rename(at.call(this.#mirror, from), at.call(this.#mirror, to)),
    )
  }

  async link(from: string, to: string): Promise<void> {
    await this.#simulated.link(from, to)
    const { at } = this.#mirror
    await this.#mirror.real((disk) =>
      disk.link(at.call(this.#mirror, from), at.call(this.#mirror, to)),
    )
  }

  async remove(path: string): Promise<void> {
    await this.#simulated.remove(path)
    await this.#mirror.real((disk) => disk.remove(this.#mirror.at(path)))
  }

  async removeDir(path: string): Promise<void> {
    await this.#simulated.removeDir(path)
    await this.#mirror.real((disk) => disk.removeDir(this.#mirror.at(path)))
  }

  async syncDir(path: string): Promise<void> {
    await this.#simulated.syncDir(path)
    await this.#mirror.real((disk) => disk.syncDir(this.#mirror.at(path)))
  }

  /** How much room there is, the simulated disk says. */
  freeBytes(path: string): Promise<number> {
    return this.#simulated.freeBytes(path)
  }

  async lock(path: string): Promise<DiskLock> {
    const simulated = await this.#simulated.lock(path)
    const real = await this.#mirror.real((disk) => disk.lock(this.#mirror.at(path)))
    this.#mirror.keepLock(real)
    return {
      close: async () => {
        await simulated.close()
        await this.#mirror.real(() => real.close())
      },
    }
  }
}

class MirroredFile implements DiskFile {
  /** Its newest name. */
  path: string
  readonly #mirror: FileMirror
  readonly #simulated: DiskFile
  readonly #real: DiskFile
  readonly #disk: SimDisk

  constructor(
    mirror: FileMirror,
    simulated: DiskFile,
    real: DiskFile,
    path: string,
    disk: SimDisk,
  ) {
    this.path = path
    this.#mirror = mirror
    this.#simulated = simulated
    this.#real = real
    this.#disk = disk
    mirror.keepOpen(this)
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    const expected = new Uint8Array(target.length)
    const count = await this.#simulated.read(expected, position)
    const real = await this.#mirror.real(() => this.#real.read(target, position))
    const isEqual = Buffer.compare(expected.subarray(0, count), target.subarray(0, real)) === 0
    assert(isEqual, 'a real file differs from the simulated one', { path: this.path, position })
    return real
  }

  write(parts: readonly Uint8Array[], position: number): Promise<void> {
    return this.#change(
      () => this.#simulated.write(parts, position),
      () => this.#real.write(parts, position),
    )
  }

  writeDurable(parts: readonly Uint8Array[], position: number): Promise<void> {
    return this.#change(
      () => this.#simulated.writeDurable(parts, position),
      () => this.#real.writeDurable(parts, position),
    )
  }

  sync(): Promise<void> {
    return this.#change(
      () => this.#simulated.sync(),
      () => this.#real.sync(),
    )
  }

  truncate(bytes: number): Promise<void> {
    return this.#change(
      () => this.#simulated.truncate(bytes),
      () => this.#real.truncate(bytes),
    )
  }

  async size(): Promise<number> {
    const simulated = await this.#simulated.size()
    const real = await this.#mirror.real(() => this.#real.size())
    assert(simulated === real, 'a real file is not as long as the simulated one', {
      path: this.path,
      simulated,
      real,
    })
    return real
  }

  async close(): Promise<void> {
    await this.#simulated.close()
    this.#mirror.forget(this)
    await this.#mirror.real(() => this.#real.close())
  }

  /** The process is dead. */
  abandon(): Promise<void> {
    return this.#real.close()
  }

  async #change(simulated: () => Promise<void>, real: () => Promise<void>): Promise<void> {
    try {
      await simulated()
    } catch (error) {
      // A write that failed has written something or nothing, which the simulated disk has decided.
      await this.#mirror.real(async () => {
        if (this.#disk.allPaths.includes(this.path)) {
          await this.#mirror.rewrite(this.path, this.#disk.bytesOf(this.path))
        }
      })
      throw error
    }
    await this.#mirror.real(real)
  }
}
