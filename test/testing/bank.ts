/**
 * The example of docs/testing.md: accounts in a store, transfers between them, and the invariants that a bank lives
 * on. Written as a user of quorate would write it.
 */
import assert from 'node:assert/strict'
import type { Store } from '../../src/index.js'
import type { Clients, UserWorkload } from '../../src/testing.js'

const BRANCHES = 4
const OPENING_BALANCE = 100

/** Each branch has two accounts, and one teller who moves money between them. */
interface Transfer {
  readonly branch: number
  /** From the left account to the right one. */
  readonly amount: number
}

/** Writes the balances and the receipt of a transfer. */
export type WriteTransfer = (
  store: Store,
  values: Readonly<Record<string, unknown>>,
) => Promise<void>

/** All values change together or not at all. */
export const atOnce: WriteTransfer = async (store, values) => {
  await store.batch(Object.entries(values).map(([key, value]) => ({ type: 'put', key, value })))
}

/** The mistake: between two writes a crash may come. */
export const oneByOne: WriteTransfer = async (store, values) => {
  for (const [key, value] of Object.entries(values)) await store.put(key, value)
}

/** A bank that writes its transfers with `write`. */
export function bank(write: WriteTransfer): UserWorkload<Transfer> {
  return {
    steps: (fc) =>
      fc.record({
        branch: fc.nat(BRANCHES - 1),
        amount: fc.integer({ min: -60, max: 60 }),
      }),

    clients: ({ sometimes }): Clients<Transfer> => {
      const receipts: string[] = []
      const busy = new Set<number>()

      async function transfer(store: Store, { branch, amount }: Transfer): Promise<void> {
        const [left, right] = [`account/${branch}/left`, `account/${branch}/right`]
        const [from = 0, to = 0] = await store.getMany<number>([left, right])
        const isCovered = amount <= from && -amount <= to
        sometimes('an account has too little', !isCovered)
        if (!isCovered) return
        const receipt = `receipt/${branch}/${receipts.length}`
        await write(store, { [left]: from - amount, [right]: to + amount, [receipt]: amount })
        receipts.push(receipt)
      }

      return {
        setup: async (store) => {
          for (let branch = 0; branch < BRANCHES; branch++) {
            await store.put(`account/${branch}/left`, OPENING_BALANCE)
            await store.put(`account/${branch}/right`, OPENING_BALANCE)
          }
        },

        step: async (store, step) => {
          if (busy.has(step.branch)) return
          busy.add(step.branch)
          await transfer(store, step)
          // Not after an error: whether that transfer happened, or still will, is not known here.
          busy.delete(step.branch)
        },

        check: async (store) => {
          let total = 0
          for await (const [key, balance] of store.scan<number>({
            gte: 'account/',
            lt: 'account0',
          })) {
            assert.ok(balance >= 0, `${key} is overdrawn`)
            total += balance
          }
          assert.equal(total, 2 * BRANCHES * OPENING_BALANCE, 'money appeared or vanished')
          for (const receipt of receipts) {
            assert.notEqual(await store.get(receipt), undefined, `${receipt} is lost`)
          }
          sometimes('a transfer was acknowledged', receipts.length > 0)
        },
      }
    },
  }
}
