/**
 * What the state machine should do, written down a second time and as plainly as possible: the rules of exactly once,
 * over a model of the state (model-state.ts). Fed with the committed log, it gives for every index the digest of the
 * state, and for every request what must become of it.
 *
 * It shares the byte format of entries with the state machine, and what a change of members makes of them, which
 * R11 checks; nothing else.
 */
import { assert } from '../../base/assert.js'
import type { Configuration } from '../../machine/state-machine.js'
import { changeConfiguration } from '../../member/directory.js'
import type { Entry, EntryId, LogIndex } from '../../raft/types.js'
import type { Manifest } from '../../wire/manifest.js'
import {
  isOwnRequest,
  type RequestHeader,
  readCommands,
  visitRequests,
} from '../../wire/request.js'
import type { AppliedRequest } from '../checkers/committed-log.js'
import type { Change } from '../history.js'
import { type Expired, ModelState, type Place, type RawChange } from './model-state.js'

/** A client may have so many requests unanswered; more are a gap (docs/consistency.md). */
const WINDOW = 1024
/** And so many bytes of results; with more nothing is applied. */
const RESULTS_KEPT_MAX = 1_048_576

/** What must become of a request. */
export type ExpectedStatus = 'applied' | 'duplicate' | 'stale' | 'gap' | 'expired'

interface Client {
  lastSeq: number
  floor: number
  lastActive: LogIndex
  /** By number. */
  readonly results: Map<number, readonly number[]>
}

/** How stored bytes become the values of histories. */
export type ReadValue = (bytes: Buffer) => string

/** What the model cannot know of large values: it has the log alone. */
export interface CodedJudge {
  /** Whether `manifest` may come into force as far as members are concerned. */
  isCovered(manifest: Manifest, configuration: Configuration): boolean
  /** It comes into force; what its shards come to. */
  introduce(manifest: Manifest, configuration: Configuration): Buffer
}

/** The model of one cluster's state. */
export class ModelMachine {
  readonly #maxClients: number
  readonly #readValue: ReadValue
  readonly #coded: CodedJudge
  #configuration: Configuration | undefined
  readonly #state = new ModelState()
  /** In the order of their last request. */
  readonly #clients = new Map<string, Client>()
  #evictedThrough = 0
  /** By index; the state before the first entry has 0. */
  readonly #digests: number[] = [0]
  readonly #statuses: (readonly string[])[] = [[]]
  readonly #applied: AppliedRequest[] = []
  #ownRequests = 0
  #expired: Expired[] = []

  constructor(maxClients: number, readValue: ReadValue, coded: CodedJudge) {
    this.#maxClients = maxClients
    this.#readValue = readValue
    this.#coded = coded
  }

  /** In force before any entry. */
  begin(configuration: Configuration): void {
    this.#configuration ??= configuration
  }

  /** In force in the newest state; undefined before anybody has begun. */
  get configuration(): Configuration | undefined {
    return this.#configuration
  }

  /** Of the coded values of the newest state. */
  get manifests(): readonly Manifest[] {
    return this.#state.manifests
  }

  get lastIndex(): LogIndex {
    return this.#digests.length - 1
  }

  /** The requests that took effect, for the checkers. */
  get requests(): readonly AppliedRequest[] {
    return this.#applied
  }

  /** The digest of the state after `index`; undefined when it is not committed. */
  digestAt(index: LogIndex): number | undefined {
    return this.#digests[index]
  }

  /** What must become of the requests in the entry at `index`: their statuses, with results as `applied 1 0`. */
  statusesAt(index: LogIndex): readonly string[] | undefined {
    return this.#statuses[index]
  }

  /** The newest state, bytes as latin1. */
  entries(): Map<string, string> {
    return this.#state.entries()
  }

  /** Keys with a time to live, and leases, in the newest state. */
  get expiring(): number {
    return this.#state.expiring
  }

