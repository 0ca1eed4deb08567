/**
 * Random schedules: what may happen to a cluster, as a list of small numbers that fast-check can shrink.
 *
 * Each action is read against the present state of the cluster (which message, which node), so that any list
 * is a schedule, and a shorter one is a similar schedule.
 */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { CoreOptions } from '../../src/raft/types.js'
import { Cluster, change, conf, type DriverOptions, emptyDisk, TEST_OPTIONS } from './harness.js'

/** What happens, and two numbers that choose to whom. */
export type Action = readonly [kind: ActionKind, x: number, y: number]

/** How often each kind of action is drawn. */
const WEIGHTS = {
  settle: 6,
  deliver: 30,
  deliverAll: 10,
  lose: 3,
  duplicate: 3,
  flush: 14,
  answerFetch: 4,
  failFetch: 1,
  tick: 12,
  propose: 10,
  read: 3,
  campaign: 2,
  crash: 1,
  restart: 3,
  cut: 1,
  heal: 2,
  compact: 2,
  change: 2,
  transfer: 1,
  hint: 2,
} as const

type ActionKind = keyof typeof WEIGHTS

const CHANGES = [
  'v4',
  'v5',
  'r1',
  'r2',
  'r3',
  'r4',
  'v1',
  'v2',
  'v3',
  'l4',
  'l5',
  'v4 r1',
  'l2 v5',
  '',
]

/** Lists of up to `maxLength` actions. */
export function schedules(maxLength: number): fc.Arbitrary<Action[]> {
  const kinds = Object.entries(WEIGHTS).map(([kind, weight]) => ({
    weight,
    arbitrary: fc.constant(kind as ActionKind),
  }))
  return fc.array(fc.tuple(fc.oneof(...kinds), fc.nat(255), fc.nat(255)), {
    maxLength,
    size: 'max',
  })
}

/** Bounds so small that windows fill, caches overflow and bodies are fetched. */
const TIGHT: Partial<CoreOptions> = {
  electionTicks: 5,
  maxInflightMessages: 3,
  maxBytesPerMessage: 100,
  maxApplyBytes: 100,
  entryCacheBytes: 150,
  commitNotice: 'afterApply',
  maxUncommittedBytes: 200,
}

/** Three voters and two nodes that are not members yet. */
export function scheduledCluster(
  options: Partial<CoreOptions>,
  driver: Partial<DriverOptions>,
): Cluster {
  const t = new Cluster({ tailMax: 3, ...driver })
  for (const id of [1, 2, 3, 4, 5]) {
    const disk = emptyDisk(id <= 3 ? conf(1, 2, 3) : conf())
    t.add(id, disk, { ...TEST_OPTIONS, ...TIGHT, ...options })
  }
  return t
}

/** Whether nodes' clocks tick each by itself, or all at the same rate, as leases suppose. */
export type Clocks = 'apart' | 'together'

/** Plays a schedule. */
export function play(t: Cluster, actions: readonly Action[], clocks: Clocks): void {
  for (const action of actions) {
    if (action[0] === 'tick' && clocks === 'together') for (const { id } of t.up) t.tick(id)
    else act(t, action)
    for (const { id } of t.up) while (t.pump(id) !== undefined) t.check()
  }
}

/** Ends all faults and requires that the cluster elects a leader, agrees, and serves (liveness after healing). */
export function converge(t: Cluster): void {
  t.heal()
  for (const node of t.nodes.values()) if (!node.isUp) t.restart(node.id)
  for (let round = 0; round < 100; round++) {
    t.run(5)
    const leader = agreedLeader(t)
    if (leader === undefined) continue
    const applied = t.node(leader).disk.applied
    t.propose(leader, 'final')
    const token = t.read(leader)
    t.run(3)
    // A node that was removed and does not know it may still disturb once.
    const isRead = t.node(leader).reads.some((read) => read.token === token)
    if (isRead && t.node(leader).disk.applied > applied) return
  }
  assert.fail(`no agreement: ${t.up.map(({ core }) => JSON.stringify(core.status())).join('\n')}`)
}

