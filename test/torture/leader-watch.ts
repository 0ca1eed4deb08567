/** Watches from outside for how long a cluster whose majority is up has no leader. */
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

  constructor(cluster: ProcessCluster<TortureOperations>) {
    this.#cluster = cluster
    this.#work = this.#watch()
  }

  /** The longest time without a leader while a majority of the voters ran. */
  get longestMs(): number {
    return this.#longestMs
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
    const up = statuses.filter(({ id }) => this.#voters.includes(id)).length
    const hasLeader = statuses.some(({ role }) => role === 'leader')
    const now = performance.now()
    if (hasLeader || up <= this.#voters.length / 2) this.#leaderlessSince = undefined
    else this.#leaderlessSince ??= now
    this.#longestMs = Math.max(this.#longestMs, now - (this.#leaderlessSince ?? now))
  }
}
