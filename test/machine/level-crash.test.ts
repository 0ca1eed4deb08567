/**
 * kill -9 of a process that writes to a real LevelDB, then the worst that a power cut can do to LevelDB's own log:
 * what is left is an exact prefix, and the entries after it give the full state again (design D2, trap T-38).
 *
 * QUORATE_CRASH_ROUNDS sets how many processes are killed.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { keyedBelow } from '../../src/base/prng.js'
import type { StateMachine } from '../../src/machine/state-machine.js'
import { changesOf, entryAt, openSmall } from './level-crash-log.js'

const ROUNDS = Number(process.env.QUORATE_CRASH_ROUNDS ?? 4)
/** The log goes on for so long after the highest index that a killed process reported. */
const AFTER = 20

type Damage = (
  bytes: Buffer,
  draw: (bound: number, purpose: string) => number,
) => Buffer | undefined

/** What may have become of a log file that was never synced. */
const damages: Readonly<Record<string, Damage>> = {
  intact: (bytes) => bytes,
  gone: () => undefined,
  cut: (bytes, draw) => bytes.subarray(0, draw(bytes.length + 1, 'cut')),
  'zero tail': (bytes, draw) => Buffer.from(bytes).fill(0, draw(bytes.length + 1, 'tail')),
  'zero block': (bytes, draw) => {
    const start = draw(bytes.length + 1, 'block')
    return Buffer.from(bytes).fill(0, start, Math.min(bytes.length, start + 4096))
  },
  'bit flips': (bytes, draw) => {
    const flipped = Buffer.from(bytes)
    for (let i = 0; i < 3 && bytes.length > 0; i++) {
      flipped[draw(bytes.length, `byte ${i}`)]! ^= 1 << draw(8, `bit ${i}`)
    }
    return flipped
  },
}

/** Runs the writer until it reports `target` applied, and kills it; the last report. */
async function runAndKill(dir: string, seed: number, target: number): Promise<[number, number]> {
  const child = spawn(
    process.execPath,
    [join(import.meta.dirname, 'level-crash-child.js'), dir, String(seed)],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const exited = new Promise((resolve) => child.on('exit', resolve))
  let last: [number, number] = [0, 0]
  for await (const line of createInterface(child.stdout)) {
    const [applied, checkpoint] = line.split(' ').map(Number) as [number, number]
    last = [applied, checkpoint]
    if (applied >= target) child.kill('SIGKILL')
  }
  await exited
  return last
}

/** What a Map holds after each index of the log, as `key=revision`; the values follow from the log. */
function replayOf(seed: number, last: number): string[][] {
  const state = new Map<string, number>()
  const states = [[] as string[]]
  for (let index = 1; index <= last; index++) {
    for (const { key, value } of changesOf(seed, index)) {
      if (value === undefined) state.delete(key)
      else state.set(key, index)
    }
    states.push([...state].map(([key, revision]) => `${key}=${revision}`).sort())
  }
  return states
}

async function stateOf(seed: number, machine: StateMachine): Promise<string[]> {
  const view = machine.view()
  assert.equal(view.appliedIndex, machine.appliedIndex)
  const cursor = view.scan({}, false)
  const found: string[] = []
  for (;;) {
    const some = await cursor.next(1000, 1 << 20)
    if (some.length === 0) break
    for (const [key, { value, revision }] of some) {
      const last = changesOf(seed, revision).findLast((change) => change.key === String(key))
      assert.ok(last?.value?.equals(value), `${key} at ${revision}`)
      found.push(`${key}=${revision}`)
    }
  }
  await view.close()
  return found.sort()
}

function damageLogs(dir: string, damage: Damage, seed: number): void {
  for (const name of readdirSync(dir).filter((file) => file.endsWith('.log'))) {
    const path = join(dir, name)
    const left = damage(readFileSync(path), (bound, purpose) =>
      keyedBelow(seed, bound, name, purpose),
    )
    if (left === undefined) rmSync(path)
    else writeFileSync(path, left)
  }
}

for (let round = 0; round < ROUNDS; round++) {
  test(`kill -9 ${round}: an exact prefix is left, whatever LevelDB's log holds (T-38)`, async () => {
    const root = mkdtempSync(join(tmpdir(), 'quorate-crash-'))
    try {
      const killed = join(root, 'killed')
      const [applied, checkpoint] = await runAndKill(killed, round, 150 + keyedBelow(round, 1500))
      // The process may have applied up to four entries more than it reported.
      const states = replayOf(round, applied + AFTER)
      for (const [title, damage] of Object.entries(damages)) {
        const dir = join(root, 'opened')
        cpSync(killed, dir, { recursive: true })
        damageLogs(dir, damage, round)
        await recover(dir, round, checkpoint, states, title)
        rmSync(dir, { recursive: true })
      }
    } finally {
      rmSync(root, { recursive: true, force: true })
    }
  })
}

async function recover(
  dir: string,
  seed: number,
  checkpoint: number,
  states: readonly string[][],
  title: string,
): Promise<void> {
  const machine = await openSmall(dir)
  const from = machine.appliedIndex
  assert.ok(from >= checkpoint, `${title}: ${from} after a checkpoint of ${checkpoint}`)
  assert.deepEqual(await stateOf(seed, machine), states[from], title)
  const last = states.length - 1
  const rest = Array.from({ length: last - from }, (_, i) => entryAt(seed, from + 1 + i))
  for (const { index, outcomes } of await machine.apply(rest)) {
    const [first, again] = outcomes
    const [term, results] = [1, new Uint8Array(0)]
    assert.deepEqual(first, { status: 'applied', index, term, results })
    if (again !== undefined) {
      assert.deepEqual(again, { status: 'duplicate', index: index - 1, term, results })
    }
  }
  assert.deepEqual(await stateOf(seed, machine), states[last], title)
  await machine.close()
  const reopened = await openSmall(dir)
  assert.equal(reopened.appliedIndex, last)
  await reopened.close()
}
