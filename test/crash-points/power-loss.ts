/**
 * Runs a workload and takes the power from all of its machines at every beginning and end of a disk operation, in
 * every way that a disk may lose what was not synced; each image is opened and checked in a world of its own.
 */
import { DRAWS, PATIENCE_MS } from '../../src/sim/power-cuts.js'
import type { PowerCutMode } from '../../src/sim/sim-disk.js'
import { check } from './check.js'
import { type Known, Ledger } from './ledger.js'
import { Machines, type RoomImage } from './machines.js'
import type { Workload } from './workload.js'

/** What a power cut would leave at one moment of a workload. */
interface PowerLoss {
  /** Numbers the images of a workload and seed from 0. */
  readonly number: number
  readonly boundary: number
  readonly mode: PowerCutMode
  readonly image: RoomImage
  readonly known: Known
}

/** What came of the images of one workload. */
export interface PowerLossReport {
  readonly images: number
  readonly boundaries: number
  readonly failures: readonly string[]
}

const FAILURES_MAX = 3

/** How many images `workload` has. */
export async function countImages(workload: Workload, seed: number): Promise<number> {
  let count = 0
  for await (const _ of losses(workload, seed, () => {
    count++
    return false
  })) {
    throw new Error('no image was asked for')
  }
  return count
}

/** Opens and checks the images of `workload` that `isWanted` names by number. */
export async function losePower(
  workload: Workload,
  seed: number,
  isWanted: (number: number) => boolean,
): Promise<PowerLossReport> {
  let [images, boundaries] = [0, 0]
  const failures: string[] = []
  for await (const { number, boundary, mode, image, known } of losses(workload, seed, isWanted)) {
    images++
    boundaries = boundary
    try {
      await check(workload, image, known, number)
    } catch (error) {
      const words = error instanceof Error ? (error.stack ?? error.message) : String(error)
      const place = `${workload.name}, seed ${seed}, image ${number} (boundary ${boundary}, ${mode})`
      failures.push(`${place}: ${words}`)
      if (failures.length === FAILURES_MAX) break
    }
  }
  return { images, boundaries, failures }
}

async function* losses(
  workload: Workload,
  seed: number,
  isWanted: (number: number) => boolean,
): AsyncGenerator<PowerLoss> {
  const machines = new Machines(seed)
  const ledger = new Ledger()
  const waiting: PowerLoss[] = []
  let [number, boundary] = [0, 0]
  machines.onBoundary = () => {
    boundary++
    const modes = machines.hasUnsynced ? DRAWS : DRAWS.slice(0, 1)
    for (const mode of modes) {
      const mine = number++
      if (!isWanted(mine)) continue
      const image = machines.image(mode, mine)
      waiting.push({ number: mine, boundary, mode, image, known: ledger.known(machines.votes) })
    }
  }
  const outcome: { isOver: boolean; error?: unknown } = { isOver: false }
  workload.run({ seed, machines, ledger }).then(
    () => Object.assign(outcome, { isOver: true }),
    (error: unknown) => Object.assign(outcome, { isOver: true, error }),
  )
  while (!outcome.isOver) {
    const isReady = () => waiting.length > 0 || outcome.isOver
    if (!(await machines.world.runUntil(isReady, PATIENCE_MS))) {
      throw new Error(`${workload.name}, seed ${seed}: hangs after boundary ${boundary}`)
    }
    yield* waiting.splice(0)
  }
  if (outcome.error !== undefined) throw outcome.error
}
