/**
 * Planted bugs: the random schedules of safety.test.ts, or one of the scenarios, must find each of them, or their
 * passing says nothing.
 *
 * A core is mutated by replacing text in a copy of its compiled files; the two driver bugs are settings of the
 * harness. Seeds are fixed, so a mutant that is found stays found until code or schedules change.
 */
import assert from 'node:assert/strict'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import fc from 'fast-check'
import type { CoreClass, DriverOptions } from './harness.js'
import {
  figure8,
  jointNeedsBothHalves,
  leaseRunsOut,
  readBeforeFirstCommit,
  type Scenario,
} from './scenarios.js'
import { play, scheduledCluster, schedules } from './schedule.js'

const COMPILED = join(import.meta.dirname, '../../src')
const scratch = mkdtempSync(join(tmpdir(), 'quorate-mutants-'))
after(() => rmSync(scratch, { recursive: true, force: true }))

interface Mutant {
  readonly title: string
  /** Replacements in compiled files of src/raft; each text must occur exactly once. */
  readonly edits: readonly (readonly [file: string, from: string, to: string])[]
  readonly driver: Partial<DriverOptions>
  /** What finds it when the schedules take too long. */
  readonly scenario: Scenario | undefined
}

function coreMutant(title: string, edits: Mutant['edits'], scenario?: Scenario): Mutant {
  return { title, edits, driver: {}, scenario }
}

function driverMutant(title: string, driver: Partial<DriverOptions>): Mutant {
  return { title, edits: [], driver, scenario: undefined }
}

const mutants: readonly Mutant[] = [
  driverMutant('a vote or an acknowledgement leaves before it is durable (T-5)', {
    answers: 'early',
  }),
  driverMutant('a write counts as durable before it is (T-36)', { appendDone: 'early' }),
  coreMutant(
    'entries of older terms commit by counting (T-1)',
    [['leader.js', ' || state.log.termAt(index) !== state.term', '']],
    figure8,
  ),
  coreMutant('two votes in one term', [['election.js', 'state.vote = from;', '']]),
  coreMutant('a vote for a log that is behind', [
    ['election.js', ' && state.log.isUpToDate(message.lastTerm, message.lastIndex)', ''],
  ]),
  coreMutant('an append is taken without looking at what comes before it', [
    ['log-view.js', 'this.#terms.termAt(prevIndex) !== prevTerm', 'prevIndex > this.lastIndex'],
  ]),
  coreMutant('a follower commits a tail that no message has verified (T-8)', [
    [
      'follower.js',
      'Math.min(message.commit, verified)',
      'Math.min(message.commit, log.lastIndex)',
    ],
  ]),
  coreMutant('a heartbeat commits beyond what matches (T-8)', [
    ['replication.js', 'Math.min(peer.match, state.log.commitIndex)', 'state.log.commitIndex'],
  ]),
  coreMutant('a write that was replaced since counts as durable (T-9)', [
    ['log-view.js', ' || this.#terms.termAt(index) !== term', ''],
    ['core.js', 'flushed !== undefined && term === this.#state.term', 'flushed !== undefined'],
  ]),
  coreMutant('a leader counts its own entries before they are durable (T-5)', [
    [
      'leader.js',
      'state.uncommittedBytes += bytes;',
      'state.uncommittedBytes += bytes; state.tracker.self.matchTo(log.lastIndex + entries.length);',
    ],
  ]),
  coreMutant(
    'one half of a joint configuration decides alone',
    [
      [
        'tracker.js',
        'Math.min(this.#matchOf(this.incoming), this.#matchOf(this.outgoing))',
        'this.#matchOf(this.incoming)',
      ],
    ],
    jointNeedsBothHalves,
  ),
  coreMutant(
    'a read before the first commit of the term (T-42)',
    [['leader.js', 'state.reads.canSeal && hasCommittedInTerm(state)', 'state.reads.canSeal']],
    readBeforeFirstCommit,
  ),
  coreMutant('a read without asking whether this node still leads (T-44)', [
    ['leader.js', 'state.tracker.quorumContext() >= context', 'state.reads.confirmedBy'],
    ['leader.js', 'const context = state.tracker.quorumContext();', 'const context = Infinity;'],
  ]),
  coreMutant(
    'a lease that never ends (T-46)',
    [['lease.js', 'this.#now - this.#extendedAt < this.#lengthTicks', 'true']],
    leaseRunsOut,
  ),
]

/** Builds the mutated core. */
async function mutate(edits: Mutant['edits'], name: string): Promise<Partial<DriverOptions>> {
  if (edits.length === 0) return {}
  const folder = join(scratch, name)
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  for (const part of ['raft', 'base'])
    cpSync(join(COMPILED, part), join(folder, part), { recursive: true })
  for (const [file, from, to] of edits) {
    const path = join(folder, 'raft', file)
    const code = readFileSync(path, 'utf8')
    assert.equal(code.split(from).length, 2, `${file} has "${from}" once`)
    writeFileSync(path, code.replace(from, to))
  }
  const module = await import(pathToFileURL(join(folder, 'raft', 'core.js')).href)
  return { coreClass: module.RaftCore as CoreClass }
}

function findBySchedules(planted: Partial<DriverOptions>): void {
  const property = fc.property(schedules(400), fc.nat(), (actions, seed) => {
    play(scheduledCluster({ seed }, planted), actions, 'apart')
  })
  const { failed, numRuns } = fc.check(property, { numRuns: 2000, seed: 1, endOnFailure: true })
  assert.ok(failed, `not found in ${numRuns} schedules`)
}

for (const [i, { title, edits, driver, scenario }] of mutants.entries()) {
  test(`${scenario === undefined ? 'the schedules find' : 'a scenario finds'}: ${title}`, async () => {
    const planted = { ...driver, ...(await mutate(edits, `mutant-${i}`)) }
    if (scenario === undefined) findBySchedules(planted)
    else assert.throws(() => scenario(planted), /R\d+: /)
  })
}
