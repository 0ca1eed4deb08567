/**
 * One run: a schedule carried out on a simulated cluster, in two phases.
 *
 * Safety: clients call while faults happen, and every rule of watch/ is checked at every input of every core. Then
 * liveness: all faults end, and the cluster must find a leader, agree, take fresh calls, lose its power once more,
 * and still have everything. In the end the clients judge what they were told.
 *
 * A run is a pure function of its schedule. It stops at the first violation.
 */
import { xxh64 } from '@node-rs/xxhash'
import { asBuffer } from '../../base/bytes.js'
import { StoreError } from '../../base/errors.js'
import type { HistoryEvent } from '../history.js'
import { formatHistory } from '../history-text.js'
import { type Action, effectiveEvents, isFault, type Schedule } from '../schedule/schedule.js'
import type { Violation } from '../watch/findings.js'
import { Cluster, type ClusterSetup, DIR, timingOf } from './cluster.js'
import { inflict } from './faults.js'
import type { Seat } from './seat.js'
import type { Tally } from './tally.js'
import type { TraceLine } from './trace.js'
import type { NewWorkload, Workload } from './workload.js'

/** How a run ended. */
export interface RunReport {
  readonly violation: Violation | undefined
  readonly tally: Tally
  /** Of everything that happened inside. */
  readonly traceHash: string
  /** Of everything that clients saw. */
  readonly historyHash: string
  readonly trace: readonly TraceLine[]
  readonly history: readonly HistoryEvent[]
}

/** What is run, and how it is looked at. */
export interface RunSetup<A extends Action> extends ClusterSetup {
  readonly workload: NewWorkload<A>
}

/** Members do not start at the same moment. */
const START_SPREAD_MS = 20
const IDLE_MS = 1000
/** Entries of the leader's own that an idle cluster may have in IDLE_MS, and the events of one at each member. */
const IDLE_ENTRIES = 10
const EVENTS_OF_ENTRY = 32
/** Of each fresh call: what is left of earlier calls goes before it, and bounds may be tight. */
const FRESH_MS = 120_000
const LAST_DOWN_MS = 100
const LOOK_AGAIN_MS = 500
/** A key that no workload uses, written and deleted to see whether members take calls. */
const FRESH_KEY = 'quorate/simulation/fresh'

/** Carries out `schedule`. */
export function runSchedule<A extends Action>(
  schedule: Schedule<A>,
  setup: RunSetup<A>,
): Promise<RunReport> {
  return new Simulation(schedule, setup).run()
}

class Simulation<A extends Action> {
  readonly #schedule: Schedule<A>
  readonly #cluster: Cluster
  readonly #workload: Workload<A>

