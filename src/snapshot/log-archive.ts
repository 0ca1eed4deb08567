/**
 * Log entries in a folder of their own, copied there before the log lets go of them. With a backup they give the state
 * after any entry since.
 *
 *   <archive>/<cluster id>-<node>/<first>-<last>   entries in a row (wire/archive.ts), indexes with 16 digits
 *
 * Members may share an archive, also of several clusters: each has its folder in it. What one of them lacks, because it
 * was sent a snapshot instead, another may have. Only committed entries come here, so equal indexes are equal entries.
 *
 * A file has its name when its bytes are durable; `keep` counts entries as archived when the name is, too.
 */
import { StoreError } from '../base/errors.js'
import type { Disk } from '../env/disk.js'
import type { RaftLog } from '../log/raft-log.js'
import type { Entry, LogIndex, NodeId } from '../raft/types.js'
import { decodeArchive, encodeArchive } from '../wire/archive.js'
import { DecodeError } from '../wire/command.js'
import { readWhole, UNFINISHED, writeWhole } from './whole-file.js'

const FOLDER = /^([0-9a-f]{16})-(\d+)$/
const FILE = /^(\d{16})-(\d{16})$/
/** About the size of a file; an entry is never cut. */
const FILE_BYTES = 4 * 1024 * 1024
const FILE_BYTES_MAX = 256 * 1024 * 1024

/** The archive of one member, which it writes. */
export class LogArchive {
  readonly #disk: Disk
  readonly #dir: string
  readonly #clusterId: string
  /** The newest entry that is archived; undefined until the folder was looked at. */
  #index: LogIndex | undefined
  #failure: Error | undefined

  /** @param clusterId 8 bytes in hexadecimal */
  constructor(disk: Disk, archive: string, clusterId: string, node: NodeId) {
    this.#disk = disk
    this.#dir = `${archive}/${clusterId}-${node}`
    this.#clusterId = clusterId
  }

  /** Why the last attempt failed; undefined when it did not. */
  get failure(): Error | undefined {
    return this.#failure
  }

  /**
   * Copies the entries of `log` up to `to`, all of them committed, that are not archived yet; one call at a time, about
   * 4 MiB in memory. Returns up to where the log is not needed for the archive any more. Never rejects: a failure is
   * kept in `failure`, and the next call tries again.
   */
  async keep(log: RaftLog, to: LogIndex): Promise<LogIndex> {
    try {
      this.#index ??= await this.#open()
      for (;;) {
        const from = Math.max(this.#index + 1, log.status().firstIndex)
        if (from > to) break
        const entries = await log.read(from, to, FILE_BYTES)
        const last = entries.at(-1)
        if (last === undefined) break
        await this.#write(entries)
        this.#index = last.index
      }
      this.#failure = undefined
    } catch (error) {
      this.#failure = error instanceof Error ? error : new Error(String(error))
    }
    return this.#index ?? 0
  }

  async #open(): Promise<LogIndex> {
    await this.#disk.makeDir(this.#dir)
    const names = (await this.#disk.list(this.#dir)) ?? []
    for (const name of names) {
      if (name.endsWith(UNFINISHED)) await this.#disk.remove(`${this.#dir}/${name}`)
    }
    return names.reduce((most, name) => Math.max(most, Number(FILE.exec(name)?.[2] ?? 0)), 0)
  }

  async #write(entries: readonly Entry[]): Promise<void> {
    const [first, last] = [entries[0]!.index, entries.at(-1)!.index]
    const path = `${this.#dir}/${padded(first)}-${padded(last)}`
    await writeWhole(this.#disk, path, encodeArchive({ clusterId: this.#clusterId, entries }))
    await this.#disk.syncDir(this.#dir)
  }
}

function padded(index: LogIndex): string {
  return String(index).padStart(16, '0')
}

/** A file by its name. */
interface ArchiveFile {
  readonly path: string
  readonly first: LogIndex
  readonly last: LogIndex
}

/** What the archives have of a cluster, from any of its members. */
export class ArchivedLog {
  readonly #disk: Disk
  readonly #clusterId: string
  readonly #files: readonly ArchiveFile[]

  /** Looks which files there are in the folders `archives`. */
  static async open(
    disk: Disk,
    archives: readonly string[],
    clusterId: string,
  ): Promise<ArchivedLog> {
    const files: ArchiveFile[] = []
    for (const archive of archives) {
      for (const folder of (await disk.list(archive)) ?? []) {
        if (FOLDER.exec(folder)?.[1] !== clusterId) continue
        for (const name of (await disk.list(`${archive}/${folder}`)) ?? []) {
          const [, first, last] = FILE.exec(name) ?? []
          if (first === undefined || last === undefined) continue
          files.push({
            path: `${archive}/${folder}/${name}`,
            first: Number(first),
            last: Number(last),
          })
        }
      }
    }
    return new ArchivedLog(disk, clusterId, files)
  }

  private constructor(disk: Disk, clusterId: string, files: readonly ArchiveFile[]) {
    this.#disk = disk
    this.#clusterId = clusterId
    this.#files = files
  }

  /** The last index up to which there are files for everything after `index`. */
  endAfter(index: LogIndex): LogIndex {
    let end = index
    for (;;) {
      const [next] = this.#covering(end + 1)
      if (next === undefined) return end
      end = next.last
    }
  }

  /**
   * The entries from `from` to `to`, in pieces. A damaged file is passed over when another one has the same entries.
   * @throws {StoreError} QUORATE_NOT_READY naming the first entry that no file has; QUORATE_CORRUPTION naming a file
   *   that is damaged
   */
  async *entries(from: LogIndex, to: LogIndex): AsyncGenerator<Entry[], void, undefined> {
    for (let next = from; next <= to; ) {
      const entries = (await this.#read(next)).filter(({ index }) => index >= next && index <= to)
      yield entries
      next = entries.at(-1)!.index + 1
    }
  }

  /** The entries of a file that has the one at `index`. */
  async #read(index: LogIndex): Promise<readonly Entry[]> {
    const files = this.#covering(index)
    let damage: StoreError | undefined
    for (const file of files) {
      try {
        return await this.#decode(file)
      } catch (error) {
        if (!(error instanceof StoreError)) throw error
        damage = error
      }
    }
    throw damage ?? new StoreError('QUORATE_NOT_READY', `the archive lacks entry ${index}`)
  }

  async #decode({ path, first, last }: ArchiveFile): Promise<readonly Entry[]> {
    const bytes = await readWhole(this.#disk, path, FILE_BYTES_MAX)
    try {
      const { clusterId, entries } = decodeArchive(bytes)
      const isAsNamed = entries[0]!.index === first && entries.at(-1)!.index === last
      if (clusterId === this.#clusterId && isAsNamed) return entries
      throw new DecodeError('it holds other entries than its name says')
    } catch (cause) {
      if (!(cause instanceof DecodeError)) throw cause
      throw new StoreError('QUORATE_CORRUPTION', `${path}: ${cause.message}`, { cause })
    }
  }

  /** The files that have the entry at `index`, those that go on furthest first. */
  #covering(index: LogIndex): ArchiveFile[] {
    return this.#files
      .filter(({ first, last }) => first <= index && index <= last)
      .sort((a, b) => b.last - a.last)
  }
}
