/**
 * Worker processes that take jobs from a list, each in a process of its own, because a run replaces globals.
 *
 * A worker that takes too long or dies is replaced; its job is answered with `undefined`.
 */
import { type ChildProcess, fork } from 'node:child_process'
import type { Answer, Job } from './jobs.js'

/** How the jobs are carried out. */
export interface WorkersOptions {
  /** The program of the workers. */
  readonly script: string
  readonly count: number
  /** A job that takes longer hangs. */
  readonly jobMs: number
}

/** What is heard of the jobs; return 'stop' to begin no more of them. */
export type OnAnswer = (job: Job, answer: Answer | undefined, realMs: number) => 'go on' | 'stop'

/** Carries out `jobs` in order, several at a time; `onAnswer` hears of them as they end. */
export async function runJobs(
  jobs: Iterable<Job>,
  options: WorkersOptions,
  onAnswer: OnAnswer,
): Promise<void> {
  const iterator = jobs[Symbol.iterator]()
  let isStopped = false
  const next = (): Job | undefined => {
    if (isStopped) return undefined
    const { value, done } = iterator.next()
    return done ? undefined : value
  }
  const work = async (): Promise<void> => {
    let worker: Worker | undefined
    for (let job = next(); job !== undefined; job = next()) {
      worker ??= new Worker(options.script)
      const begun = performance.now()
      const answer = await worker.carryOut(job, options.jobMs)
      if (answer === undefined) worker = undefined
      if (onAnswer(job, answer, performance.now() - begun) === 'stop') isStopped = true
    }
    worker?.end()
  }
  await Promise.all(Array.from({ length: options.count }, work))
}

/** Most of what a run allocates dies young: a larger nursery saves a tenth of its time. */
const WORKER_FLAGS = ['--max-semi-space-size=64']

class Worker {
  readonly #process: ChildProcess

  constructor(script: string) {
    this.#process = fork(script, { stdio: ['ignore', 2, 2, 'ipc'], execArgv: WORKER_FLAGS })
  }

  /** Undefined when the worker died over it, or was ended because it hung. */
  carryOut(job: Job, limitMs: number): Promise<Answer | undefined> {
    return new Promise((resolve) => {
      const settle = (answer: Answer | undefined) => {
        clearTimeout(timer)
        this.#process.removeAllListeners()
        resolve(answer)
      }
      const timer = setTimeout(() => this.#process.kill('SIGKILL'), limitMs)
      this.#process.once('message', (answer: Answer) => settle(answer))
      this.#process.once('exit', () => settle(undefined))
      this.#process.send(job)
    })
  }

  end(): void {
    this.#process.disconnect()
  }
}
