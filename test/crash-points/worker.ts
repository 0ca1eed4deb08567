/** A worker process: opens its part of the images of one workload, says what it found, and ends. */
import { keyedBelow } from '../../src/base/prng.js'
import { losePower, type PowerLossReport } from './power-loss.js'
import { WORKLOADS } from './workloads.js'

/** A share of the images, 0 to 1, drawn by their numbers; of these every `parts`-th from `part` on. */
export interface Job {
  readonly workload: string
  readonly seed: number
  readonly share: number
  readonly part: number
  readonly parts: number
}

const FINE = 1_000_000

async function carryOut({ workload, seed, share, part, parts }: Job): Promise<PowerLossReport> {
  const found = WORKLOADS.find(({ name }) => name === workload)
  if (found === undefined) throw new Error(`there is no workload ${workload}`)
  return losePower(
    found,
    seed,
    (number) => number % parts === part && keyedBelow(seed, FINE, number) < share * FINE,
  )
}

process.once('message', (job: Job) => {
  carryOut(job).then(
    (report) => process.send?.(report, () => process.exit()),
    (error: unknown) => {
      process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`)
      process.exit(1)
    },
  )
})
