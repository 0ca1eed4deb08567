/** Watches a cluster from outside: for how long it has no leader with a majority up, and how often a state was sent. */
import type { ProcessCluster } from '../../src/cli/processes/process-cluster.js'
import { pause } from '../../src/cli/processes/process-cluster.js'
import type { MemberStatus } from '../../src/index.js'
import type { TortureOperations } from './operations.js'

const LOOK_EVERY_MS = 100

/** Looks at every member that runs, until stopped. */
export class LeaderWatch {
  readonly #cluster: ProcessCluster<TortureOperations>
  readonly #work: Promise<void>
  #isOver = false
  #leaderlessSince: number | undefined
  #voters: readonly string[] = []
  #confIndex = -1
  #longestMs = 0
  /** What each member said last, counted since the start of its process. */
  readonly #installed = new Map<string, number>()
  #snapshotsInstalled = 0

  constructor(cluster: ProcessCluster<TortureOperations>) {
    this.#cluster = cluster
    this.#work = this.#watch()
  }

  /** The longest time without a leader while a majority of the voters ran. */
  get longestMs(): number {
    return this.#longestMs
  }

  /** Snapshots that were put into force by members and seen here before their process ended. */
  get snapshotsInstalled(): number {
    return this.#snapshotsInstalled
  }

  async stop(): Promise<void> {
    this.#isOver = true
    await this.#work
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #watch(): Promise<void> {
    while (!this.#isOver) {
      this.#take(await this.#statuses())
      await pause(LOOK_EVERY_MS)
    }
  }

  /** Who does not answer (it is being killed, stopped, or opening) does not run. */
  async #statuses(): Promise<MemberStatus[]> {
    const running = this.#cluster.living.filter(({ child }) => child.isRunning)
    const answers = await Promise.all(
      running.map(({ child }) =>
        Promise.race([child.call('status', undefined), pause(LOOK_EVERY_MS)]).catch(
          () => undefined,
        ),
      ),
    )
    return answers.flatMap((answer) => answer ?? [])
  }

  #take(statuses: readonly MemberStatus[]): void {
    for (const { confIndex, members } of statuses) {
      if (confIndex < this.#confIndex) continue
      this.#confIndex = confIndex
      this.#voters = members.filter(({ as }) => as === 'voter').map(({ id }) => id)
    }
    this.#countSnapshots(statuses)
    const up = statuses.filter(({ id }) => this.#voters.includes(id)).length
    const hasLeader = statuses.some(({ role }) => role === 'leader')
    const now = performance.now()
    if (hasLeader || up <= this.#voters.length / 2) this.#leaderlessSince = undefined
    else this.#leaderlessSince ??= now
    this.#longestMs = Math.max(this.#longestMs, now - (this.#leaderlessSince ?? now))
  }

  #countSnapshots(statuses: readonly MemberStatus[]): void {
    for (const { id, snapshots } of statuses) {
      const before = this.#installed.get(id) ?? 0
      this.#installed.set(id, snapshots.installed)
      const isSameProcess = snapshots.installed >= before
      this.#snapshotsInstalled += snapshots.installed - (isSameProcess ? before : 0)
    }
  }
}
