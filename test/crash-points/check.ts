/** What must be true of a room whose power came back. */
import assert from 'node:assert/strict'
import type { Store } from '../../src/store/store.js'
import { type Known, TWIN, textOf } from './ledger.js'
import { Machines, type RoomImage } from './machines.js'
import { isOutside, type Workload } from './workload.js'

const TIMEOUT_MS = 30_000
const AFTERWARDS = 'afterwards'
/** One image in so many loses its power again at once. */
const TWICE_EVERY = 5

/**
 * Opens every machine of `image` and checks: each opens; no vote is forgotten; what was acknowledged is there, and
 * nothing that was not asked for, and what was written together is there together; the members are those that may be;
 * it goes on; all members come to the same state; and what was shown once is still there after the next power cut.
 */
export async function check(
  workload: Workload,
  image: RoomImage,
  known: Known,
  seed: number,
): Promise<void> {
  const machines = Machines.restored(image, seed)
  await startAll(machines)
  checkVotes(machines, known)
  const found = await contentOf(machines, 'a')
  checkContent(found, known)
  const names = await membershipOf(machines)
  if (known.memberships.length > 0) {
    assert.ok(known.memberships.includes(names), `the members are ${names}`)
  }
  const via = machines.names.includes('b') ? 'b' : 'a'
  await machines.run(machines.store(via).put(AFTERWARDS, `${seed}`, { timeoutMs: TIMEOUT_MS }))
  await checkConverged(machines, names)
  await workload.after?.(machines, known)
  if (seed % TWICE_EVERY === 0) await checkAgain(machines, found, seed)
}

async function startAll(machines: Machines): Promise<void> {
  const starts = machines.names.map((name) =>
    machines.start(name).catch((error: unknown) => {
      if (name === 'a' || name === 'b' || !isOutside(error)) throw error
    }),
  )
  // Who is not in the cluster waits in vain; it need not be waited for.
  const needed = starts.slice(0, 2)
  await machines.run(Promise.race([Promise.all(starts), Promise.all(needed)]))
}

function checkVotes(machines: Machines, { votes }: Pick<Known, 'votes'>): void {
  for (const [name, { term, vote }] of votes) {
    const found = machines.foundVotes.get(name)
    if (found === undefined) continue
    const isKept = found.term > term || (found.term === term && (vote === 0 || found.vote === vote))
    assert.ok(
      isKept,
      `${name} forgot its vote: term ${term} for ${vote}, found ${JSON.stringify(found)}`,
    )
  }
}

/** Every key with its number, read at strong; a value that is not that of its number is none of ours. */
async function contentOf(machines: Machines, via: string): Promise<Map<string, number>> {
  return machines.run(readAll(machines.store(via), 'strong'))
}

/** Everything in a store. */
export async function readAll(
  store: Store,
  consistency: 'strong' | 'eventual',
): Promise<Map<string, number>> {
  const found = new Map<string, number>()
  for await (const [key, value] of store.scan<string>({ consistency, timeoutMs: TIMEOUT_MS })) {
    const number = Number.parseInt(value, 10)
    if (key !== AFTERWARDS) assert.equal(value, textOf(number), `the value of ${key} is another`)
    found.set(key, number)
  }
  return found
}

function checkContent(found: ReadonlyMap<string, number>, { acknowledged, asked }: Known): void {
  for (const [key, number] of acknowledged) {
    const now = found.get(key) ?? 0
    assert.ok(now >= number, `lost: ${key} was acknowledged at ${number} and is ${now}`)
  }
  for (const [key, number] of found) {
    assert.ok(number <= (asked.get(key) ?? 0), `invented: ${key} is ${number}`)
    if (!key.endsWith(TWIN)) continue
    const first = found.get(key.slice(0, -TWIN.length)) ?? 0
    assert.ok(first >= number, `torn apart: ${key} is ${number} and its twin ${first}`)
  }
}

/** The members in order, learners in brackets, once a change of several that was under way is over. */
async function membershipOf(machines: Machines): Promise<string> {
  for (;;) {
    const listing = machines.store('a').members.list({ timeoutMs: TIMEOUT_MS })
    const { members, isJoint } = await machines.run(listing)
    if (!isJoint) return members.map(({ id, as }) => (as === 'voter' ? id : `(${id})`)).join(' ')
    assert.ok(machines.world.now < TIMEOUT_MS, 'a joint configuration is never left')
    await machines.run(machines.pause(50))
  }
}

/** Whoever is a member and runs has everything, and the same. */
async function checkConverged(machines: Machines, names: string): Promise<void> {
  const running = machines.names.filter((name) => names.includes(name) && machines.isUp(name))
  const statuses = () => running.map((name) => machines.store(name).status())
  const isAtRest = () => {
    const all = statuses()
    const last = Math.max(...all.map(({ lastIndex }) => lastIndex))
    return all.every(({ appliedIndex }) => appliedIndex === last)
  }
  assert.ok(await machines.world.runUntil(isAtRest, TIMEOUT_MS), 'the members do not converge')
  for (const { id, checkpointIndex, appliedIndex, firstIndex } of statuses()) {
    assert.ok(checkpointIndex <= appliedIndex, `${id}: the checkpoint is beyond what is applied`)
    assert.ok(
      firstIndex <= checkpointIndex + 1,
      `${id}: the log was shortened beyond the checkpoint`,
    )
  }
  const [first, ...others] = await Promise.all(
    running.map((name) => machines.run(readAll(machines.store(name), 'eventual'))),
  )
  for (const other of others) assert.deepEqual(other, first)
}

async function checkAgain(
  machines: Machines,
  found: ReadonlyMap<string, number>,
  seed: number,
): Promise<void> {
  const again = Machines.restored(machines.image('none', 0), seed + 1)
  await startAll(again)
  checkVotes(again, machines)
  const now = await contentOf(again, 'a')
  assert.equal(now.get(AFTERWARDS), seed, 'the first write after the power cut is gone')
  now.delete(AFTERWARDS)
  assert.deepEqual(now, found)
}
