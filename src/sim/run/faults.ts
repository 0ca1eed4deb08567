/** Does to a simulated cluster what the faults of a schedule say, and undoes it when their time is over. */
import { unreachable } from '../../base/assert.js'
import { type FaultEvent, type Step, WHOEVER_LEADS } from '../schedule/schedule.js'
import type { SimNetwork } from '../sim-network.js'
import type { SimWorld } from '../world.js'
import type { Administration } from './administration.js'
import { mayBeDamaged, rot, rotShard } from './rot.js'
import type { Seat } from './seat.js'
import type { Tally } from './tally.js'

/** What faults are done to. */
export interface FaultTarget {
  readonly world: SimWorld
  readonly network: SimNetwork
  readonly seats: readonly Seat[]
  readonly leader: Seat | undefined
  readonly tally: Tally
  readonly administration: Administration
}

/** How long it takes to bring back a machine whose disk was slow and then gone. */
const DEAD_DISK_MS = 300
const SHARDS_DIR = 'data/blobs'
/** A process that finds damage was away for a moment only. */
const FOUND_MS = 10

/** Begins a fault; it ends by itself. */
export function inflict(event: Step & FaultEvent, target: FaultTarget): void {
  if (begin(event, target)) target.tally.faults[event.type]++
}

/** Begins a fault; false when it meets nothing. */
function begin(event: Step & FaultEvent, target: FaultTarget): boolean {
  const { seats } = target
  switch (event.type) {
    case 'kill':
      return crash(seatOf(event.member, target), event.downMs, target, (seat) => seat.kill())
    case 'powerCut':
      return crash(seatOf(event.member, target), event.downMs, target, (seat) =>
        seat.powerCut(event.mode),
      )
    case 'blackout':
      return (
        seats.filter((seat) =>
          crash(seat, event.downMs, target, (each) => each.powerCut(event.mode)),
        ).length > 0
      )
    case 'close':
      return close(seatOf(event.member, target), event.downMs)
    case 'pause':
      return pause(seatOf(event.member, target), event.ms)
    case 'flushError':
      seatOf(event.member, target).isExcused = true
      seatOf(event.member, target).host.databases.failNextFlush()
      return true
    case 'diskError':
      seatOf(event.member, target).isExcused = true
      seatOf(event.member, target).host.disk.failNext(event.operation, 'EIO', 'data')
      return true
    case 'slowDisk':
      return slowDisk(seatOf(event.member, target), event, target)
    case 'fullDisk':
      return fullDisk(seatOf(event.member, target), event, target.world)
    case 'clock':
      seatOf(event.member, target).host.stepWall(event.stepMs)
      return true
    case 'rot':
      return damage(event, seatOf(event.member, target), target)
    case 'stateLoss':
      return loseState(seatOf(event.member, target), event.downMs, target)
    case 'shardRot':
      return damageShard(event, seatOf(event.member, target), target)
    case 'shardLoss':
      return loseShards(seatOf(event.member, target), event.downMs, target)
    case 'isolate':
      return isolate(seatOf(event.member, target), event.ms, target)
    case 'transfer':
    case 'membership':
      return target.administration.begin(event, seatOf(event.member, target))
    case 'partition':
    case 'oneWayCut':
    case 'clog':
    case 'break':
      return disturb(event, target)
    default:
      return unreachable(event)
  }
}

function seatOf(member: number, { seats, leader }: FaultTarget): Seat {
  return (member >= WHOEVER_LEADS ? leader : undefined) ?? seats[member % seats.length]!
}

function crash(
  seat: Seat,
  downMs: number,
  { tally }: FaultTarget,
  end: (seat: Seat) => void,
): boolean {
  const { isRunning } = seat
  if (isRunning) {
    end(seat)
    seat.startIn(downMs)
    tally.crashes++
  }
  return isRunning
}

function damage(
  event: FaultEvent & { readonly type: 'rot' },
  seat: Seat,
  target: FaultTarget,
): boolean {
  const isDone = !target.administration.hasBegun && rot(seat, event, target.seats)
  if (isDone && event.found === 'now') crash(seat, FOUND_MS, target, (found) => found.kill())
  return isDone
}

