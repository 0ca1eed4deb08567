/**
 * An Env that counts what leaves it: frames and bytes to other processes, and fsyncs.
 *
 * Counted where the member hands things over: frames as they are written to a connection (what several of them share, a
 * packet or a system call, is not seen), an fsync for each `sync`, `writeDurable` and `syncDir`. Pings of the transport
 * are left out, since they come with time and not with operations. LevelDB's own flushes are not among the fsyncs: they
 * come with bytes, not with operations.
 */
import type { Disk, DiskFile } from '../src/env/disk.js'
import type { Env } from '../src/env/env.js'
import type { Connection, Network } from '../src/env/network.js'
import { FrameReader } from '../src/wire/frame.js'
import { FRAME_PING, FRAME_PONG } from '../src/wire/handshake.js'

/** What was counted since the last `reset`. */
export class Counts {
  messages = 0
  bytes = 0
  fsyncs = 0
  #isCounting = false

  /** From zero on. */
  start(): void {
    this.messages = 0
    this.bytes = 0
    this.fsyncs = 0
    this.#isCounting = true
  }

  stop(): void {
    this.#isCounting = false
  }

  frame(bytes: number): void {
    if (!this.#isCounting) return
    this.messages++
    this.bytes += bytes
  }

  fsync(): void {
    if (this.#isCounting) this.fsyncs++
  }
}

const FRAME_HEADER = 16
const FRAME_BYTES_MAX = 64 * 1024 * 1024

/** `env`, counted into `counts`. Connections must not be protected by a secret: their frames are read along. */
export function countingEnv(env: Env, counts: Counts): Env {
  return {
    ...env,
    disk: countingDisk(env.disk, counts),
    network: countingNetwork(env.network, counts),
  }
}

function countingDisk(disk: Disk, counts: Counts): Disk {
  return {
    open: async (path, mode) => countingFile(await disk.open(path, mode), counts),
    makeDir: (path) => disk.makeDir(path),
    list: (path) => disk.list(path),
    rename: (from, to) => disk.rename(from, to),
    link: (from, to) => disk.link(from, to),
    remove: (path) => disk.remove(path),
    removeDir: (path) => disk.removeDir(path),
    syncDir: (path) => {
      counts.fsync()
      return disk.syncDir(path)
    },
    freeBytes: (path) => disk.freeBytes(path),
    lock: (path) => disk.lock(path),
  }
}

function countingFile(file: DiskFile, counts: Counts): DiskFile {
  return {
    read: (target, position) => file.read(target, position),
    write: (parts, position) => file.write(parts, position),
    writeDurable: (parts, position) => {
      counts.fsync()
      return file.writeDurable(parts, position)
    },
    sync: () => {
      counts.fsync()
      return file.sync()
    },
    truncate: (bytes) => file.truncate(bytes),
    size: () => file.size(),
    close: () => file.close(),
  }
}

function countingNetwork(network: Network, counts: Counts): Network {
  return {
    listen: (address, tls, onConnection) =>
      network.listen(address, tls, (connection) =>
        onConnection(countingConnection(connection, counts)),
      ),
    connect: async (address, tls) =>
      countingConnection(await network.connect(address, tls), counts),
  }
}

function countingConnection(connection: Connection, counts: Counts): Connection {
  const reader = new FrameReader(FRAME_BYTES_MAX, (kind, body) => {
    if (kind === FRAME_PING || kind === FRAME_PONG) return
    counts.frame(FRAME_HEADER + body.length)
  })
  return {
    get queuedBytes() {
      return connection.queuedBytes
    },
    get remote() {
      return connection.remote
    },
    get peerNames() {
      return connection.peerNames
    },
    setHandlers: (handlers) => connection.setHandlers(handlers),
    write: (parts) => {
      for (const part of parts) reader.push(Buffer.from(part))
      return connection.write(parts)
    },
    destroy: () => connection.destroy(),
  }
}
