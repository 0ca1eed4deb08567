/** EntryIterator behaves as an async generator that yields each entry of the blocks does. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { EntryIterator } from '../../src/store/entry-iterator.js'

type Call = 'next' | 'return' | 'throw'
const CALLS: readonly Call[] = ['next', 'return', 'throw']
const BAD = 13

/** Blocks of which some are empty; their end, or that they fail, is told in `log`. */
async function* blocksOf(
  blocks: readonly (readonly number[])[],
  fails: boolean,
  log: string[],
): AsyncGenerator<readonly number[], undefined> {
  try {
    for (const block of blocks) {
      await undefined
      yield block
    }
    if (fails) throw new Error('the disk')
  } finally {
    await undefined
    log.push('closed')
  }
}

function decode(entry: number): number {
  if (entry === BAD) throw new Error('bad entry')
  return entry * 2
}

/** What EntryIterator is to be like. */
async function* model(
  blocks: AsyncGenerator<readonly number[], undefined>,
): AsyncGenerator<number, undefined> {
  for await (const block of blocks) for (const entry of block) yield decode(entry)
}

function textOf({ done, value }: IteratorResult<number, unknown>): string {
  return done === true ? 'done' : `${value}`
}

/** What calls give that are made so many at a time, before any of them is answered. */
async function outcomes(
  iterator: AsyncIterableIterator<number, undefined>,
  rounds: readonly (readonly Call[])[],
): Promise<string[]> {
  const told: string[] = []
  for (const calls of rounds) {
    const made = calls.map((call) => {
      if (call === 'next') return iterator.next()
      return call === 'return' ? iterator.return!() : iterator.throw!(new Error('the caller'))
    })
    for (const each of await Promise.allSettled(made)) {
      told.push(each.status === 'fulfilled' ? textOf(each.value) : `${each.reason}`)
    }
  }
  return told
}

test('it answers every sequence of calls as a generator does, and closes what it reads from', async () => {
  const entries = fc.array(fc.integer({ min: 1, max: BAD }), { maxLength: 4 })
  const call = fc.oneof(
    { weight: 9, arbitrary: fc.constant('next' as const) },
    fc.constantFrom(...CALLS),
  )
  await fc.assert(
    fc.asyncProperty(
      fc.array(entries, { maxLength: 4 }),
      fc.boolean(),
      fc.array(fc.array(call, { minLength: 1, maxLength: 4 }), { maxLength: 8 }),
      async (blocks, fails, rounds) => {
        const [log, expectedLog]: [string[], string[]] = [[], []]
        const iterator = new EntryIterator(blocksOf(blocks, fails, log), decode)
        const told = await outcomes(iterator, rounds)
        assert.deepEqual(told, await outcomes(model(blocksOf(blocks, fails, expectedLog)), rounds))
        assert.deepEqual(log, expectedLog)
      },
    ),
    { numRuns: 500 },
  )
})

test('a loop that is left closes what it reads from', async () => {
  const log: string[] = []
  const found: number[] = []
  for await (const entry of new EntryIterator(blocksOf([[1, 2], [3]], false, log), decode)) {
    found.push(entry)
    if (entry === 4) break
  }
  assert.deepEqual([found, log], [[2, 4], ['closed']])
})
