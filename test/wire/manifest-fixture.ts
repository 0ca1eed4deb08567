/** Manifests of large values that nobody stored, for those who never look at shards. */
import {
  encodeManifest,
  type Manifest,
  SHARD_DIGEST_BYTES,
  type ShardHolder,
} from '../../src/wire/manifest.js'

/** What a test says of a manifest. */
export interface ManifestWish {
  readonly term?: number
  readonly seq?: number
  readonly isStream?: boolean
  /** Default: nodes 1, 2, 3 at slots 0, 1, 2. */
  readonly members?: readonly ShardHolder[]
  /** Default: one, of 10 bytes, with k = 2, durable everywhere. */
  readonly parts?: readonly { durable?: readonly boolean[]; dataShards?: number; bytes?: number }[]
}

/** A manifest; term and number are 1 unless said otherwise. */
export function manifestOf(wish: ManifestWish = {}): Manifest {
  const { term = 1, seq = 1, isStream = false, parts = [{}] } = wish
  const members = wish.members ?? [1, 2, 3].map((node) => ({ node, slot: node - 1 }))
  const made = parts.map((part, number) => ({
    number,
    bytes: part.bytes ?? 10,
    dataShards: part.dataShards ?? 2,
    digest: Buffer.alloc(8, number + 1),
    durable: part.durable ?? members.map(() => true),
    digests: members.map(({ slot }) => Buffer.alloc(SHARD_DIGEST_BYTES, slot + 1)),
  }))
  const bytes = made.reduce((sum, part) => sum + part.bytes, 0)
  return { id: { term, proposer: 1, seq }, bytes, isStream, members, parts: made }
}

/** A put of a coded value. */
export function putCoded(
  key: string,
  wish: ManifestWish = {},
): {
  readonly type: 'put'
  readonly key: Buffer
  readonly value: Buffer
  readonly coded: true
} {
  const value = encodeManifest(manifestOf(wish))
  return { type: 'put', key: Buffer.from(key), value, coded: true }
}
