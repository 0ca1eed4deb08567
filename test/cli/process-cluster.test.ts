/** Members as child processes: what the demo, the torture test and the benchmarks rest on. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { verify } from '../../src/cli/demo/verify.js'
import type { MemberOperations } from '../../src/cli/processes/operations.js'
import {
  type LivingSeat,
  MEMBER_SCRIPT,
  ProcessCluster,
} from '../../src/cli/processes/process-cluster.js'
import { StoreError } from '../../src/index.js'

const WITHIN_MS = 30_000
let root: string
let cluster: ProcessCluster<MemberOperations>

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'quorate-processes-'))
  cluster = await ProcessCluster.create({
    script: MEMBER_SCRIPT,
    root,
    memberIds: ['a'],
    store: { valueEncoding: 'binary' },
  })
  await cluster.start()
})

after(async () => {
  await cluster.kill()
  await rm(root, { recursive: true, force: true })
})

function put(seat: LivingSeat<MemberOperations>, key: string): Promise<unknown> {
  return seat.child.call('put', { key, value: Buffer.from(key), timeoutMs: WITHIN_MS })
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

test('a call under way when its process is killed has an unknown outcome; later ones certainly none', async () => {
  const seat = await cluster.leader(WITHIN_MS)
  await put(seat, 'acknowledged')
  seat.child.pause()
  const underWay = put(seat, 'unanswered')
  const outcome = assert.rejects(
    underWay,
    (error) => error instanceof StoreError && error.outcome === 'unknown' && error.retryable,
  )
  await seat.child.kill()
  await outcome
  assert.deepEqual(cluster.living, [])
  await assert.rejects(put(seat, 'refused'), { code: 'QUORATE_STOPPED', outcome: 'none' })
})

test('a restarted member has what was acknowledged, and reading back convicts what is planted', async () => {
  await cluster.restart(cluster.seats[0]!)
  await cluster.leader(WITHIN_MS)
  const expected = new Map([['acknowledged', sha256('acknowledged')]])
  const sound = await verify(cluster, expected, undefined, () => {})
  assert.deepEqual(sound.faults, [])
  expected.set('never written', sha256('x')).set('acknowledged', sha256('something else'))
  const { faults } = await verify(cluster, expected, undefined, () => {})
  assert.deepEqual(
    faults.map(({ kind, key, level }) => `${kind} ${key} ${level}`),
    ['strong', 'session', 'eventual'].flatMap((level) => [
      `wrong acknowledged ${level}`,
      `lost never written ${level}`,
    ]),
  )
})

test('after the end of a cluster nothing is started in it', async () => {
  await cluster.kill()
  await assert.rejects(cluster.restart(cluster.seats[0]!), { code: 'QUORATE_STOPPED' })
  await assert.rejects(cluster.leader(WITHIN_MS), { code: 'QUORATE_STOPPED' })
})
