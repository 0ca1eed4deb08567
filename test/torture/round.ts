/** One round: load, faults, everything healed, and then every key read at strong from every member. */
import { unreachable } from '../../src/base/assert.js'
import type { LivingSeat, ProcessCluster, Seat } from '../../src/cli/processes/process-cluster.js'
import { pause } from '../../src/cli/processes/process-cluster.js'
import { StoreError } from '../../src/index.js'
import type { Ledger, Violation } from './ledger.js'
import type { MembershipChanges } from './membership.js'
import type { TortureOperations } from './operations.js'
import type { Fault } from './plan.js'
import type { SmallDisks } from './small-disks.js'
import { Writers } from './writers.js'

const READ_WITHIN_MS = 30_000
const READ_TIMEOUT_MS = 5_000
const RETRY_AFTER_MS = 20
const KEYS_PER_READ = 512
const JOIN_MS = 2_000
/** Whoever has not opened by then never will. */
const OPENED_MS = 3_000
/** It was killed again, is no member any more, or was started on a full disk. */
const OPEN_MAY_FAIL: ReadonlySet<string> = new Set([
  'QUORATE_STOPPED',
  'QUORATE_REMOVED',
  'QUORATE_NO_SPACE',
])

type Cluster = ProcessCluster<TortureOperations>

/** What a round came to. */
export interface RoundReport {
  readonly stallMs: number
  readonly reads: number
  /** Members that a full disk had stopped, or kept from opening, and that were started again. */
  readonly revived: number
  readonly violations: readonly (Violation & { readonly member: string })[]
}

/** Runs round number `round` of the run with `seed`; with `changes` the members change meanwhile. */
export async function runRound(
  cluster: Cluster,
  ledger: Ledger,
  faults: readonly Fault[],
  changes: MembershipChanges | undefined,
  disks: SmallDisks | undefined,
  options: { readonly seed: number; readonly round: number; readonly roundMs: number },
): Promise<RoundReport> {
  const writers = new Writers(cluster, ledger, options.seed, options.round)
  const load = writers.run()
  const injected = injectAll(cluster, disks, faults)
  const trouble = [pause(options.roundMs), injected, changes?.run(options.round)]
  let revived = 0
  try {
    await Promise.race([Promise.all(trouble), load])
    await changes?.settle()
    if (disks !== undefined) revived = await revive(cluster)
    await allAnswer(cluster)
  } finally {
    writers.stop()
  }
  await load
  const violations = await readAll(cluster, ledger)
  const reads = ledger.keys.length * cluster.seats.length
  return { stallMs: writers.stallMs, reads, violations, revived }
}

/** Starts the members again that a full disk has stopped. With space, one that waited goes on by itself. */
async function revive(cluster: Cluster): Promise<number> {
  let revived = 0
  for (const seat of cluster.seats) {
    if (await stands(seat)) continue
    revived++
    await seat.child?.kill()
    await cluster.restart(seat)
  }
  return revived
}

async function stands({ child }: Seat<TortureOperations>): Promise<boolean> {
  const end = performance.now() + OPENED_MS
  while (child?.isAlive && performance.now() < end) {
    try {
      return (await child.call('status', undefined)).role !== 'stopped'
    } catch (error) {
      if (!(error instanceof StoreError && error.code === 'QUORATE_NOT_OPEN')) throw error
    }
    await pause(RETRY_AFTER_MS)
  }
  return false
}

async function injectAll(
  cluster: Cluster,
  disks: SmallDisks | undefined,
  faults: readonly Fault[],
): Promise<void> {
  const struck = new Set<string>()
  await Promise.all(
    faults.map((fault) =>
      fault.kind === 'fill' ? fill(cluster, disks, fault) : inject(cluster, struck, fault),
    ),
  )
}

async function fill(
  cluster: Cluster,
  disks: SmallDisks | undefined,
  { victim, atMs, forMs, freeBytes }: Fault,
): Promise<void> {
  await pause(atMs)
  const id = victim === 'leader' ? undefined : cluster.seats[victim]?.id
  if (id === undefined) return
  await disks?.fill(id, freeBytes)
  await pause(forMs)
  await disks?.relieve(id)
}

/** Carries out one fault, from its moment to its end; a member that is down or stopped already is spared. */
async function inject(cluster: Cluster, struck: Set<string>, fault: Fault): Promise<void> {
  await pause(fault.atMs)
  const victim = await victimOf(cluster, fault)
  if (!victim?.child.isRunning || struck.has(victim.id)) return
  struck.add(victim.id)
  switch (fault.kind) {
    case 'kill':
      await victim.child.kill()
      await pause(fault.forMs)
      struck.delete(victim.id)
      return restart(cluster, victim)
    case 'stop':
      victim.child.pause()
      await pause(fault.forMs)
      victim.child.resume()
      struck.delete(victim.id)
      return
    case 'fill':
      return
    default:
      return unreachable(fault.kind)
  }
}

async function victimOf(
  cluster: Cluster,
  { victim }: Fault,
): Promise<LivingSeat<TortureOperations> | undefined> {
  if (victim !== 'leader') return cluster.living.find(({ id }) => id === cluster.seats[victim]?.id)
  return (await cluster.currentLeader()) ?? cluster.living[0]
}

/**
 * The next fault may strike while the member still opens its store; that fault then restarts it. One that joins may
 * wait for long, and in vain.
 */
async function restart(cluster: Cluster, seat: Seat<TortureOperations>): Promise<void> {
  const opened = cluster.restart(seat).catch((error: unknown) => {
    const isEnded = error instanceof StoreError && OPEN_MAY_FAIL.has(error.code)
    if (!isEnded) throw error
  })
  await Promise.race(seat.join === undefined ? [opened] : [opened, pause(JOIN_MS)])
}

/** Every member serves a strong read: there is a leader and everybody knows it. */
async function allAnswer(cluster: Cluster): Promise<void> {
  const dead = cluster.seats.filter((seat) => !cluster.living.some(({ id }) => id === seat.id))
  if (dead.length > 0) throw new Error(`member ${dead[0]!.id} ended by itself`)
  await Promise.all(cluster.living.map((seat) => read(seat, [])))
}

async function readAll(cluster: Cluster, ledger: Ledger): Promise<RoundReport['violations']> {
  const found: (Violation & { readonly member: string })[] = []
  const { keys } = ledger
  for (const seat of cluster.living) {
    for (let at = 0; at < keys.length; at += KEYS_PER_READ) {
      const group = keys.slice(at, at + KEYS_PER_READ)
      const values = await read(seat, group)
      for (const [i, key] of group.entries()) {
        const violation = ledger.judge(key, values[i])
        if (violation !== undefined) found.push({ ...violation, member: seat.id })
      }
    }
  }
  return found
}

/** A strong read, again as long as it may help. */
async function read(
  seat: LivingSeat<TortureOperations>,
  keys: readonly string[],
): Promise<readonly (Uint8Array | undefined)[]> {
  const end = performance.now() + READ_WITHIN_MS
  for (;;) {
    try {
      return await seat.child.call('getMany', { keys, timeoutMs: READ_TIMEOUT_MS })
    } catch (error) {
      const isOpening = error instanceof StoreError && error.code === 'QUORATE_NOT_OPEN'
      const mayRetry = error instanceof StoreError && (error.retryable || isOpening)
      if (!mayRetry || performance.now() > end) throw error
      await pause(RETRY_AFTER_MS)
    }
  }
}
