/**
 * The disk as the log, the identity file and later snapshots and shards need it.
 *
 * Production is NodeDisk, the in-memory twin that forgets unsynced bytes is SimDisk; both pass
 * test/contract/disk.ts. Paths are absolute or relative to the process, joined with `/`. Failures are the
 * operating system's own errors with their `code` (ENOENT, ENOSPC, EIO, …): what they mean is for the caller.
 */

/**
 * How a file is opened: `read` it must exist; `write` it must exist and is read and written; `create` it must
 * not exist yet and is read and written.
 */
export type OpenMode = 'read' | 'write' | 'create'

/** An open file. Calls may overlap; the caller orders what must be ordered. */
export interface DiskFile {
  /** Reads into `target` from `position` until it is full or the file ends; returns the bytes read. */
  read(target: Uint8Array, position: number): Promise<number>
  /** Writes all of `parts`, one after the other, from `position`. The parts must not change until it settles. */
  write(parts: readonly Uint8Array[], position: number): Promise<void>
  /**
   * Writes as `write` does, and settles when these bytes are durable: cheaper than `write` and `sync`. Earlier
   * writes to the file are not made durable by it.
   */
  writeDurable(parts: readonly Uint8Array[], position: number): Promise<void>
  /** Makes everything written before this call durable (fdatasync). A failure leaves the bytes undefined. */
  sync(): Promise<void>
  /** Cuts or extends (with zeros) the file to `bytes`. */
  truncate(bytes: number): Promise<void>
  /** The file's length in bytes. */
  size(): Promise<number>
  /** Ends the use of the file once the calls under way are over; later calls are an EBADF. */
  close(): Promise<void>
}

/** Held until closed or until its process dies; see Disk.lock. */
export interface DiskLock {
  close(): Promise<void>
}

/** Files and folders. */
export interface Disk {
  open(path: string, mode: OpenMode): Promise<DiskFile>
  /** Creates the folder and its parents, durably; an existing one is left alone. */
  makeDir(path: string): Promise<void>
  /** The names in a folder, sorted; `undefined` when there is no such folder. */
  list(path: string): Promise<string[] | undefined>
  rename(from: string, to: string): Promise<void>
  /**
   * Gives the file `from` a second name; it exists until both are removed. An existing `to` is an EEXIST; a file
   * system that cannot do it answers EXDEV, EPERM, ENOTSUP or EMLINK.
   */
  link(from: string, to: string): Promise<void>
  /** Removes a file; a missing one is an ENOENT. */
  remove(path: string): Promise<void>
  /** Removes a folder with all it holds; a missing one is left alone. */
  removeDir(path: string): Promise<void>
  /** Makes creations, renames and removals in the folder durable. */
  syncDir(path: string): Promise<void>
  /** Bytes that may still be written to the file system that holds `path`. */
  freeBytes(path: string): Promise<number>
  /**
   * Takes an exclusive lock on the folder `path`, which is created for it. The lock ends when closed or when
   * its process dies (design D2). A lock held elsewhere is a StoreError QUORATE_LOCKED that names its holder.
   */
  lock(path: string): Promise<DiskLock>
}