/** The log of a minority may be lost for good, so that is as far as it goes here, too. */
function loseState(seat: Seat, downMs: number, target: FaultTarget): boolean {
  const { administration, seats } = target
  if (administration.hasBegun || !mayBeDamaged(seat, seats)) return false
  const { databases } = seat.host
  const isDone = crash(seat, downMs, target, (losing) => losing.kill())
  if (!isDone) return false
  seat.isExcused = true
  seat.isStateLost = true
  databases.damageAll()
  return true
}

function damageShard(
  event: FaultEvent & { readonly type: 'shardRot' },
  seat: Seat,
  target: FaultTarget,
): boolean {
  const isDone = !target.administration.hasBegun && rotShard(seat, event, target.seats)
  if (isDone && event.found === 'now') crash(seat, FOUND_MS, target, (found) => found.kill())
  return isDone
}

/** A disk of its own for the shards is replaced by an empty one. */
function loseShards(seat: Seat, downMs: number, target: FaultTarget): boolean {
  const { administration, seats } = target
  if (administration.hasBegun || !mayBeDamaged(seat, seats)) return false
  const isDone = crash(seat, downMs, target, (losing) => losing.kill())
  if (!isDone) return false
  seat.isShardLost = true
  seat.host.disk.lose(SHARDS_DIR)
  seat.damaged()
  return true
}

function close(seat: Seat, downMs: number): boolean {
  if (seat.store === undefined) return false
  seat.close(downMs)
  return true
}

function pause(seat: Seat, ms: number): boolean {
  if (seat.store === undefined) return false
  seat.pause(ms)
  return true
}

function slowDisk(
  seat: Seat,
  { factor, ms, end }: FaultEvent & { readonly type: 'slowDisk' },
  target: FaultTarget,
): boolean {
  const { host } = seat
  const before = host.disk.slowness
  // Two at a time do not add up: what was begun then would outlast any patience.
  if (before >= factor) return false
  host.slow(factor)
  target.world.schedule(ms, () => {
    if (host.disk.slowness !== factor) return
    host.slow(before)
    if (end !== 'recovers') crash(seat, DEAD_DISK_MS, target, (dying) => dying.powerCut(end))
  })
  return true
}

function fullDisk(
  seat: Seat,
  { freeBytes, ms }: { readonly freeBytes: number; readonly ms: number },
  world: SimWorld,
): boolean {
  const { disk } = seat.host
  seat.isExcused = true
  const capacity = disk.usedBytes + freeBytes
  disk.capacityBytes = capacity
  world.schedule(ms, () => {
    if (disk.capacityBytes === capacity) disk.capacityBytes = Number.POSITIVE_INFINITY
  })
  return true
}

function isolate({ name }: Seat, ms: number, { world, network, seats }: FaultTarget): boolean {
  const others = seats.map((seat) => seat.name).filter((other) => other !== name)
  for (const other of others) {
    network.cut(name, other)
    network.cut(other, name)
  }
  world.schedule(ms, () => {
    for (const other of others) {
      network.heal(name, other)
      network.heal(other, name)
    }
  })
  return others.length > 0
}

type Disturbance = Extract<
  FaultEvent,
  { readonly type: 'partition' | 'oneWayCut' | 'clog' | 'break' }
>

function disturb(event: Disturbance, target: FaultTarget): boolean {
  const { world, network, seats } = target
  const names = seats.map((seat) => seat.name)
  if (event.type === 'partition') {
    const sideOf = (at: number) => (event.side >> at) & 1
    const [here, there] = [1, 0].map((side) => names.filter((_, at) => sideOf(at) === side))
    if (here!.length === 0 || there!.length === 0) return false
    network.partition([here!, there!])
    // Heals every cut: a later partition may be shorter than it says.
    world.schedule(event.ms, () => network.healAll())
    return true
  }
  const [from, to] = [seatOf(event.from, target).name, seatOf(event.to, target).name]
  if (from === to) return false
  switch (event.type) {
    case 'oneWayCut':
      network.cut(from, to)
      world.schedule(event.ms, () => network.heal(from, to))
      return true
    case 'clog':
      network.clog(from, to, event.ms)
      return true
    case 'break':
      network.break(from, to)
      return true
    default:
      return unreachable(event)
  }
}
