/** A simulated machine with real files and LevelDBs beside its simulated ones. */
import { mkdirSync } from 'node:fs'
import type { Env } from '../../env/env.js'
import type { SimHost } from '../sim-host.js'
import type { SimWorld } from '../world.js'
import { DatabaseMirror } from './mirrored-databases.js'
import { FileMirror } from './mirrored-disk.js'

/** See the file's comment. */
export class Mirror {
  readonly #host: SimHost
  readonly #files: FileMirror
  readonly #databases: DatabaseMirror

  /** @param root is created */
  constructor(world: SimWorld, host: SimHost, root: string) {
    mkdirSync(root, { recursive: true })
    this.#host = host
    this.#files = new FileMirror(world, root)
    this.#databases = new DatabaseMirror(world, root, host.databases)
  }

  /** The environment of a new process. */
  boot(): Env {
    const env = this.#host.boot()
    return {
      ...env,
      disk: this.#files.mount(env.disk, this.#host.disk),
      databases: this.#databases,
    }
  }

  copyDamage(): Promise<void> {
    return this.#files.copy(this.#host.disk)
  }

  /** Ends what is still open. */
  async end(): Promise<void> {
    await this.#files.abandon()
    await this.#databases.abandon()
  }
}
