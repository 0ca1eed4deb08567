/**
 * Who a data folder belongs to: `member.json`, written once when the folder is new, checked at every open.
 *
 * After a crash it is there whole or not at all (small-file.ts). Members are numbered by the order of their names
 * among the first members; numbers are what the core and the log know, and are never used again. The incarnation is
 * drawn with the identity: a folder that was lost and begun anew under the same name is told by it, and kept out
 * (trap T-14).
 */
import { xxh64 } from '@node-rs/xxhash'
import { StoreError } from '../base/errors.js'
import type { Disk } from '../env/disk.js'
import type { Random } from '../env/random.js'
import type { NodeId } from '../raft/types.js'
import { INCARNATION_BYTES } from '../wire/directory.js'
import { readSmallFile, writeSmallFile } from './small-file.js'

const FILE = 'member.json'
/** In a folder that a restore is filling; gone when it is a member's. */
export const RESTORE_MARK = 'restoring'
const FORMAT = 1

/** A member of the first configuration: the one that the log begins with. */
export interface FirstMember {
  readonly id: string
  readonly nodeId: NodeId
  readonly address?: string
}

/** What a data folder says about itself. */
export interface Identity {
  readonly format: number
  /** 8 bytes in hexadecimal. */
  readonly clusterId: string
  readonly id: string
  readonly nodeId: NodeId
  /** 8 bytes in hexadecimal. */
  readonly incarnation: string
  readonly firstMembers: readonly FirstMember[]
}

/** What a cluster says to somebody who joins it. */
export interface Admission {
  readonly clusterId: string
  readonly nodeId: NodeId
  readonly firstMembers: readonly FirstMember[]
}

/** What the caller says the folder should be. */
export interface ExpectedIdentity {
  readonly id: string | undefined
  /** Addresses by id; they count when the folder is new. Who is a member later is in the state. */
  readonly members: Readonly<Record<string, string>> | undefined
  readonly cluster: string | undefined
  /** Asks a cluster to be let in; called when the folder is new. Undefined: begin a cluster. */
  readonly join: ((incarnation: string) => Promise<Admission>) | undefined
}

/**
 * Reads the folder's identity and holds it against what is expected, or creates it in a folder without one.
 * @throws {StoreError} QUORATE_WRONG_MEMBER, QUORATE_WRONG_CLUSTER, QUORATE_FORMAT, QUORATE_CORRUPTION; what
 *   `join` throws.
 */
export async function claimIdentity(
  disk: Disk,
  random: Random,
  dir: string,
  expected: ExpectedIdentity,
): Promise<Identity> {
  const names = (await disk.list(dir)) ?? []
  if (!names.includes(FILE)) {
    refuseOrphanedData(dir, names)
    const identity = await newIdentity(random, expected)
    await writeIdentity(disk, dir, identity)
    return identity
  }
  const identity = parseIdentity(dir, await readSmallFile(disk, `${dir}/${FILE}`))
  checkIdentity(dir, identity, expected)
  // Whoever wrote it may have stopped before it was durable, and nothing may be built on it until it is.
  if (!names.includes('log')) await writeIdentity(disk, dir, identity)
  return identity
}

/** The identity of the folder; undefined when it is no member's. @throws {StoreError} as `claimIdentity` */
export async function readIdentity(disk: Disk, dir: string): Promise<Identity | undefined> {
  if (!((await disk.list(dir)) ?? []).includes(FILE)) return undefined
  return parseIdentity(dir, await readSmallFile(disk, `${dir}/${FILE}`))
}

/** Of the only member of a new cluster, whose id is drawn: no folder belongs to it yet. */
export function drawIdentity(random: Random, id: string): Promise<Identity> {
  return newIdentity(random, { id, members: undefined, cluster: undefined, join: undefined })
}

/** A log without its identity file was damaged by somebody: opening it as new would forget votes. */
function refuseOrphanedData(dir: string, names: readonly string[]): void {
  if (names.includes(RESTORE_MARK)) {
    throw new StoreError(
      'QUORATE_NOT_READY',
      `a restore into ${dir} has not come to its end: restore it again`,
    )
  }
  if (names.includes('log') || names.includes('state')) {
    throw new StoreError(
      'QUORATE_CORRUPTION',
      `${dir} holds a log or state but no ${FILE}: it was removed or never belonged here`,
    )
  }
}