  constructor(schedule: Schedule<A>, setup: RunSetup<A>) {
    this.#schedule = schedule
    this.#cluster = new Cluster(schedule.seed, schedule.knobs, setup, (seat) =>
      this.#workload.abandon(seat),
    )
    this.#workload = setup.workload(this.#cluster)
  }

  async run(): Promise<RunReport> {
    const phases = [
      () => this.#begin(),
      () => this.#stress(),
      () => this.#heal(),
      () => this.#workload.settle?.() ?? Promise.resolve(),
      () => this.#recover('after the faults'),
      () => this.#serveFresh(),
      () => this.#idle(),
      () => this.#loseEverythingLoose(),
      () => this.#recover('after the last power cut'),
      () => this.#scanAll(),
      () => this.#checkShards(),
      () => this.#workload.judge(),
    ]
    for (const phase of phases) {
      if (this.#cluster.findings.violation !== undefined) break
      await phase()
    }
    await this.#cluster.end()
    return this.#report()
  }

  async #begin(): Promise<void> {
    const { world, seats } = this.#cluster
    for (const seat of seats) {
      await this.#cluster.pass(world.below(START_SPREAD_MS, 'start', seat.name))
      seat.start()
    }
    await this.#workload.setup?.()
  }

  async #stress(): Promise<void> {
    const cluster = this.#cluster
    const begun = cluster.world.now
    for (const event of effectiveEvents(this.#schedule)) {
      await cluster.pass(begun + event.atMs - cluster.world.now)
      if (cluster.findings.violation !== undefined) return
      this.#workload.checkOverdue()
      if (isFault(event)) {
        const { id: _id, atMs: _atMs, ...fault } = event
        cluster.trace.note('', JSON.stringify(fault), undefined)
        cluster.recorder.nemesis(event.type, fault)
        inflict(event, cluster)
        if (event.type === 'rot' || event.type === 'shardRot') await cluster.copyDamage()
      } else {
        this.#workload.act(event)
      }
    }
  }

  async #heal(): Promise<void> {
    const { trace, network, seats } = this.#cluster
    trace.note('', 'all faults end', undefined)
    network.healAll()
    for (const seat of seats) {
      const { disk, databases } = seat.host
      seat.host.slow(1)
      disk.capacityBytes = Number.POSITIVE_INFINITY
      disk.forgetFailures()
      databases.forgetFailures()
      seat.resume()
      // What was done to its disk may still show, at the next write say: whoever runs it starts it again.
      if (seat.isExcused) seat.kill()
      seat.startIn(0)
    }
    const { administration } = this.#cluster
    const openCalls = () => this.#workload.openCalls + administration.openCalls
    const isOver = await this.#cluster.until(() => {
      this.#startNewcomers()
      return openCalls() === 0
    })
    if (!isOver) this.#workload.checkOverdue()
    const { coded, model } = this.#cluster.watch
    for (const manifest of model.manifests) coded.contentOf(manifest)
  }

  /** L1, L2. */
  async #recover(when: string): Promise<void> {
    const cluster = this.#cluster
    const { findings } = cluster
    const words = () => `${when}: ${JSON.stringify(cluster.standings)}`
    const hasLeader = await cluster.until(() => {
      this.#startNewcomers()
      return cluster.leader !== undefined
    })
    findings.expect(hasLeader, 'L1 a leader emerges', words)
    const isAtRest = await cluster.until(() => {
      this.#startNewcomers()
      return cluster.isAtRest
    })
    findings.expect(isAtRest, 'L2 members converge', words)
  }

  /** Who was let in when nobody waited there any more is started once it is known. */
  #startNewcomers(): void {
    const { seats, watch } = this.#cluster
    for (const seat of seats) if (watch.members.has(seat.name)) seat.enlist()
  }

  /** L3: writes and strong reads through every member; they may wait behind what is left of earlier calls. */
  async #serveFresh(): Promise<void> {
    const { living, findings } = this.#cluster
    for (const { name, store } of living) {
      const value = `through ${name}`
      const serve = async () => {
        const put = () =>
          store!.put(FRESH_KEY, value, { valueEncoding: 'utf8', timeoutMs: FRESH_MS })
        await this.#onceThereIsRoom(put)
        const found = await store!.get(FRESH_KEY, { valueEncoding: 'utf8' })
        await store!.del(FRESH_KEY, { timeoutMs: FRESH_MS })
        return found
      }
      const found = await this.#cluster.finish(serve(), 'L3 fresh calls succeed', name)
      findings.expect(
        found === value,
        'L3 fresh calls succeed',
        () => `${name} reads ${JSON.stringify(found)} after its own write`,
      )
    }
  }

  /** That disks have room again is noticed and told about once a second. */
  async #onceThereIsRoom<T>(call: () => Promise<T>): Promise<T> {
    const { world } = this.#cluster
    for (;;) {
      try {
        return await call()
      } catch (error) {
        if (!(error instanceof StoreError) || error.code !== 'QUORATE_NO_SPACE') throw error
      }
      await new Promise<void>((resolve) => {
        world.schedule(LOOK_AGAIN_MS, resolve)
      })
    }
  }

  /** L5. */
  async #idle(): Promise<void> {
    const { world, seats, knobs, findings, watch } = this.#cluster
    await this.#cluster.pass(IDLE_MS)
    const [before, lastIndex] = [world.executed, watch.model.lastIndex]
    await this.#cluster.pass(IDLE_MS)
    const events = world.executed - before
    // What expires does so by itself, but never in a hurry.
    const entries = Math.min(IDLE_ENTRIES, watch.model.lastIndex - lastIndex)
    // Heartbeats and their answers are fewer than ticks, but each is some events.
    const ticks = IDLE_MS / timingOf(knobs).tickMs
    const most = seats.length * (ticks * (2 + 2 * seats.length) + entries * EVENTS_OF_ENTRY)
    findings.expect(
      events <= most,
      'L5 an idle cluster is quiet',
      () => `${events} events in ${IDLE_MS} ms`,
    )
  }

  async #loseEverythingLoose(): Promise<void> {
    for (const seat of this.#cluster.living) {
      seat.powerCut('none')
      seat.isExcused = seat.isRotten
    }
    await this.#cluster.pass(LAST_DOWN_MS)
    for (const seat of this.#cluster.seats) seat.startIn(0)
  }

  /** L4, S5, S9: every member has exactly the state of the committed log, and nothing else on its disk. */
  async #scanAll(): Promise<void> {
    const { living, findings, watch } = this.#cluster
    const expected = watch.model.entries()
    for (const seat of living) {
      const everything = readEverything(seat)
      const found = await this.#cluster.finish(
        everything,
        'L4 everything is still there',
        seat.name,
      )
      if (found === undefined) return
      const wrong = [...new Set([...expected.keys(), ...found.keys()])].find(
        (key) => expected.get(key) !== found.get(key),
      )
      findings.count(expected.size)
      findings.expect(
        wrong === undefined,
        'S5 acknowledged is readable',
        () => `${seat.name} has ${found.get(wrong!)} at ${wrong}, not ${expected.get(wrong!)}`,
      )
      const stray = strayFiles(seat)
      findings.expect(stray.length === 0, 'S9 no garbage', () => `${seat.name} keeps ${stray}`)
    }
  }

  /** E2, E3, E5, E6: every member gets its shards again, and nothing else stays. */
  async #checkShards(): Promise<void> {
    const { living, findings, watch, seats } = this.#cluster
    const { coded, model, shards } = watch
    const names = new Set(living.map(({ name }) => name))
    const lost = new Set(seats.map(({ name }) => name).filter((name) => !names.has(name)))
    const lacking = () =>
      model.manifests.flatMap((manifest) =>
        coded.lacking(manifest, model.configuration!).filter((name) => names.has(name)),
      )
    const isRepaired = await this.#cluster.until(() => lacking().length === 0)
    const who = () => `shards are lacking at ${lacking()}`
    findings.expect(isRepaired, 'E6 everybody has their shards again', who)
    for (const manifest of model.manifests) {
      coded.requireSpread(manifest, model.configuration!, lost)
      coded.requireOneCodeword(manifest)
    }
    const strays = () => shards.strays([...names])
    const areGone = await this.#cluster.until(() => strays().length === 0)
    findings.expect(areGone, 'E5 orphans go', () => strays().join())
  }

  #report(): RunReport {
    const { tally, world, seats, findings, trace, watch } = this.#cluster
    tally.runs = 1
    tally.events = world.executed
    tally.virtualMs = world.now
    tally.memberMs = world.now * seats.length
    tally.checks = findings.checks
    tally.leaders = watch.leaderCount
    tally.snapshots = watch.snapshotCount
    tally.largeValues = watch.shards.introducedCount
    const history = this.#workload.history()
    return {
      violation: findings.violation,
      tally,
      traceHash: trace.hash.toString(16).padStart(8, '0'),
      historyHash: xxh64(formatHistory(history)).toString(16).padStart(16, '0'),
      trace: trace.lines,
      history,
    }
  }
}

/** All keys and values, bytes as latin1. */
async function readEverything({ store }: Seat): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  const options = { keyEncoding: 'binary', valueEncoding: 'binary' } as const
  for await (const [key, value] of store!.scan<Uint8Array, Uint8Array>(options)) {
    found.set(asBuffer(key).toString('latin1'), asBuffer(value).toString('latin1'))
  }
  return found
}

/** Files that nothing needs: all but the identity, marks, the segments, one that is being prepared, and torn ends. */
function strayFiles({ host }: Seat): string[] {
  const needed = [`${DIR}/member.json`, `${DIR}/CURRENT-STATE`, `${DIR}/loyal`]
  const own = host.disk.paths(DIR).filter((path) => !needed.includes(path))
  const log = host.disk.paths(`${DIR}/log`)
  return [...own, ...log.filter((path) => path.endsWith('.new')).slice(1)]
}
