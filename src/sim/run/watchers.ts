/**
 * Clients of a simulated cluster that watch: each follows a range of keys for as long as the run lasts, goes on
 * elsewhere with its token when its member ends, and begins anew when what it missed is not remembered any more.
 */
import { StoreError } from '../../base/errors.js'
import type { WatchEvent, WatchedChange } from '../../store/watch.js'
import type { CommittedLog } from '../checkers/committed-log.js'
import {
  checkWatches,
  type GivenChange,
  type WatchedItem,
  type WatchedRange,
  type WatchRun,
} from '../checkers/watches.js'
import type { ClientEvent } from '../schedule/schedule.js'
import type { Cluster } from './cluster.js'
import type { Seat } from './seat.js'

type WatchAction = ClientEvent & { readonly type: 'watch' }

const RETRY_MS = 200
/** Where nothing happens, a watch knows how far it has come after about a second. */
const ARRIVAL_MS = 10_000

/** What somebody has been told. */
interface Known {
  /** The newest write that was acknowledged. */
  acknowledged: number
  /** The newest place where a watch from now on began. */
  newestBeginning: number
  /** The faults are over: nobody does anything else meanwhile. */
  isOver: boolean
}

/** All of a run. */
export class Watchers {
  readonly #at: Cluster
  readonly #readValue: (stored: string) => string
  readonly #watchers: Watcher[] = []
  readonly #known: Known = {
    acknowledged: 0,
    newestBeginning: 0,
    isOver: false,
  }

  constructor(at: Cluster, readValue: (stored: string) => string) {
    this.#at = at
    this.#readValue = readValue
  }

  /** Every write that is called now comes after this. */
  get newestBeginning(): number {
    return this.#known.newestBeginning
  }

  /** A write at `index` was acknowledged that was called when `newestBeginning` was `before`. */
  acknowledged(index: number, before: number): void {
    this.#known.acknowledged = Math.max(this.#known.acknowledged, index)
    this.#at.findings.expect(
      index > before,
      'C7 watch guarantees',
      () => `start: a watch was ready at ${before}, and misses the later write at ${index}`,
    )
  }

  begin(action: WatchAction, seat: Seat, range: WatchedRange): void {
    const watcher = new Watcher(this.#at, this.#known, action, range, this.#readValue)
    this.#watchers.push(watcher)
    watcher.goOn(seat)
  }

  /** The process on `seat` has ended. */
  abandon(seat: Seat): void {
    for (const watcher of this.#watchers) watcher.abandon(seat)
  }

  /** Everybody is healthy: every watch arrives at the end of the log, and has given what stands in it. */
  async judge(log: CommittedLog): Promise<void> {
    const { findings, tally, world, living } = this.#at
    const end = log.lastIndex
    this.#known.isOver = true
    // Who is no member any more may not have heard of it: a client whose watch stands still looks elsewhere.
    for (const watcher of this.#watchers) watcher.leaveUnless(living)
    const isThere = () => this.#watchers.every(({ position }) => position >= end)
    const hasArrived = isThere() || (await world.runUntil(isThere, ARRIVAL_MS))
    const late = this.#watchers.find(({ position }) => position < end)
    findings.expect(
      hasArrived,
      'C7 watch guarantees',
      () => `arrival: a watch stands at ${late?.position}, the log ends at ${end}`,
    )
    const runs = this.#watchers.flatMap((watcher) => watcher.finish())
    const verdict = checkWatches(runs, log)
    const { watches, entries } = verdict.observed
    findings.count(watches + entries)
    tally.watchedEntries += entries
    if (verdict.verdict !== 'violation') return
    findings.report('C7 watch guarantees', `${verdict.rule}: ${verdict.counterexample}`)
  }
}

/** One client; see the file's comment. */
class Watcher {
  readonly #at: Cluster
  readonly #known: Known
  readonly #action: WatchAction
  readonly #range: WatchedRange
  readonly #readValue: (stored: string) => string
  readonly #runs: { range: WatchedRange; after: number | undefined; items: WatchedItem[] }[] = []
  #seat: Seat | undefined
  /** Where to go on from. */
  #token: string | undefined
  #begins: 'now' | 'state'
  /** Counts stays at members, so that what an earlier one still says is not heard. */
  #stay = 0
  #index: () => number = () => 0

  constructor(
    at: Cluster,
    known: Known,
    action: WatchAction,
    range: WatchedRange,
    readValue: (stored: string) => string,
  ) {
    this.#at = at
    this.#known = known
    this.#action = action
    this.#range = range
    this.#readValue = readValue
    this.#begins = action.begins
  }

  /** What it was given, and how far it knows to have come. */
  finish(): readonly WatchRun[] {
    this.#stay++
    this.#runs.at(-1)?.items.push({ type: 'progress', index: this.position })
    return this.#runs
  }

  get position(): number {
    return this.#index()
  }

  /** Looks elsewhere when it is at none of `seats`. */
  leaveUnless(seats: readonly Seat[]): void {
    if (this.#seat !== undefined && !seats.includes(this.#seat)) this.#lookElsewhere()
  }

  abandon(seat: Seat): void {
    if (seat !== this.#seat) return
    this.#stay++
    this.#lookElsewhere()
  }

  /** Watches at `seat`, from where it is. */
  goOn(seat: Seat): void {
    const { store } = seat
    if (store === undefined) {
      this.#lookElsewhere()
      return
    }
    this.#seat = seat
    const stay = ++this.#stay
    this.#follow(seat, () => stay === this.#stay).then(
      () => undefined,
      (error: unknown) => {
        if (stay === this.#stay) this.#failed(error)
      },
    )
  }

  #lookElsewhere(): void {
    this.#seat = undefined
    this.#index = () => 0
    const { world, living } = this.#at
    const stay = ++this.#stay
    world.schedule(RETRY_MS, () => {
      if (stay !== this.#stay) return
      const next = living[world.below(Math.max(1, living.length), 'watch at', stay)]
      if (next === undefined) this.#lookElsewhere()
      else this.goOn(next)
    })
  }

  async #follow(seat: Seat, isCurrent: () => boolean): Promise<void> {
    const { onCompacted, level, paceMs } = this.#action
    const token = this.#token
    const begins = token === undefined ? this.#begins : 'token'
    if (token !== undefined) this.#at.tally.watchesResumed++
    const watch = seat.store!.watch<string>({
      ...this.#range,
      ...(token !== undefined && { from: token }),
      initial: begins === 'state',
      onCompacted,
      consistency: level,
    })
    const acknowledged = begins === 'now' && level === 'strong' ? this.#known.acknowledged : 0
    await watch.ready()
    if (!isCurrent()) return
    if (begins === 'now') this.#beginsAt(watch.index!, acknowledged)
    const run = { range: this.#range, after: watch.index, items: [] as WatchedItem[] }
    this.#runs.push(run)
    this.#index = () => watch.index ?? 0
    this.#token = watch.token
    for await (const event of watch) {
      if (!isCurrent()) return
      if (event.type === 'reset') this.#at.tally.watchesCompacted++
      run.items.push(this.#itemOf(event))
      this.#token = watch.token
      if (paceMs > 0 && !this.#known.isOver) await this.#pause(paceMs)
      if (!isCurrent()) return
    }
  }

  #beginsAt(index: number, acknowledged: number): void {
    this.#at.findings.expect(
      index >= acknowledged,
      'C7 watch guarantees',
      () =>
        `start: a watch from now on begins at ${index}, ${acknowledged} was acknowledged before`,
    )
    this.#known.newestBeginning = Math.max(this.#known.newestBeginning, index)
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#at.world.schedule(ms, resolve)
    })
  }

  #failed(error: unknown): void {
    const { findings, tally, trace } = this.#at
    if (!(error instanceof StoreError)) {
      findings.report('A1 no assertion fails', `a watch failed with ${String(error)}`)
      return
    }
    trace.note(this.#seat?.name ?? '', `watch ended: ${error.code}`, undefined)
    findings.expect(
      error.code !== 'QUORATE_BAD_TOKEN',
      'C7 watch guarantees',
      () => `a position that a watch was given is refused: ${error.message}`,
    )
    if (error.code === 'QUORATE_COMPACTED') {
      tally.watchesCompacted++
      this.#token = undefined
      this.#begins = 'state'
    }
    this.#lookElsewhere()
  }

  #itemOf(event: WatchEvent<string>): WatchedItem {
    switch (event.type) {
      case 'state': {
        const { index, isLast } = event
        const entries = event.entries.map(([key, value]) => [key, this.#readValue(value)] as const)
        return { type: 'state', index, entries, isLast }
      }
      case 'changes': {
        const changes = event.changes.map((change) => this.#changeOf(change))
        return { type: 'changes', index: event.index, changes }
      }
      default:
        return { type: event.type, index: event.index }
    }
  }

  #changeOf(change: WatchedChange<string>): GivenChange {
    if (change.type === 'del') return { type: 'del', key: change.key }
    if (change.omitted !== undefined) return { type: 'gone', key: change.key }
    return { type: 'put', key: change.key, value: this.#readValue(change.value) }
  }
}