async function newIdentity(random: Random, expected: ExpectedIdentity): Promise<Identity> {
  const { members, cluster, join } = expected
  const id = expected.id ?? 'a'
  const incarnation = hex(random.bytes(INCARNATION_BYTES, 'incarnation'))
  if (join !== undefined) {
    const { clusterId, nodeId, firstMembers } = await join(incarnation)
    return { format: FORMAT, clusterId, id, nodeId, incarnation, firstMembers }
  }
  const ids = Object.keys(members ?? { [id]: '' }).sort()
  const firstMembers = ids.map((name, i) => {
    const address = members?.[name]
    return { id: name, nodeId: i + 1, ...(address !== undefined && { address }) }
  })
  const clusterId =
    members === undefined && cluster === undefined
      ? hex(random.bytes(8, 'cluster id'))
      : derivedClusterId(cluster, ids)
  const nodeId = ids.indexOf(id) + 1
  return { format: FORMAT, clusterId, id, nodeId, incarnation, firstMembers }
}

/** The same on all members that start with the same names, without their talking to each other. */
function derivedClusterId(cluster: string | undefined, sortedIds: readonly string[]): string {
  const text = JSON.stringify(['quorate', cluster ?? '', ...sortedIds])
  return xxh64(text).toString(16).padStart(16, '0')
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

/** Members come and go, but a folder stays the same member's, in the cluster that began with the same names. */
function checkIdentity(dir: string, identity: Identity, expected: ExpectedIdentity): void {
  if (expected.id !== undefined && expected.id !== identity.id) {
    throw new StoreError(
      'QUORATE_WRONG_MEMBER',
      `${dir} belongs to member ${identity.id}, not ${expected.id}`,
    )
  }
  const { cluster, members } = expected
  if (cluster === undefined && members === undefined) return
  const firstIds = identity.firstMembers.map(({ id }) => id).sort()
  // The id of a store that was opened without any names was drawn.
  const isDrawn = cluster === undefined && firstIds.length === 1
  if (isDrawn || derivedClusterId(cluster, firstIds) === identity.clusterId) return
  const named = cluster === undefined ? 'one without a name' : `one named ${cluster}`
  throw new StoreError(
    'QUORATE_WRONG_CLUSTER',
    `${dir} belongs to another cluster (id ${identity.clusterId}, begun with ${firstIds.join(', ')}) than ${named}`,
  )
}

/** Makes the folder that of `identity`, durably. */
export async function writeIdentity(disk: Disk, dir: string, identity: Identity): Promise<void> {
  const text = `${JSON.stringify(identity, undefined, 2)}\n`
  await writeSmallFile(disk, dir, FILE, Buffer.from(text))
}

function parseIdentity(dir: string, bytes: Buffer): Identity {
  const damaged = (cause?: unknown) =>
    new StoreError('QUORATE_CORRUPTION', `${dir}/${FILE} is not a member's identity`, { cause })
  let parsed: unknown
  try {
    parsed = JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    throw damaged(error)
  }
  if (typeof parsed !== 'object' || parsed === null || !('format' in parsed)) throw damaged()
  if (parsed.format !== FORMAT) {
    throw new StoreError(
      'QUORATE_FORMAT',
      `${dir} has format ${String(parsed.format)}; this version reads format ${FORMAT}`,
    )
  }
  if (!isIdentity(parsed)) throw damaged()
  return parsed
}

function isIdentity(value: object): value is Identity {
  const identity = value as Partial<Record<keyof Identity, unknown>>
  return (
    typeof identity.clusterId === 'string' &&
    /^[0-9a-f]{16}$/.test(identity.clusterId) &&
    typeof identity.id === 'string' &&
    Number.isSafeInteger(identity.nodeId) &&
    typeof identity.incarnation === 'string' &&
    /^[0-9a-f]{16}$/.test(identity.incarnation) &&
    areFirstMembers(identity.firstMembers)
  )
}

/** Whether `value`, read from a file or heard from a cluster, is a list of first members. */
export function areFirstMembers(value: unknown): value is readonly FirstMember[] {
  return Array.isArray(value) && value.length > 0 && value.every(isFirstMember)
}

function isFirstMember(value: unknown): value is FirstMember {
  if (typeof value !== 'object' || value === null) return false
  const { id, nodeId, address } = value as Partial<Record<keyof FirstMember, unknown>>
  return (
    typeof id === 'string' &&
    Number.isSafeInteger(nodeId) &&
    (address === undefined || typeof address === 'string')
  )
}
