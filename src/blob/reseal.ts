/**
 * Makes the large values of a state those of another cluster: its first member, which is alone, gets all their bytes as
 * shards of its own, and manifests that name them take the place of the old ones. What an old manifest says means
 * nothing there: shards are bound to the cluster that made them, and lie with members that are none.
 *
 * The new blobs are of the term that the new cluster goes on from, in which none of its members ever makes one.
 */
import { crc32 } from 'node:zlib'
import type { Database } from '../env/database.js'
import { type CodedValue, codedKeysIn } from '../machine/coded-keys.js'
import { DATA_PREFIX, prefixed } from '../machine/key-space.js'
import { makeStoredValue, readStoredValue } from '../machine/stored-value.js'
import type { NodeId, Term } from '../raft/types.js'
import {
  type BlobId,
  type BlobPart,
  decodeManifest,
  encodeManifest,
  type Manifest,
  partDigest,
} from '../wire/manifest.js'
import { DEFAULT_UNIT_BYTES, sealShard } from '../wire/shard.js'
import type { ShardStore } from './shard-store.js'

/** Brings the bytes of a part that an old manifest names; undefined when nobody has them. */
export type PartSource = (value: LargeName, part: BlobPart) => Promise<Buffer | undefined>

/** An old large value. */
export interface LargeName {
  readonly key: Buffer
  readonly manifest: Manifest
}

/** The member that gets everything. */
export interface NewOwner {
  /** 8 bytes. */
  readonly clusterId: Uint8Array
  readonly nodeId: NodeId
  readonly slot: number
  readonly term: Term
  /** New blobs are numbered from here on. */
  readonly firstSeq: number
}

/** Large values whose bytes are not to be had. */
export interface UnreadableValues {
  readonly count: number
  /** The first of them in order, UNREADABLE_KEYS_MAX at most. */
  readonly keys: readonly Uint8Array[]
}

/** So many keys are named. */
export const UNREADABLE_KEYS_MAX = 100

const SLICE_VALUES = 64
/** The data of a new shard: any member can take it in one frame. */
const SHARD_BYTES = 524_288

/**
 * Goes through all large values of the state in `database`, which is written, and not flushed; shards are durable when
 * it resolves. A value whose bytes are not to be had stays as it is.
 * @throws {StoreError} QUORATE_CORRUPTION, what `parts` throws; the disk's own errors
 */
export async function resealValues(
  database: Database,
  store: Pick<ShardStore, 'append'>,
  owner: NewOwner,
  parts: PartSource,
): Promise<UnreadableValues> {
  const keys: Buffer[] = []
  let [count, seq] = [0, owner.firstSeq]
  for await (const values of slicesOf(database)) {
    const batch = database.batch()
    for (const value of values) {
      const id = { term: owner.term, proposer: owner.nodeId, seq: seq++ }
      const manifest = await resealValue(value, id, store, owner, parts)
      if (manifest !== undefined) {
        batch.put(prefixed(DATA_PREFIX, value.key), withManifest(database, value.key, manifest))
      } else if (++count <= UNREADABLE_KEYS_MAX) keys.push(Buffer.from(value.key))
    }
    await batch.write()
  }
  return { count, keys }
}

async function* slicesOf(
  database: Database,
): AsyncGenerator<readonly CodedValue[], void, undefined> {
  const snapshot = database.snapshot()
  try {
    for (let after: Buffer | undefined; ; ) {
      const { values, next } = await codedKeysIn(snapshot, after, SLICE_VALUES)
      if (next === undefined) return
      yield values
      after = next
    }
  } finally {
    await snapshot.close()
  }
}

/** Undefined when one of its parts is not to be had. One part is in memory at a time. */
async function resealValue(
  value: CodedValue,
  id: BlobId,
  store: Pick<ShardStore, 'append'>,
  owner: NewOwner,
  parts: PartSource,
): Promise<Manifest | undefined> {
  const manifest = decodeManifest(value.manifest)
  const { bytes, isStream } = manifest
  const made: BlobPart[] = []
  for (const part of manifest.parts) {
    const data = await parts({ key: value.key, manifest }, part)
    if (data === undefined) return undefined
    for (let at = 0; at < data.length; at += SHARD_BYTES) {
      const body = data.subarray(at, at + SHARD_BYTES)
      made.push(await storeAlone(store, owner, { id, part: made.length, key: value.key }, body))
    }
  }
  const members = [{ node: owner.nodeId, slot: owner.slot }]
  return { id, bytes, isStream, members, parts: made }
}

/** Stores data as a part of one shard; one at a time, because a value of many parts would fill the store's queue. */
async function storeAlone(
  store: Pick<ShardStore, 'append'>,
  { clusterId, slot }: NewOwner,
  name: { readonly id: BlobId; readonly part: number; readonly key: Uint8Array },
  body: Buffer,
): Promise<BlobPart> {
  const partBytes = body.length
  const head = {
    ...name,
    clusterId,
    index: slot,
    dataShards: 1,
    partBytes,
    unit: DEFAULT_UNIT_BYTES,
  }
  const shard = sealShard(head, body)
  await store.append(shard)
  return {
    number: name.part,
    bytes: partBytes,
    dataShards: 1,
    digest: partDigest(body),
    durable: [true],
    digests: [shard.digest],
  }
}

/** What is stored under `key`, with another manifest. */
function withManifest(database: Database, key: Buffer, manifest: Manifest): Buffer {
  const before = readStoredValue(key, Buffer.from(database.get(prefixed(DATA_PREFIX, key))!))
  const value = encodeManifest(manifest)
  const { revision, expiry } = before
  const put = { value, checksum: crc32(value, crc32(key)), coded: true as const }
  return makeStoredValue(expiry === undefined ? put : { ...put, expiry }, revision).stored
}
