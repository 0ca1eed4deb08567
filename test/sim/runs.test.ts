/** The short form of `npm run sim`: some seeds that are always the same (seeds.test.ts has some that are new). */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Answer, Job } from './program/jobs.js'
import { runJobs } from './program/workers.js'

const FIXED_SEEDS = 4
const JOB_MS = 120_000

/** Answers by seed. */
async function answersTo(jobs: readonly Job[]): Promise<Map<number, Answer | undefined>> {
  const script = join(import.meta.dirname, 'program/worker.js')
  const answers = new Map<number, Answer | undefined>()
  await runJobs(jobs, { script, count: 2, jobMs: JOB_MS }, (job, answer) => {
    answers.set(job.seed, answer)
    return 'go on'
  })
  return answers
}

function runsFrom(seed: number, count: number): Job[] {
  return Array.from({ length: count }, (_, at) => ({ type: 'run', seed: seed + at }))
}

async function assertNoViolation(jobs: readonly Job[]): Promise<void> {
  for (const [seed, answer] of await answersTo(jobs)) {
    assert.ok(answer?.type === 'run', `npm run sim -- --seed ${seed} hangs or dies`)
    const { violation } = answer.result
    assert.equal(violation, undefined, `npm run sim -- --seed ${seed}: ${violation?.message}`)
  }
}

test('no rule is broken in runs with seeds that are always the same', () =>
  assertNoViolation(runsFrom(1, FIXED_SEEDS)))

test('a seed gives the same trace and the same history in every process', async () => {
  const jobs = runsFrom(20, 2)
  const [first, second] = [await answersTo(jobs), await answersTo(jobs)]
  for (const [seed, answer] of first) {
    assert.ok(answer?.type === 'run')
    const other = second.get(seed)
    assert.ok(other?.type === 'run')
    assert.equal(answer.result.traceHash, other.result.traceHash)
    assert.equal(answer.result.historyHash, other.result.historyHash)
  }
})

test('clients see the same on real files and LevelDB as on simulated ones', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'quorate-runs-'))
  try {
    const jobs = [30].map((seed): Job => ({ type: 'realDisk', seed, dir }))
    for (const [seed, answer] of await answersTo(jobs)) {
      assert.ok(answer?.type === 'realDisk', `seed ${seed}`)
      assert.equal(answer.real.violation, undefined)
      assert.equal(answer.real.historyHash, answer.simulated.historyHash)
    }
  } finally {
    await rm(dir, { recursive: true })
  }
})
