/**
 * Waits for what the last measurement left behind: pages that are to be written, compactions, garbage. Otherwise the
 * next one pays for it, and with turns that come in the same order in each run it is always the same one.
 */
import { execFile } from 'node:child_process'
import { cpus } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

const SAMPLE_MS = 100
/** Samples that have to be idle, one after the other. */
const IDLE_SAMPLES = 2
const BUSY_SHARE_MAX = 0.15
const PATIENCE_MS = 10_000

const run = promisify(execFile)

/** Resolves when everything written is on the disk and the processors are idle; to whether they were, within 10 s. */
export async function untilQuiet(): Promise<boolean> {
  // There is no such command on Windows: there only the processors are waited for.
  await run('sync').catch(() => undefined)
  const until = performance.now() + PATIENCE_MS
  for (let idle = 0; idle < IDLE_SAMPLES; ) {
    if (performance.now() > until) return false
    idle = (await busyShare()) <= BUSY_SHARE_MAX ? idle + 1 : 0
  }
  return true
}

async function busyShare(): Promise<number> {
  const before = processorTimes()
  await sleep(SAMPLE_MS)
  const after = processorTimes()
  return 1 - (after.idle - before.idle) / (after.all - before.all)
}

function processorTimes(): { readonly idle: number; readonly all: number } {
  let [idle, all] = [0, 0]
  for (const { times } of cpus()) {
    idle += times.idle
    for (const time of Object.values(times)) all += time
  }
  return { idle, all }
}
