/** What becomes of writes whose callers have given up (see src/store/write-pipeline.ts). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StoreError } from '../../src/index.js'
import { TestCluster } from '../../src/testing.js'

/** A leader that is cut off, with a write on its way that will time out there and one that will not. */
async function cutOffLeader(
  cluster: TestCluster,
): Promise<{ old: string; patient: Promise<unknown> }> {
  const old = cluster.leader!
  const rest = cluster.members.filter((member) => member !== old)
  await cluster.run(cluster.store(old).put('k', 'before'))
  cluster.partition([[old], rest])
  const patient = cluster.store(old).put('patient', 'kept', { timeoutMs: 60_000 })
  const lost = cluster.store(old).put('k', 'lost', { timeoutMs: 500 })
  await assert.rejects(cluster.run(lost), (error: unknown) => {
    assert.ok(error instanceof StoreError)
    assert.deepEqual([error.code, error.outcome], ['QUORATE_TIMEOUT', 'unknown'])
    return true
  })
  return { old, patient }
}

test('a write that timed out is not tried again when the way to a leader is back', async () => {
  await using cluster = await TestCluster.start()
  const { old, patient } = await cutOffLeader(cluster)
  await cluster.advance(10_000)
  cluster.heal()
  await cluster.run(patient)
  assert.equal(await cluster.run(cluster.store(old).get('k')), 'before')
  assert.equal(await cluster.run(cluster.store(old).get('patient')), 'kept')
})

test('what follows a request of which nothing is left is written', async () => {
  await using cluster = await TestCluster.start({ seed: 2 })
  const old = cluster.leader!
  const rest = cluster.members.filter((member) => member !== old)
  cluster.partition([[old], rest])
  await assert.rejects(cluster.run(cluster.store(old).put('k', 'lost', { timeoutMs: 500 })))
  await cluster.advance(10_000)
  cluster.heal()
  await cluster.run(cluster.store(old).put('next', 1))
  assert.equal(await cluster.run(cluster.store(old).get('k')), undefined)
})
