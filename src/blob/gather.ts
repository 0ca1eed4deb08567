/**
 * Gets k different shards of one part, from wherever they are to be had: one of this member's own first, then those
 * with data, then parity. One more is asked for when an answer is late. A shard that is damaged or not there is an
 * erasure; a member that cannot be reached is asked again until `giveUpAt`.
 */
import type { Time, TimerHandle } from '../env/time.js'
import { shardBytes } from '../wire/manifest.js'
import type { BlobCluster } from './cluster.js'
import type { Latencies } from './latencies.js'
import type { GivenShard, NotGiven, PartSource, ShardPlace, ShardSource } from './shard-source.js'

/** Between two rounds of asking those who could not be reached. */
const PAUSE_MS = 100

type State = 'idle' | 'asked' | 'given' | NotGiven

interface Candidate extends ShardPlace {
  state: State
}

/** What a gathering works with. */
export interface GatherParts {
  readonly time: Time
  readonly cluster: BlobCluster
  readonly source: ShardSource
  readonly latencies: Latencies
}

/** What a gathering is about. */
export interface GatherCall {
  /** The index of a shard that is not to be used, because it is to be made. */
  readonly except: number | undefined
  readonly giveUpAt: number
  /** Why nobody waits for it any more. */
  ended(): unknown
  /** Whether the part is dead, so that waiting for those who are away is in vain. */
  isGone(): Promise<boolean>
}

/** Whom to ask for which shard of a part with `dataShards`, in order; each index once. */
export function placesOf(
  cluster: Pick<BlobCluster, 'self' | 'members' | 'isUp'>,
  dataShards: number,
): ShardPlace[] {
  const rank = ({ node, index }: ShardPlace): number => {
    if (node === cluster.self) return 0
    return (cluster.isUp(node) ? 1 : 3) + (index < dataShards ? 0 : 1)
  }
  const places = [...cluster.members.slots].map(([node, index]) => ({ node, index }))
  return places.sort((a, b) => rank(a) - rank(b) || a.index - b.index)
}

/** Gathers shards of one part; see the file's comment. */
export class Gather {
  readonly #parts: GatherParts
  readonly #source: PartSource
  readonly #call: GatherCall
  readonly #candidates: Candidate[]
  readonly #given: GivenShard[] = []
  /** Whether an answer came that nobody has looked at yet. */
  #isChanged = false
  #wake: () => void = () => {}
  #failure: unknown

  constructor(parts: GatherParts, source: PartSource, call: GatherCall) {
    this.#parts = parts
    this.#source = source
    this.#call = call
    this.#candidates = placesOf(parts.cluster, source.part.dataShards)
      .filter(({ index }) => index !== call.except)
      .map((place) => ({ ...place, state: 'idle' }))
  }

  /** k shards, or undefined when they cannot be had. @throws what `ended` says */
  async run(): Promise<readonly GivenShard[] | undefined> {
    const { dataShards } = this.#source.part
    for (;;) {
      const ended = this.#call.ended() ?? this.#failure
      if (ended !== undefined) throw ended
      if (this.#given.length >= dataShards) return this.#given.slice(0, dataShards)
      this.#askFor(dataShards - this.#given.length - this.#count('asked'))
      if (this.#count('asked') > 0) await this.#changed(this.#parts.latencies.lateMs)
      else if (!(await this.#again())) return undefined
    }
  }

  /** What was given is not what it should be; others are to be had instead. False when nothing was unproven. */
  distrust(): boolean {
    const unproven = this.#given.filter(({ isProven }) => !isProven)
    for (const { index } of unproven) {
      this.#given.splice(
        this.#given.findIndex((given) => given.index === index),
        1,
      )
      const candidate = this.#candidates.find((other) => other.index === index)
      if (candidate !== undefined) candidate.state = 'lost'
    }
    return unproven.length > 0
  }

  /** Members whose shard could not be had, for people. */
  get missing(): string {
    const { cluster } = this.#parts
    return this.#candidates
      .filter(({ state }) => state !== 'given')
      .map(({ node, state }) => {
        const name = cluster.nameOf(node)
        return state === 'lost' ? `${name} does not have it` : `${name} cannot be reached`
      })
      .join(', ')
  }

  /** Whether some may be had later. */
  get mayReturn(): boolean {
    return this.#candidates.some(({ state }) => state === 'away' || state === 'idle')
  }

  #count(wanted: State): number {
    return this.#candidates.filter(({ state }) => state === wanted).length
  }

  /** Asks for so many more, as far as there is somebody to ask. */
  #askFor(count: number): void {
    const { cluster } = this.#parts
    for (const candidate of this.#candidates) {
      if (count <= 0) return
      if (candidate.state !== 'idle' || !cluster.isUp(candidate.node)) continue
      candidate.state = 'asked'
      count--
      void this.#ask(candidate)
    }
  }

  /** Never rejects: what fails here fails the gathering. */
  async #ask(candidate: Candidate): Promise<void> {
    const length = shardBytes(this.#source.part)
    try {
      const given = await this.#parts.source.get(this.#source, candidate, 0, length)
      candidate.state = typeof given === 'string' ? given : 'given'
      if (typeof given !== 'string') this.#given.push(given)
    } catch (error) {
      this.#failure ??= error
    }
    this.#isChanged = true
    this.#wake()
  }

  /** Waits for an answer; when it is late, one more is asked. */
  async #changed(lateMs: number): Promise<void> {
    if (await this.#woken(lateMs)) return
    this.#askFor(1)
    await this.#woken(undefined)
  }

  /** Whether it was an answer that ended the wait. */
  async #woken(ms: number | undefined): Promise<boolean> {
    const { time } = this.#parts
    let timer: TimerHandle | undefined
    if (!this.#isChanged) {
      await new Promise<void>((resolve) => {
        if (ms !== undefined) timer = time.after(ms, resolve)
        this.#wake = resolve
      })
    }
    if (timer !== undefined) time.cancel(timer)
    const isChanged = this.#isChanged
    this.#isChanged = false
    return isChanged
  }

  /** Whether those who were away are to be asked again, after a pause. */
  async #again(): Promise<boolean> {
    if (!this.mayReturn || this.#parts.time.now() + PAUSE_MS >= this.#call.giveUpAt) return false
    if (await this.#call.isGone()) return false
    await this.#woken(PAUSE_MS)
    for (const candidate of this.#candidates) {
      if (candidate.state === 'away') candidate.state = 'idle'
    }
    return true
  }
}
