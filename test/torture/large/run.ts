/**
 * The torture of large values: real processes behind fault proxies write values of 300 KiB to 3 MiB while members are
 * killed, stopped and cut off, and while one at a time loses all its shards. After each round every key is read at
 * strong from every member, and every member has to have all its shards again.
 */
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { keyedBelow } from '../../../src/base/prng.js'
import { pause, until } from '../../../src/cli/processes/process-cluster.js'
import type { OpenOptions } from '../../../src/index.js'
import { StoreError } from '../../../src/index.js'
import { Recorder } from '../../../src/sim/recorder.js'
import { SpawnedCluster } from '../../../src/testing.js'
import { Ledger, type Violation } from '../ledger.js'
import { LevelFaults } from '../levels/faults.js'
import { describeLevelFault, planLevels } from '../levels/plan.js'
import { LargeLoad, type LargeTortureCluster } from './load.js'
import type { LargeTortureOperations } from './operations.js'
import type { Found } from './value.js'

/** What to run. */
export interface LargeSettings {
  readonly seed: number
  readonly rounds: number
  readonly roundMs: number
  /** The folders of the members are made in here. */
  readonly root: string
  readonly isVerbose: boolean
  say(line: string): void
  /** Is told of the cluster, to end it when the run is interrupted. */
  onCluster(cluster: LargeTortureCluster): void
}

/** What came of it. */
export interface LargeReport {
  /** In words. */
  readonly violations: readonly string[]
  readonly acknowledged: number
  readonly reads: number
  /** How often a member lost all its shards. */
  readonly losses: number
}

const MEMBERS = ['a', 'b', 'c']
const LEADER_WITHIN_MS = 30_000
const REPAIRED_WITHIN_MS = 60_000
const READ_WITHIN_MS = 30_000
const READ_TIMEOUT_MS = 10_000
const RETRY_AFTER_MS = 50
/** Of so many rounds, in one a member loses its shards. */
const LOSS_EVERY = 3
/** Elections and sweeps within a round, and segments that fill. */
const STORE: Omit<OpenOptions, 'dir' | 'id' | 'members' | 'listen'> = {
  valueEncoding: 'binary',
  timing: { tickMs: 50, heartbeatMs: 100, electionMs: 600 },
  erasure: { graceMs: 500 },
}
const SCRIPT = join(import.meta.dirname, 'member-process.js')

/** Runs the rounds; ends with the first that has violations. */
export async function tortureLarge(settings: LargeSettings): Promise<LargeReport> {
  const dir = join(settings.root, 'members')
  await mkdir(dir, { recursive: true })
  const cluster = await SpawnedCluster.start<LargeTortureOperations>({
    dir,
    members: MEMBERS,
    store: STORE,
    script: SCRIPT,
  })
  settings.onCluster(cluster)
  try {
    const report = await new LargeTorture(settings, cluster, dir).run()
    await cluster.close()
    return report
  } finally {
    // Of what went wrong the reason counts, and not how the others take it.
    const alive = cluster.members.filter((member) => cluster.isAlive(member))
    await Promise.all(alive.map((member) => cluster.kill(member)))
  }
}

class LargeTorture {
  readonly #settings: LargeSettings
  readonly #cluster: LargeTortureCluster
  readonly #dir: string
  readonly #ledger: Ledger
  readonly #faults: LevelFaults
  #reads = 0
  #losses = 0

  constructor(settings: LargeSettings, cluster: LargeTortureCluster, dir: string) {
    this.#settings = settings
    this.#cluster = cluster
    this.#dir = dir
    this.#ledger = new Ledger(settings.seed)
    this.#faults = new LevelFaults(cluster, new Recorder(() => performance.now()))
  }

