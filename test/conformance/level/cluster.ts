/** Three members in this process, on unix sockets and a real disk, and a client that is none. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, Store } from '../../../src/index.js'

const NAMES = ['a', 'b', 'c'] as const

/** A running cluster; must be closed. */
export class LevelCluster {
  readonly #dir: string
  readonly stores: readonly Store[]
  /** Reaches the members over their sockets only, as another process does. */
  readonly client: Store

  private constructor(dir: string, stores: readonly Store[], client: Store) {
    this.#dir = dir
    this.stores = stores
    this.client = client
  }

  static async open(): Promise<LevelCluster> {
    const dir = await mkdtemp(join(tmpdir(), 'quorate-level-'))
    const members = Object.fromEntries(NAMES.map((id) => [id, `unix:${join(dir, id)}.sock`]))
    const stores = await Promise.all(
      NAMES.map((id) => Store.open({ dir: join(dir, id), id, members })),
    )
    await stores[0]!.put('ready', true, { timeoutMs: 20_000 })
    const client = await connect(Object.values(members), { balance: 'round-robin' })
    return new LevelCluster(dir, stores, client)
  }

  get leader(): Store {
    return this.stores.find((store) => store.status().role === 'leader')!
  }

  get follower(): Store {
    return this.stores.find((store) => store.status().role === 'follower')!
  }

  async close(): Promise<void> {
    await this.client.close()
    await Promise.all(this.stores.map((store) => store.close()))
    await rm(this.#dir, { recursive: true, force: true })
  }
}