/** The leader, when all members of its configuration have what it has. */
function agreedLeader(t: Cluster): number | undefined {
  // One of an earlier term, cut off when it was removed, may not know: without checkQuorum nobody tells it.
  const [leader] = t.leaders.sort((a, b) => t.core(b).term - t.core(a).term)
  if (leader === undefined) return undefined
  const { conf: members, lastIndex, lastTerm, commitIndex } = t.core(leader).status()
  if (commitIndex !== lastIndex || members.votersOutgoing.length > 0) return undefined
  const isEqual = [...members.voters, ...members.learners].every((id) => {
    const { leader: follows, appliedIndex, lastTerm: itsTerm } = t.core(id).status()
    return follows === leader && appliedIndex === lastIndex && itsTerm === lastTerm
  })
  return isEqual ? leader : undefined
}

/** One case per kind of action: long because there are many, each is two lines. */
function act(t: Cluster, [kind, x, y]: Action): void {
  const { up, messages } = t
  const node = up[x % Math.max(1, up.length)]
  const at = messages.length === 0 ? -1 : y % messages.length
  switch (kind) {
    case 'settle':
      t.run(y % 3)
      return
    case 'deliver':
      if (at >= 0) t.deliver(messages.splice(at, 1)[0]!)
      return
    case 'deliverAll':
      for (let left = messages.length; left > 0; left--) t.deliverNext()
      return
    case 'lose':
      if (at >= 0) t.lose(messages.splice(at, 1)[0]!)
      return
    case 'duplicate':
      if (at >= 0) messages.push(messages[at]!)
      return
    case 'crash':
      if (node !== undefined) t.crash(node.id)
      return
    case 'restart': {
      const down = [...t.nodes.values()].filter((one) => !one.isUp)
      if (down.length > 0) t.restart(down[x % down.length]!.id)
      return
    }
    case 'cut':
      t.cut(['1 | 2 3 4 5', '2 | 1 3 4 5', '3 | 1 2 4 5', '1 2 | 3 4 5', '1 2 4 | 3 5'][y % 5]!)
      return
    case 'heal':
      t.heal()
      return
    default:
      if (node !== undefined) actOn(t, node.id, kind, y)
  }
}

function actOn(t: Cluster, id: number, kind: ActionKind, y: number): void {
  const { core, disk, fetches } = t.node(id)
  switch (kind) {
    case 'flush':
      t.flush(id)
      return
    case 'answerFetch':
      t.answerFetch(id)
      return
    case 'failFetch':
      for (const { id: fetch } of fetches.splice(0)) {
        core.step({ type: 'entriesUnavailable', id: fetch, why: 'retry' })
      }
      return
    case 'tick':
      t.tick(id, 1 + (y % 3))
      return
    case 'propose':
      t.propose(id, ...['a', 'b', 'c'].slice(0, 1 + (y % 3)))
      return
    case 'read':
      t.read(id)
      return
    case 'campaign':
      core.step({ type: 'campaign' })
      return
    case 'compact':
      if (disk.applied > disk.previous.index)
        t.compact(id, disk.applied - (y % 2 && disk.applied > disk.previous.index + 1 ? 1 : 0))
      return
    case 'change':
      t.proposeChange(id, change(CHANGES[y % CHANGES.length]!))
      return
    case 'transfer':
      core.step({ type: 'transferLeader', to: 1 + (y % 5) })
      return
    case 'hint':
      hint(t, id, y)
      return
    default:
      return
  }
}

/** What a driver may tell a core at any time, true or not: none of it may matter for safety. */
function hint(t: Cluster, id: number, y: number): void {
  const { core } = t.node(id)
  const peer = 1 + (y % 5)
  const inputs = [
    { type: 'peerDown', peer },
    { type: 'unreachable', peer },
    { type: 'clockGap', ms: 1000 },
    { type: 'forgetLeader' },
    { type: 'snapshotStatus', peer, ok: y % 2 === 0 },
  ] as const
  core.step(inputs[Math.floor(y / 5) % inputs.length]!)
}
