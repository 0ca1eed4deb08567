/** `npm run fuzz -- raft|wire`: hostile input until something gives way, or does not. */
import { randomInt } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseWordsAndFlags, UsageError, wholeNumber } from '../../src/cli/command-line.js'
import { bytes, count, milliseconds, print } from '../../src/cli/terminal.js'
import { fuzzRaft } from './raft.js'
import { fuzzWire, judgeMemory, type WireFuzzResult } from './wire/wire.js'

const HELP = `npm run fuzz -- raft [--messages N] [--seed S]
npm run fuzz -- wire [--frames N] [--seed S]

  raft  hostile messages into cores that go on working: no invariant may break
  wire  hostile connections to a live member, half of them to one with a shared secret: it goes on, serves others
        meanwhile, and its memory stays flat`

const MIB = 1_048_576
const PHASES = 12
const WIRE_SECRET = Buffer.from('the secret of the fuzzed member')

async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseWordsAndFlags(args, {
    messages: { type: 'string', default: '1000000' },
    frames: { type: 'string', default: '1000000' },
    seed: { type: 'string' },
    help: { type: 'boolean', default: false },
  })
  const [what, ...others] = positionals
  if (values.help) {
    print(HELP)
    return 0
  }
  if (others.length > 0 || (what !== 'raft' && what !== 'wire')) throw new UsageError(HELP)
  const seed = values.seed === undefined ? randomInt(2 ** 31) : wholeNumber('seed', values.seed, 0)
  const begun = performance.now()
  const code =
    what === 'raft'
      ? runRaft(wholeNumber('messages', values.messages, 1), seed)
      : await runWire(wholeNumber('frames', values.frames, 1), seed)
  print(`in ${milliseconds(performance.now() - begun)}`)
  return code
}

function runRaft(messages: number, seed: number): number {
  print(`fuzz raft: ${count(messages)} messages, --seed ${seed}`)
  const result = fuzzRaft(messages, seed)
  print(
    `${count(result.messages)} hostile messages in ${result.rounds} rounds, terms up to ` +
      `${result.highestTerm}: no invariant broken, nothing thrown`,
  )
  return 0
}

async function runWire(frames: number, seed: number): Promise<number> {
  print(`fuzz wire: ${count(frames)} frames, --seed ${seed}`)
  let isFlat = true
  for (const secret of [undefined, WIRE_SECRET]) {
    const dir = await mkdtemp(join(tmpdir(), 'quorate-fuzz-'))
    const settings = { seed, frames: Math.ceil(frames / 2), phases: PHASES, secret, dir }
    const result = await fuzzWire(settings)
    print(`\n${secret === undefined ? 'without' : 'with'} a shared secret:`)
    describe(result)
    const complaint = judgeMemory(result.memory)
    if (complaint !== undefined) print(`FAILED: ${complaint}`)
    isFlat &&= complaint === undefined
    await rm(dir, { recursive: true })
  }
  return isFlat ? 0 : 1
}

function describe({ frames, connections, dials, refused, served, memory }: WireFuzzResult): void {
  print(
    `  ${count(frames)} frames on ${count(connections)} connections, and ${count(dials)} dialed`,
  )
  const reasons = Object.entries(refused).sort(([, a], [, b]) => b - a)
  print(`  refused: ${reasons.map(([reason, times]) => `${reason} ${count(times)}`).join(', ')}`)
  const { calls, connectedCalls, remoteCalls, newcomers, turnedAway } = served
  print(
    `  served meanwhile: ${count(calls)} writes and strong reads, ${count(connectedCalls)} through connect, ` +
      `${count(remoteCalls)} calls through one connection, ${count(newcomers)} new connections ` +
      `(after ${count(turnedAway)} attempts in vain)`,
  )
  const [before, after] = [memory[0]!, memory.at(-1)!]
  for (const name of ['rss', 'heapUsed', 'external'] as const) {
    const all = memory.map((sample) => (sample[name] / MIB).toFixed(0)).join(' ')
    print(
      `  ${name.padEnd(8)} ${bytes(before[name])} before, ${bytes(after[name])} after (MiB: ${all})`,
    )
  }
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  const isUsage = error instanceof UsageError
  process.stderr.write(`${isUsage ? error.message : String((error as Error).stack)}\n`)
  process.exitCode = isUsage ? 2 : 1
}
