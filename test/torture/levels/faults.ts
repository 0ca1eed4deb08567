/** Carries out the faults of a round on a real cluster, and heals what is left of them. */
import { unreachable } from '../../../src/base/assert.js'
import { pause } from '../../../src/cli/processes/process-cluster.js'
import { StoreError } from '../../../src/index.js'
import type { Recorder } from '../../../src/sim/recorder.js'
import type { SpawnedCluster } from '../../../src/testing.js'
import type { LevelOperations } from './operations.js'
import type { LevelFault } from './plan.js'

/** A cluster whose members serve LevelOperations. */
export type LevelCluster = SpawnedCluster<LevelOperations>

const SLOW_MS = 60
const STATUS_MS = 200
const ANSWER_WITHIN_MS = 30_000
const RETRY_AFTER_MS = 20
const READ_TIMEOUT_MS = 2_000

/** The faults of one cluster. */
export class LevelFaults {
  readonly #cluster: LevelCluster
  readonly #recorder: Recorder
  /** Members that are being killed or stopped. */
  readonly #struck = new Set<string>()
  readonly #starting = new Map<string, Promise<void>>()

  constructor(cluster: LevelCluster, recorder: Recorder) {
    this.#cluster = cluster
    this.#recorder = recorder
  }

  /** Resolves when each fault has ended; a process that was started anew may still be opening. */
  async injectAll(faults: readonly LevelFault[]): Promise<void> {
    await Promise.all(faults.map((fault) => this.#inject(fault)))
  }

  /** Heals everything and waits until every member serves a strong read. */
  async heal(): Promise<void> {
    this.#recorder.nemesis('heal', undefined)
    this.#cluster.heal()
    await Promise.all(this.#starting.values())
    await Promise.all(this.#cluster.members.map((member) => this.#answers(member)))
  }

  /** Who says that it leads; undefined when nobody does, or says so in time. */
  async leader(): Promise<string | undefined> {
    const running = this.#cluster.members.filter((member) => this.#cluster.isRunning(member))
    const statuses = await Promise.all(
      running.map((member) =>
        Promise.race([this.#cluster.call(member, 'status', undefined), pause(STATUS_MS)]).catch(
          // It is just being killed, or opening: it does not lead.
          () => undefined,
        ),
      ),
    )
    const leaders = statuses.flatMap((status) => (status?.role === 'leader' ? [status] : []))
    return leaders.sort((a, b) => b.term - a.term)[0]?.id
  }

  async #inject({ kind, victim, atMs, forMs }: LevelFault): Promise<void> {
    await pause(atMs)
    const { members } = this.#cluster
    const id = victim === 'leader' ? ((await this.leader()) ?? members[0]!) : members[victim]!
    switch (kind) {
      case 'kill':
      case 'stop':
        return this.#strike(kind, id, forMs)
      case 'isolate':
      case 'deafen':
      case 'silence':
        return this.#cut(kind, id, forMs)
      case 'break':
        this.#recorder.nemesis(kind, id)
        for (const other of this.#othersOf(id)) this.#cluster.break(id, other)
        return
      case 'slow':
        return this.#slow(id, forMs)
      default:
        return unreachable(kind)
    }
  }

  /** A member that is down, stopped or opening already is spared. */
  async #strike(kind: 'kill' | 'stop', id: string, forMs: number): Promise<void> {
    if (this.#struck.has(id) || !this.#cluster.isRunning(id)) return
    this.#struck.add(id)
    this.#recorder.nemesis(kind, id)
    if (kind === 'kill') {
      await this.#cluster.kill(id)
      await pause(forMs)
      this.#starting.set(id, this.#restart(id))
    } else {
      this.#cluster.pause(id)
      await pause(forMs)
      this.#cluster.resume(id)
    }
    this.#recorder.nemesis(kind === 'kill' ? 'restart' : 'resume', id)
    this.#struck.delete(id)
  }

  /** It may be killed again while it opens. */
  async #restart(id: string): Promise<void> {
    try {
      await this.#cluster.restart(id)
    } catch (error) {
      if (!(error instanceof StoreError && error.code === 'QUORATE_STOPPED')) throw error
    }
  }

  async #cut(kind: 'isolate' | 'deafen' | 'silence', id: string, forMs: number): Promise<void> {
    this.#recorder.nemesis(kind, id)
    for (const other of this.#othersOf(id)) {
      if (kind !== 'silence') this.#cluster.cut(other, id)
      if (kind !== 'deafen') this.#cluster.cut(id, other)
    }
    await pause(forMs)
    this.#recorder.nemesis('mend', id)
    for (const other of this.#othersOf(id)) {
      this.#cluster.mend(other, id)
      this.#cluster.mend(id, other)
    }
  }

  async #slow(id: string, forMs: number): Promise<void> {
    this.#recorder.nemesis('slow', id)
    this.#lag(id, SLOW_MS)
    await pause(forMs)
    this.#recorder.nemesis('fast', id)
    this.#lag(id, 0)
  }

  #lag(id: string, ms: number): void {
    for (const other of this.#othersOf(id)) {
      this.#cluster.slow(id, other, ms)
      this.#cluster.slow(other, id, ms)
    }
  }

  #othersOf(id: string): readonly string[] {
    return this.#cluster.members.filter((member) => member !== id)
  }

  async #answers(member: string): Promise<void> {
    const end = performance.now() + ANSWER_WITHIN_MS
    for (;;) {
      try {
        const operation = { f: 'get', key: 'nothing', level: 'strong' } as const
        const timeoutMs = READ_TIMEOUT_MS
        await this.#cluster.call(member, 'call', { operation, onBehind: 'wait', timeoutMs })
        return
      } catch (error) {
        const mayRetry =
          error instanceof StoreError && (error.retryable || error.code === 'QUORATE_NOT_OPEN')
        if (!mayRetry || !this.#cluster.isAlive(member) || performance.now() > end) throw error
        await pause(RETRY_AFTER_MS)
      }
    }
  }
}
