/** Clients of the level torture that are connected to all members from the process of the test. */
import { connect, type Store } from '../../../src/index.js'
import type { Venue } from './clients.js'
import { LevelCalls } from './operations.js'

const BALANCES = ['nearest', 'round-robin', 'random', 'least-outstanding'] as const

/** One connected Store for each way to choose among members; dispose of it to close them. */
export class Remotes {
  readonly venues: readonly Venue[]
  readonly #stores: readonly Store[]

  /** @param addresses where members are reached: behind their proxies */
  static async connect(addresses: readonly string[]): Promise<Remotes> {
    const stores = BALANCES.map((balance) => connect(addresses, { balance, valueEncoding: 'utf8' }))
    return new Remotes(await Promise.all(stores))
  }

  private constructor(stores: readonly Store[]) {
    this.#stores = stores
    this.venues = stores.map((store) => {
      const calls = new LevelCalls()
      return {
        member: undefined,
        call: async (request) => ({ ...(await calls.call(store, request)), role: 'any' }),
      }
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#stores.map((store) => store.close()))
  }
}
