/**
 * Sees to it that this member has its own shard of every part of every large value in its applied state: it looks at
 * each that is applied, and through all of them over and over, and makes what it lacks of k others (I13). Nobody sends
 * shards for repair: each member pulls its own, so there is nothing to fence.
 *
 * Bounded: LACKING_MAX values that wait, one part under way, `repairBytesPerSecond`. Of more the walk stands still
 * until there is room; what is applied meanwhile and finds none is found by the next walk.
 */
import type { Time } from '../env/time.js'
import type { CodedNote, CodedValue } from '../machine/coded-keys.js'
import type { LogIndex } from '../raft/types.js'
import { type BlobPart, decodeManifest, type Manifest, shardBytes } from '../wire/manifest.js'
import { type BlobCluster, isOperating, type Ticks, type WorkOwner } from './cluster.js'
import type { Intake } from './intake.js'
import type { PartReader } from './part-reader.js'
import type { Rate } from './rate.js'
import type { ShardStore } from './shard-store.js'
import type { StateReader } from './state-reader.js'

const LACKING_MAX = 10_000
const SLICE = 64
/** After the start, and from the end of one walk through all large values to the next. */
const FIRST_MS = 200
const EVERY_MS = 60_000
/** Of a value that was just applied the shard may be on its way: it is waited for so long beyond a stall. */
const PATIENCE_MS = 1_000
/** What could not be made is tried again after so long. */
const AGAIN_MS = 2_000
/** A read for a repair is given up after so long. */
const READ_MS = 10_000

/** What a repair works with. */
export interface RepairParts {
  readonly time: Time
  readonly cluster: BlobCluster
  readonly ticks: Ticks
  readonly store: ShardStore
  readonly state: StateReader
  readonly intake: Intake
  readonly reader: PartReader
  readonly rate: Rate
  readonly work: WorkOwner
  readonly stallMs: number
  /** The state up to here is applied. */
  appliedIndex(): LogIndex
  /** Each large value that a walk meets. */
  onWalked(key: Buffer, manifest: Manifest): void
  /** What was damaged of the value under `key` was made anew. */
  onMended(key: Buffer): void
  ended(): unknown
}

interface Lacking {
  readonly key: Buffer
  parts: number
  dueAt: number
  readonly isDamaged: boolean
}

/** What is known of all large values in the state. */
export interface WalkFacts {
  /** Large values; those of the last whole walk, and those applied since. */
  readonly values: number
  /** Of their parts the largest k; 0 without any. */
  readonly dataShardsMax: number
}

/** See the file's comment. */
export class Repair {
  readonly #parts: RepairParts
  readonly #lacking = new Map<string, Lacking>()
  #walkAt: number
  #after: Uint8Array | undefined
  #isWalking = false
  #isRepairing = false
  /** Whether one whole walk has ended since the state is what it is. */
  #isWhole = false
  #hasMissed = false
  /** Another walk is to begin when this one has ended. */
  #isAgain = false
  #fullIndex: LogIndex = 0
  #codedIndex: LogIndex = 0
  #facts: WalkFacts = { values: 0, dataShardsMax: 0 }
  #counting: WalkFacts = { values: 0, dataShardsMax: 0 }
  #repaired = 0
  #failures = 0
  #round = 0

  constructor(parts: RepairParts) {
    this.#parts = parts
    this.#walkAt = parts.time.now() + FIRST_MS
  }

