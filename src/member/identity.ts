/**
 * Who a data folder belongs to: `member.json`, written once when the folder is new, checked at every open.
 *
 * It is written to a temporary name, synced, renamed and the folder synced, so after a crash it is there whole
 * or not at all. Members are numbered by the order of their names among the first members; numbers are what
 * the core and the log know, and are never used again.
 */
import { xxh64 } from '@node-rs/xxhash'
import { StoreError } from '../base/errors.js'
import type { Disk } from '../env/disk.js'
import type { Random } from '../env/random.js'
import type { NodeId } from '../raft/types.js'

const FILE = 'member.json'
const FORMAT = 1

/** A member of the first configuration. */
export interface FirstMember {
  readonly id: string
  readonly nodeId: NodeId
}

/** What a data folder says about itself. */
export interface Identity {
  readonly format: number
  /** 8 bytes in hexadecimal. */
  readonly clusterId: string
  readonly id: string
  readonly nodeId: NodeId
  readonly firstMembers: readonly FirstMember[]
}

/** What the caller says the folder should be. */
export interface ExpectedIdentity {
  readonly id: string | undefined
  readonly memberIds: readonly string[] | undefined
  readonly cluster: string | undefined
}

/**
 * Reads the folder's identity and holds it against what is expected, or creates it in a folder without one.
 * @throws {StoreError} QUORATE_WRONG_MEMBER, QUORATE_WRONG_CLUSTER, QUORATE_FORMAT, QUORATE_CORRUPTION.
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
    const identity = newIdentity(random, expected)
    await writeIdentity(disk, dir, identity)
    return identity
  }
  const identity = parseIdentity(dir, await readAll(disk, `${dir}/${FILE}`))
  checkIdentity(dir, identity, expected)
  return identity
}

/** A log without its identity file was damaged by somebody: opening it as new would forget votes. */
function refuseOrphanedData(dir: string, names: readonly string[]): void {
  if (names.includes('log') || names.includes('state')) {
    throw new StoreError(
      'QUORATE_CORRUPTION',
      `${dir} holds a log or state but no ${FILE}: it was removed or never belonged here`,
    )
  }
}

function newIdentity(random: Random, expected: ExpectedIdentity): Identity {
  const id = expected.id ?? 'a'
  const ids = [...(expected.memberIds ?? [id])].sort()
  const firstMembers = ids.map((name, i) => ({ id: name, nodeId: i + 1 }))
  const clusterId =
    expected.memberIds === undefined && expected.cluster === undefined
      ? Buffer.from(random.bytes(8, 'cluster id')).toString('hex')
      : derivedClusterId(expected.cluster, ids)
  return { format: FORMAT, clusterId, id, nodeId: ids.indexOf(id) + 1, firstMembers }
}

/** Members that start with the same names and the same cluster name agree on the id without talking. */
function derivedClusterId(cluster: string | undefined, ids: readonly string[]): string {
  const text = JSON.stringify(['quorate', cluster ?? '', ...ids])
  return xxh64(text).toString(16).padStart(16, '0')
}

function checkIdentity(dir: string, identity: Identity, expected: ExpectedIdentity): void {
  if (expected.id !== undefined && expected.id !== identity.id) {
    throw new StoreError(
      'QUORATE_WRONG_MEMBER',
      `${dir} belongs to member ${identity.id}, not ${expected.id}`,
    )
  }
  if (expected.memberIds === undefined && expected.cluster === undefined) return
  const ids = expected.memberIds ?? [identity.id]
  const wanted = derivedClusterId(expected.cluster, [...ids].sort())
  const isLoneFirstMember = identity.firstMembers.length === 1 && expected.cluster === undefined
  if (wanted !== identity.clusterId && !(isLoneFirstMember && ids.length === 1)) {
    throw new StoreError(
      'QUORATE_WRONG_CLUSTER',
      `${dir} belongs to a cluster that began with ${identity.firstMembers.map((m) => m.id).join(', ')} ` +
        `(id ${identity.clusterId}), not to one of ${[...ids].sort().join(', ')} (id ${wanted})`,
    )
  }
}

async function writeIdentity(disk: Disk, dir: string, identity: Identity): Promise<void> {
  const temporary = `${dir}/${FILE}.tmp`
  if (((await disk.list(dir)) ?? []).includes(`${FILE}.tmp`)) await disk.remove(temporary)
  const file = await disk.open(temporary, 'create')
  try {
    await file.write([Buffer.from(`${JSON.stringify(identity, undefined, 2)}\n`)], 0)
    await file.sync()
  } finally {
    await file.close()
  }
  await disk.rename(temporary, `${dir}/${FILE}`)
  await disk.syncDir(dir)
}

async function readAll(disk: Disk, path: string): Promise<Buffer> {
  const file = await disk.open(path, 'read')
  try {
    const bytes = Buffer.alloc(Math.min(await file.size(), 1 << 20))
    return bytes.subarray(0, await file.read(bytes, 0))
  } finally {
    await file.close()
  }
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
    Array.isArray(identity.firstMembers) &&
    identity.firstMembers.every(
      (member: unknown) =>
        typeof member === 'object' &&
        member !== null &&
        'id' in member &&
        typeof member.id === 'string' &&
        'nodeId' in member &&
        Number.isSafeInteger(member.nodeId),
    )
  )
}
