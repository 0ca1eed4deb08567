/**
 * `npm run crash-points`: workloads whose power goes at every beginning and end of a disk operation, on every machine
 * at once, in every way a disk may lose what was not synced. docs/testing.md says what is checked.
 *
 * Exit code 1 when something acknowledged was lost, something was invented, or a member did not open.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { parseFlags, UsageError, wholeNumber } from '../../src/cli/command-line.js'
import { count } from '../../src/cli/terminal.js'
import { recordStatus } from '../sim/program/status-file.js'
import { countImages, losePower, type PowerLossReport } from './power-loss.js'
import type { Job } from './worker.js'
import type { Workload } from './workload.js'
import { WORKLOADS } from './workloads.js'

const HELP = `npm run crash-points -- [flags]

  --images N       open at least so many images, spread over all workloads (10000)
  --workload NAME  only this one: ${WORKLOADS.map(({ name }) => name).join(', ')}
  --seed S         of the workloads and of what the disks lose (1)
  --image N        of one workload, open only the image with this number
  --jobs N         worker processes (2, or as many as there are cores if fewer)`

/** Jobs per workload and seed, so that all workers are busy until the end. */
const PARTS = 4
/** Images are drawn: a little more than is asked for, so that it is not a little less. */
const SURPLUS = 0.02

interface Settings {
  readonly workloads: readonly Workload[]
  readonly images: number
  readonly seed: number
  readonly image: number | undefined
  readonly jobs: number
}

function readSettings(args: readonly string[]): Settings | undefined {
  const flags = parseFlags(args, {
    images: { type: 'string', default: '10000' },
    workload: { type: 'string' },
    seed: { type: 'string', default: '1' },
    image: { type: 'string' },
    jobs: { type: 'string', default: String(Math.min(2, availableParallelism())) },
    help: { type: 'boolean', default: false },
  })
  if (flags.help) return undefined
  const workloads = WORKLOADS.filter(({ name }) => name === (flags.workload ?? name))
  if (workloads.length === 0) throw new UsageError(`there is no workload '${flags.workload}'`)
  if (flags.image !== undefined && workloads.length > 1) {
    throw new UsageError('--image needs --workload')
  }
  return {
    workloads,
    images: wholeNumber('images', flags.images, 1),
    seed: wholeNumber('seed', flags.seed, 0),
    image: flags.image === undefined ? undefined : wholeNumber('image', flags.image, 0),
    jobs: wholeNumber('jobs', flags.jobs, 1),
  }
}

/** Jobs that open about `images` images of a workload, evenly spread over it; of more seeds if it has fewer. */
async function jobsOf(workload: Workload, firstSeed: number, images: number): Promise<Job[]> {
  const jobs: Job[] = []
  let planned = 0
  for (let seed = firstSeed; planned < images; seed++) {
    const all = await countImages(workload, seed)
    const share = Math.min(1, (images - planned) / all + SURPLUS)
    planned += all * share
    for (let part = 0; part < PARTS; part++) {
      jobs.push({ workload: workload.name, seed, share, part, parts: PARTS })
    }
  }
  return jobs
}

async function runJob(job: Job): Promise<PowerLossReport> {
  const worker = fork(join(import.meta.dirname, 'worker.js'), { stdio: ['ignore', 2, 2, 'ipc'] })
  const exited = once(worker, 'exit')
  let report: PowerLossReport | undefined
  worker.once('message', (message: PowerLossReport) => {
    report = message
  })
  worker.send(job)
  await exited
  const lost = `${job.workload}, seed ${job.seed}: the worker process died`
  return report ?? { images: 0, boundaries: 0, failures: [lost] }
}

/** Runs all jobs, several at a time; `onReport` hears of each. */
async function runJobs(
  jobs: readonly Job[],
  atOnce: number,
  onReport: (job: Job, report: PowerLossReport) => void,
): Promise<void> {
  const left = [...jobs]
  const work = async () => {
    for (let job = left.shift(); job !== undefined; job = left.shift()) {
      onReport(job, await runJob(job))
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
}

/** All images of all workloads. */
async function campaign({ workloads, images, seed, jobs: atOnce }: Settings): Promise<number> {
  const begun = performance.now()
  let [opened, failed] = [0, 0]
  for (const workload of workloads) {
    const jobs = await jobsOf(workload, seed, Math.ceil(images / workloads.length))
    let [mine, boundaries] = [0, 0]
    await runJobs(jobs, atOnce, (_job, report) => {
      mine += report.images
      boundaries = Math.max(boundaries, report.boundaries)
      failed += report.failures.length
      for (const words of report.failures) say(`FAILED ${words}`)
    })
    opened += mine
    const figures = `${count(mine).padStart(7)} images of ${count(boundaries)} boundaries`
    say(`${workload.name.padEnd(11)}${figures}  ${workload.summary}`)
  }
  const seconds = Math.round((performance.now() - begun) / 1000)
  say(
    `\n${workloads.length} workloads, ${count(opened)} images opened in ${seconds} s, failures ${failed}`,
  )
  const crashPoints = { workloads: workloads.length, images: opened, failures: failed }
  if (workloads.length === WORKLOADS.length) say(await recordStatus({ crashPoints }))
  return failed === 0 ? 0 : 1
}

/** One image again, here, with its failure in full. */
async function repeat(workload: Workload, seed: number, image: number): Promise<number> {
  const { images, failures } = await losePower(workload, seed, (number) => number === image)
  if (images === 0) throw new UsageError(`${workload.name} has no image ${image} with seed ${seed}`)
  for (const words of failures) say(words)
  if (failures.length === 0) say('nothing is wrong with it')
  return failures.length
}

function say(words: string): void {
  process.stdout.write(`${words}\n`)
}

try {
  const settings = readSettings(process.argv.slice(2))
  if (settings === undefined) say(HELP)
  else if (settings.image === undefined) process.exitCode = await campaign(settings)
  else process.exitCode = await repeat(settings.workloads[0]!, settings.seed, settings.image)
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 2
}