  /** Applies the next committed entry; what goes with it because its time is over. */
  apply(entry: Entry): readonly Expired[] {
    this.#expired = []
    assert(entry.index === this.lastIndex + 1, 'the model is fed without a gap', {
      index: entry.index,
    })
    const statuses: string[] = []
    if (entry.kind !== 'normal') {
      this.#configuration &&= changeConfiguration(this.#configuration, entry)
    } else {
      const data = Buffer.from(entry.data)
      visitRequests(data, (request, offset) => {
        const status = isOwnRequest(request) ? 'applied' : this.#admit(request, entry.index)
        const results = this.#resultsOf(request, status, () =>
          this.#carryOut(data, request, offset, entry),
        )
        statuses.push([status, ...results].join(' '))
      })
    }
    this.#digests.push(this.#state.digest)
    this.#statuses.push(statuses)
    return this.#expired
  }

  /** What the client is told, now or again. */
  #resultsOf(
    request: RequestHeader,
    status: ExpectedStatus,
    carryOut: () => readonly number[],
  ): readonly number[] {
    if (status !== 'applied' && status !== 'duplicate') return []
    if (isOwnRequest(request)) {
      carryOut()
      return []
    }
    const { results } = this.#clients.get(request.clientId.toString('hex'))!
    if (status === 'duplicate') return results.get(request.seq)!
    const given = carryOut()
    results.set(request.seq, given)
    return given
  }

  #admit(request: RequestHeader, index: LogIndex): ExpectedStatus {
    const id = request.clientId.toString('hex')
    const { seq, floor, base } = request
    let client = this.#clients.get(id)
    if (client === undefined) {
      if (seq !== 1 || base < this.#evictedThrough) return 'expired'
      client = { lastSeq: 0, floor: 1, lastActive: index, results: new Map() }
    } else {
      if (seq <= client.lastSeq) return seq < client.floor ? 'stale' : 'duplicate'
      const from = Math.max(floor, client.floor)
      const isFull = seq - from >= WINDOW || bytesFrom(client, from) >= RESULTS_KEPT_MAX
      if (seq > client.lastSeq + 1 || isFull) return 'gap'
    }
    client.lastSeq = seq
    client.floor = Math.max(client.floor, floor)
    for (const old of [...client.results.keys()]) if (old < client.floor) client.results.delete(old)
    client.lastActive = index
    this.#clients.delete(id)
    this.#clients.set(id, client)
    if (this.#clients.size > this.#maxClients) this.#evict()
    return 'applied'
  }

  #evict(): void {
    const [oldest] = this.#clients
    this.#clients.delete(oldest![0])
    this.#evictedThrough = oldest![1].lastActive
  }

  /** Applies the request's commands; their results. */
  #carryOut(data: Buffer, request: RequestHeader, offset: number, entry: Entry): number[] {
    const { index } = entry
    const place = this.#placeOf(entry)
    const outcomes = [...readCommands(data, offset, request)].map((command) =>
      this.#state.run(command, place),
    )
    this.#expired.push(...outcomes.flatMap(({ expired }) => expired))
    const commands = outcomes.map(({ changes }) => changes).filter(({ length }) => length > 0)
    this.#applied.push({
      index,
      client: request.clientId.toString('hex'),
      // They are safe to repeat and have no numbers; several may stand in one entry.
      seq: isOwnRequest(request) ? ++this.#ownRequests : request.seq,
      commands: commands.map((command) => command.map((change) => this.#readChange(change))),
    })
    return outcomes.flatMap(({ result }) => (result === undefined ? [] : [result]))
  }

  #placeOf({ index, term }: EntryId): Place {
    const configuration = this.#configuration!
    return {
      index,
      term,
      isCovered: (manifest) => this.#coded.isCovered(manifest, configuration),
      introduce: (manifest) => this.#coded.introduce(manifest, configuration),
    }
  }

  #readChange({ key, value }: RawChange): Change {
    if (value === undefined) return { type: 'del', key: key.toString() }
    return { type: 'put', key: key.toString(), value: this.#readValue(value) }
  }
}

function bytesFrom({ results }: Client, floor: number): number {
  let bytes = 0
  for (const [seq, each] of results) if (seq >= floor) bytes += each.length
  return bytes
}
