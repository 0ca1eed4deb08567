/**
 * Watches what members do with their shards: wraps the methods of their stores.
 *
 * E1 a shard that was stored is durable
 * E4 nothing in use is deleted, nor anything that comes into use later
 */
import type { ShardStore } from '../../blob/shard-store.js'
import type { BlobId, Manifest } from '../../wire/manifest.js'
import { blobName, isSameBlob } from '../../wire/manifest.js'
import type { CodedValues } from './coded-values.js'
import type { Findings } from './findings.js'
import { shardName } from './shards-on-disk.js'

/** What is in use now. */
export interface CodedState {
  /** Of the coded values of the newest state. */
  readonly manifests: readonly Manifest[]
}

/** The shards that a member knows it has. */
type Stored = Pick<ShardStore, 'append' | 'forget' | 'find' | 'shards'>

/** All members of a run; see the file's comment. */
export class ShardWatch {
  readonly #findings: Findings
  readonly #coded: CodedValues
  readonly #state: CodedState
  readonly #stores = new Map<string, Stored>()
  /** Parts of which a member has deleted a shard, by blob and number, and who. */
  readonly #deleted = new Map<string, string>()
  #introduced = 0

  constructor(findings: Findings, coded: CodedValues, state: CodedState) {
    this.#findings = findings
    this.#coded = coded
    this.#state = state
  }

  /** The member called `name` was opened (again). */
  attach(name: string, store: Stored): void {
    this.#stores.set(name, store)
    const append = store.append.bind(store)
    store.append = async (shard) => {
      await append(shard)
      if (this.#stores.get(name) === store) this.#coded.requireStored(name, shard)
    }
    const forget = store.forget.bind(store)
    store.forget = (shard) => {
      if (store.find(shard) !== undefined) this.#deletes(name, shard.id, shard.part, shard.index)
      forget(shard)
    }
  }

  /** E4: `manifest` comes into force. */
  introduced({ id, parts }: Manifest): void {
    for (const { number } of parts) {
      const who = this.#deleted.get(`${blobName(id)}/${number}`)
      const words = () => `${who} has deleted shards of ${blobName(id)}, which comes into force now`
      this.#findings.expect(who === undefined, 'E4 nothing in use is deleted', words)
    }
    this.#introduced++
  }

  /** Manifests that came into force. */
  get introducedCount(): number {
    return this.#introduced
  }

  /** Shards that the members called `names` keep, and that nothing refers to. */
  strays(names: readonly string[]): string[] {
    return names.flatMap((name) =>
      [...(this.#stores.get(name)?.shards() ?? [])]
        .filter(({ id, part }) => !this.#isInUse(id, part))
        .map(({ id, part, index }) => `${name} keeps ${shardName(id, part, index)}`),
    )
  }

  #deletes(name: string, id: BlobId, part: number, index: number): void {
    this.#findings.expect(
      !this.#isInUse(id, part),
      'E4 nothing in use is deleted',
      () => `${name} deletes ${shardName(id, part, index)}`,
    )
    this.#deleted.set(`${blobName(id)}/${part}`, name)
  }

  #isInUse(id: BlobId, part: number): boolean {
    return this.#state.manifests.some(
      (manifest) =>
        isSameBlob(manifest.id, id) && manifest.parts.some(({ number }) => number === part),
    )
  }
}
