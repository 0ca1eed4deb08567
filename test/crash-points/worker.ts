/** A worker process: opens its part of the images of one workload, says what it found, and ends. */
import { losePower, type PowerLossReport } from './power-loss.js'
import { WORKLOADS } from './workloads.js'

/** Of the images whose number is a multiple of `every`, every `parts`-th from `part` on. */
export interface Job {
  readonly workload: string
  readonly seed: number
  readonly every: number
  readonly part: number
  readonly parts: number
}

async function carryOut({ workload, seed, every, part, parts }: Job): Promise<PowerLossReport> {
  const found = WORKLOADS.find(({ name }) => name === workload)
  if (found === undefined) throw new Error(`there is no workload ${workload}`)
  return losePower(
    found,
    seed,
    (number) => number % every === 0 && (number / every) % parts === part,
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