  async run(): Promise<LargeReport> {
    const { rounds, say } = this.#settings
    await until(LEADER_WITHIN_MS, 'no leader was elected', () => this.#isLed())
    let violations: readonly string[] = []
    for (let round = 1; round <= rounds && violations.length === 0; round++) {
      await this.#runRound(round)
      violations = await this.#readAll()
      const { acknowledged } = this.#ledger
      say(`round ${String(round).padStart(3)}  ${acknowledged} acknowledged, ${this.#reads} reads`)
    }
    const { acknowledged } = this.#ledger
    return { violations, acknowledged, reads: this.#reads, losses: this.#losses }
  }

  async #isLed(): Promise<boolean> {
    const asked = MEMBERS.map((member) => this.#cluster.call(member, 'status', undefined))
    return (await Promise.all(asked)).some(({ role }) => role === 'leader')
  }

  async #runRound(round: number): Promise<void> {
    const { seed, roundMs, isVerbose, say } = this.#settings
    const plan = planLevels(seed, round, MEMBERS.length, roundMs)
    if (isVerbose) say(`  ${plan.map(describeLevelFault).join('; ')}`)
    const load = new LargeLoad(this.#cluster, this.#ledger, seed, round)
    const loaded = load.run()
    try {
      const struck = Promise.all([pause(roundMs), this.#faults.injectAll(plan)])
      // Writers may be done before the last member is up again; one that fails ends the round.
      await Promise.race([struck, loaded.then(() => struck)])
      await this.#faults.heal()
      if (round % LOSS_EVERY === 0) await this.#loseShards(round)
    } finally {
      load.stop()
    }
    await loaded
    await this.#repaired()
  }

  /** One disk's share of all values goes while its member is down: the others have to make up for it. */
  async #loseShards(round: number): Promise<void> {
    const member = MEMBERS[keyedBelow(this.#settings.seed, MEMBERS.length, 'loses', round)]!
    if (this.#settings.isVerbose) this.#settings.say(`  ${member} loses its shards`)
    await this.#cluster.kill(member)
    await rm(join(this.#dir, member, 'blobs'), { recursive: true, force: true })
    await this.#cluster.restart(member)
    this.#losses++
    await this.#faults.heal()
  }

  /** Waits until no member lacks a shard: from then on another disk may be lost. */
  async #repaired(): Promise<void> {
    for (const member of MEMBERS) {
      await until(REPAIRED_WITHIN_MS, `${member} lacks shards`, async () => {
        const { blobs } = await this.#cluster.call(member, 'status', undefined)
        return blobs.missing === 0
      })
    }
  }

  async #readAll(): Promise<string[]> {
    const violations: string[] = []
    for (const member of MEMBERS) {
      for (const [i, key] of this.#ledger.keys.entries()) {
        const found = await this.#read(member, key, i % 3 === 0 ? 'stream' : 'bytes')
        const violation = this.#judge(key, found)
        if (violation !== undefined) violations.push(describe(member, violation))
        this.#reads++
      }
    }
    return violations
  }

  #judge(key: string, found: Found): Violation | undefined {
    switch (found.type) {
      case 'round':
        return this.#ledger.judgeRound(key, found.round)
      case 'nothing':
        return this.#ledger.judgeRound(key, undefined)
      case 'foreign':
        return { kind: 'never written', key, found: found.text, expected: 'a value of its own' }
    }
  }

  /** Again as long as it may help. */
  async #read(member: string, key: string, as: 'bytes' | 'stream'): Promise<Found> {
    const { seed } = this.#settings
    const end = performance.now() + READ_WITHIN_MS
    for (;;) {
      try {
        const request = { seed, key, as, timeoutMs: READ_TIMEOUT_MS }
        return await this.#cluster.call(member, 'getLarge', request)
      } catch (error) {
        const mayRetry = error instanceof StoreError && error.retryable
        if (!mayRetry || performance.now() > end) throw error
        await pause(RETRY_AFTER_MS)
      }
    }
  }
}

function describe(member: string, { kind, key, found, expected }: Violation): string {
  return `${kind}: ${key} at ${member} is ${found}, wanted ${expected}`
}