  /** Parts whose own shard is known to be lacking. */
  get missing(): number {
    let parts = 0
    for (const lacking of this.#lacking.values()) parts += lacking.parts
    return parts
  }

  /** Shards that were made anew since the start. */
  get repaired(): number {
    return this.#repaired
  }

  /** Attempts to make one that failed. */
  get failures(): number {
    return this.#failures
  }

  /** Whether all large values were looked through since the start, or since the state is another one. */
  get isWhole(): boolean {
    return this.#isWhole
  }

  get facts(): WalkFacts {
    return this.#facts
  }

  /** The last applied entry that put a large value into force, as far as is known. */
  get codedIndex(): LogIndex {
    return this.#codedIndex
  }

  /** Of the large values in the state at this index no own shard is lacking; 0: not known. */
  get fullIndex(): LogIndex {
    const isFull = this.#isWhole && !this.#hasMissed && this.#lacking.size === 0
    if (isFull) this.#fullIndex = this.#parts.appliedIndex()
    return this.#fullIndex
  }

  /** Large values were put into force. */
  onCoded(index: LogIndex, notes: readonly CodedNote[]): void {
    this.#codedIndex = index
    const { time, stallMs } = this.#parts
    for (const { key, manifest } of notes) {
      this.#facts = counted(this.#facts, manifest)
      // A walk under way may be past it.
      if (this.#after !== undefined) this.#counting = counted(this.#counting, manifest)
      // The note views the entry, which is not to be held on to.
      this.#note(Buffer.from(key), manifest, time.now() + stallMs + PATIENCE_MS)
    }
  }

  /** The state is another one, or may be. */
  onReplaced(): void {
    this.#round++
    this.#lacking.clear()
    this.#isWhole = false
    this.#hasMissed = false
    this.#fullIndex = 0
    this.#codedIndex = 0
    this.#restartWalk(this.#parts.time.now())
  }

  /** A shard of the value under `key` was damaged, and is not in use any more. */
  onDamaged(key: Uint8Array): void {
    const name = Buffer.from(key).toString('latin1')
    const dueAt = this.#parts.time.now()
    if (this.#lacking.size >= LACKING_MAX) this.#hasMissed = true
    else this.#lacking.set(name, { key: Buffer.from(key), parts: 1, dueAt, isDamaged: true })
  }

  /** Large values are to be looked through anew: things have changed that a walk looks at. */
  walkSoon(): void {
    if (this.#isWalking || this.#after !== undefined) this.#isAgain = true
    else this.#walkAt = this.#parts.time.now()
  }

  /** Called with every tick. */
  tick(now: number): void {
    const { work, state } = this.#parts
    if (!state.isSound) return
    const isDue = now >= this.#walkAt && this.#isWalkDue && this.#lacking.size < LACKING_MAX
    if (isDue && !this.#isWalking) work.own(this.#walk())
    if (this.#isRepairing) return
    for (const lacking of this.#lacking.values()) {
      if (lacking.dueAt > now) continue
      work.own(this.#repair(lacking))
      return
    }
  }

  #restartWalk(now: number): void {
    this.#walkAt = now
    this.#after = undefined
    this.#counting = { values: 0, dataShardsMax: 0 }
  }

  /** Looks at the next values. */
  async #walk(): Promise<void> {
    this.#isWalking = true
    const round = this.#round
    try {
      const slice = await this.#parts.state.reading((view) => view.codedKeys(this.#after, SLICE))
      if (slice !== undefined && round === this.#round) {
        const { values, next } = slice
        const now = this.#parts.time.now()
        for (const value of values) this.#walkOver(value, now)
        this.#after = next
        if (next === undefined) this.#endWalk(now)
      }
    } catch (error) {
      this.#parts.work.fail(error)
    } finally {
      this.#isWalking = false
    }
  }

  #walkOver({ key, manifest: encoded, revision }: CodedValue, now: number): void {
    const manifest = decodeManifest(encoded)
    this.#codedIndex = Math.max(this.#codedIndex, revision)
    this.#counting = counted(this.#counting, manifest)
    this.#note(key, manifest, now)
    this.#parts.onWalked(key, manifest)
  }

  #endWalk(now: number): void {
    this.#facts = this.#counting
    this.#isWhole = true
    this.#hasMissed = false
    this.#restartWalk(this.#isAgain ? now : now + EVERY_MS)
    this.#isAgain = false
  }

  /** Whatever is put into force is told: where there is nothing, there is nothing to walk through. */
  get #isWalkDue(): boolean {
    return !this.#isWhole || this.#facts.values > 0 || this.#hasMissed
  }

  #note(key: Buffer, manifest: Manifest, dueAt: number): void {
    const name = key.toString('latin1')
    const parts = this.#lackedOf(manifest).length
    const isDamaged = this.#lacking.get(name)?.isDamaged === true
    if (parts === 0) this.#lacking.delete(name)
    else if (this.#lacking.size >= LACKING_MAX) this.#hasMissed = true
    else this.#lacking.set(name, { key, parts, dueAt, isDamaged })
  }

  /** Parts without this member's own shard; none while it has no slot. */
  #lackedOf({ id, parts }: Manifest): readonly BlobPart[] {
    const { cluster, store } = this.#parts
    const index = cluster.members.slots.get(cluster.self)
    if (index === undefined) return []
    return parts.filter(({ number }) => store.find({ id, part: number, index }) === undefined)
  }

  /** Makes what is lacking of one value; never rejects. */
  async #repair(lacking: Lacking): Promise<void> {
    this.#isRepairing = true
    const { key } = lacking
    const name = key.toString('latin1')
    try {
      if (await this.#repairAll(lacking)) {
        if (this.#lacking.get(name) === lacking) this.#lacking.delete(name)
      }
    } catch (error) {
      this.#failures++
      // Shards that cannot be had, or a disk that does not take them: tried again later.
      if (!isOperating(error)) this.#parts.work.fail(error)
    } finally {
      // The next one is tried before this one again.
      if (this.#lacking.get(name) === lacking) {
        lacking.dueAt = this.#parts.time.now() + AGAIN_MS
        this.#lacking.delete(name)
        this.#lacking.set(name, lacking)
      }
      this.#isRepairing = false
    }
  }

  /** Whether nothing is lacking of the value any more. */
  async #repairAll(lacking: Lacking): Promise<boolean> {
    const { key } = lacking
    const { state, cluster, rate } = this.#parts
    const [manifest] = (await state.manifests([key]))?.manifests ?? ['unreadable']
    if (manifest === 'unreadable') return false
    if (manifest === undefined) return true
    const index = cluster.members.slots.get(cluster.self)
    const lacked = this.#lackedOf(manifest)
    lacking.parts = lacked.length
    if (index === undefined) return true
    for (const part of lacked) {
      const ended = this.#parts.ended()
      if (ended !== undefined) throw ended
      const giveUpAt = this.#parts.time.now() + READ_MS
      const call = { giveUpAt, ended: () => this.#parts.ended() }
      const shard = await this.#parts.reader.shardAt({ key, manifest, part }, index, call)
      await this.#parts.intake.storeOwn(shard)
      this.#repaired++
      lacking.parts--
      await rate.pay(shardBytes(part) * part.dataShards, () => this.#parts.ended() !== undefined)
    }
    if (lacked.length > 0 && lacking.isDamaged) this.#parts.onMended(key)
    return true
  }
}

function counted({ values, dataShardsMax }: WalkFacts, { parts }: Manifest): WalkFacts {
  const most = parts.reduce((max, { dataShards }) => Math.max(max, dataShards), dataShardsMax)
  return { values: values + 1, dataShardsMax: most }
}
