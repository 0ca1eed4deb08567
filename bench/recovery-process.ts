/** The process that the recovery benchmark measures: one member, with its load beside it. */
import { randomFillSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { unreachable } from '../src/base/assert.js'
import { hostMember } from '../src/cli/processes/host.js'
import { pause } from '../src/cli/processes/process-cluster.js'
import type { Store } from '../src/index.js'
import type { Action, Beside, RecoveryOperations } from './recovery-operations.js'

const FILL_BATCH = 500
const FILL_IN_FLIGHT = 8
const PUTS_IN_FLIGHT = 64
/** Keys that the load writes: few, so that they do not change the size of what is measured. */
const LOAD_KEYS = 1000
const LOAD_VALUE = Buffer.alloc(128, 'l')
const SAMPLE_MS = 10
/** What garbage there is from before is collected while nothing happens. */
const IDLE_MS = 1000
/** Odd, so that multiplying by it goes through all keys once, in no order. */
const SCATTER = 2_654_435_761

/** The highest memory of its own that this process had, sampled. */
class MemoryWatch {
  readonly #before: number = ownMemory()
  #most = this.#before
  readonly #timer: NodeJS.Timeout = setInterval(() => {
    this.#most = Math.max(this.#most, ownMemory())
  }, SAMPLE_MS).unref()

  end(): number {
    clearInterval(this.#timer)
    return this.#most - this.#before
  }
}

/** Without the files that LevelDB maps: the system takes those back when it needs the room. */
function ownMemory(): number {
  try {
    const anonymous = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'latin1'))
    if (anonymous !== null) return Number(anonymous[1]) * 1024
  } catch {
    // Another system than Linux.
  }
  return process.memoryUsage.rss()
}

let watch: MemoryWatch | undefined

async function fill(
  store: Store,
  { from, count, valueBytes }: { from: number; count: number; valueBytes: number },
): Promise<void> {
  const scattered = (i: number): number => Number((BigInt(i) * BigInt(SCATTER)) % BigInt(count))
  let next = 0
  const work = async (): Promise<void> => {
    while (next < count) {
      const first = next
      next = Math.min(count, next + FILL_BATCH)
      const puts = Array.from({ length: next - first }, (_, i) => {
        const at = from + scattered(first + i)
        // LevelDB compresses: nothing to be gained from these.
        const value = randomFillSync(Buffer.allocUnsafe(valueBytes))
        return { type: 'put' as const, key: `key:${String(at).padStart(12, '0')}`, value }
      })
      await store.batch(puts)
    }
  }
  await Promise.all(Array.from({ length: FILL_IN_FLIGHT }, work))
}

async function beside(store: Store, action: Action): Promise<Beside> {
  await pause(IDLE_MS)
  let isOver = false
  let puts = 0
  let longestStallMs = 0
  let lastAt = performance.now()
  const write = async (): Promise<void> => {
    while (!isOver) {
      await store.put(`load:${puts % LOAD_KEYS}`, LOAD_VALUE)
      const now = performance.now()
      longestStallMs = Math.max(longestStallMs, now - lastAt)
      lastAt = now
      puts++
    }
  }
  const load = Array.from({ length: PUTS_IN_FLIGHT }, write)
  await pause(IDLE_MS)
  puts = 0
  longestStallMs = 0
  const memory = new MemoryWatch()
  const begun = performance.now()
  await carryOut(store, action)
  const ms = performance.now() - begun
  const result = { ms, puts, longestStallMs, memoryBytes: memory.end() }
  isOver = true
  await Promise.all(load)
  return result
}

async function carryOut(store: Store, action: Action): Promise<void> {
  switch (action.kind) {
    case 'nothing':
      return pause(action.ms)
    case 'checkpoint':
      await store.checkpoint()
      return
    case 'backup':
      await store.backup(action.dest)
      return
    case 'newcomer':
      await store.members.add(action.id, action.address, { as: 'learner' })
      return untilCaughtUp(store, action.id)
    default:
      return unreachable(action)
  }
}

/** Until the newcomer has what there was when it was asked for. */
async function untilCaughtUp(store: Store, id: string): Promise<void> {
  const { lastIndex } = store.status()
  for (;;) {
    const { members } = await store.members.list()
    const newcomer = members.find((member) => member.id === id)
    if (newcomer !== undefined && (newcomer.matchIndex ?? 0) >= lastIndex) return
    await pause(SAMPLE_MS)
  }
}

const operations: RecoveryOperations = {
  fill: (store, request) => fill(store, request),
  beside: (store, { action }) => beside(store, action),
  checkpoint: async (store) => {
    await store.checkpoint()
  },
  watchMemory: async () => {
    watch?.end()
    watch = new MemoryWatch()
  },
  memory: async () => watch?.end() ?? 0,
}

hostMember(operations)
