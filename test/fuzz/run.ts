/** `npm run fuzz -- raft [--messages N] [--seed S]`: hostile input until something gives way, or does not. */
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { fuzzRaft } from './raft.js'

const USAGE = 'usage: npm run fuzz -- raft [--messages N] [--seed S]'

function wholeNumber(text: string): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value)) throw new TypeError(USAGE)
  return value
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { messages: { type: 'string', default: '1000000' }, seed: { type: 'string' } },
})
if (positionals.length !== 1 || positionals[0] !== 'raft') throw new TypeError(USAGE)
const messages = wholeNumber(values.messages)
const seed = values.seed === undefined ? randomInt(2 ** 31) : wholeNumber(values.seed)
console.log(`fuzz raft: ${messages} messages, --seed ${seed}`)
const begun = performance.now()
const result = fuzzRaft(messages, seed)
const seconds = ((performance.now() - begun) / 1000).toFixed(1)
console.log(
  `${result.messages} hostile messages in ${result.rounds} rounds, terms up to ${result.highestTerm}: ` +
    `no invariant broken, nothing thrown (${seconds} s)`,
)
