/**
 * Every moment at which the power can go: a workload runs once, and at each beginning and end of a disk
 * operation the images that a power cut right then could leave are handed out, to be opened and checked.
 */
import type { DiskImage, PowerCutMode, SimDisk } from './sim-disk.js'
import type { SimWorld } from './world.js'

/** What one power cut would leave, and what was true of the workload at that moment. */
export interface PowerCut<T> {
  /** Counts the boundaries of operations from 1. */
  readonly boundary: number
  readonly mode: PowerCutMode
  readonly image: DiskImage
  readonly seen: T
}

/** How often each mode is drawn per boundary; without unsynced changes all images are one. */
export const DRAWS: readonly PowerCutMode[] = [
  'none',
  'prefix',
  'prefix',
  'torn',
  'torn',
  'torn',
  'arbitrary',
  'arbitrary',
]

/** Longer than any workload, in virtual milliseconds. */
export const PATIENCE_MS: number = 3_600_000

/**
 * Lets `world` run until `isDone` and yields the power cuts of `disk` on the way. `observe` is called at each
 * boundary; what it returns must not change later.
 */
export async function* powerCuts<T>(
  world: SimWorld,
  disk: SimDisk,
  observe: () => T,
  isDone: () => boolean,
): AsyncGenerator<PowerCut<T>> {
  const waiting: PowerCut<T>[] = []
  let boundary = 0
  disk.onBoundary = () => {
    boundary++
    const seen = observe()
    const modes = disk.hasUnsynced ? DRAWS : DRAWS.slice(0, 1)
    for (const [i, mode] of modes.entries()) {
      waiting.push({ boundary, mode, image: disk.image(mode, boundary * DRAWS.length + i), seen })
    }
  }
  try {
    while (!isDone()) {
      const isAlive = await world.runUntil(() => waiting.length > 0 || isDone(), PATIENCE_MS)
      if (!isAlive) throw new Error(`the workload hangs after boundary ${boundary}`)
      yield* waiting.splice(0)
    }
  } finally {
    disk.onBoundary = undefined
  }
}
