/**
 * Turns wishes about members into one configuration change: names become numbers, and what must not be is refused
 * before anything enters the log. Pure.
 */
import { unreachable } from '../base/assert.js'
import { StoreError, type StoreErrorCode } from '../base/errors.js'
import { parseAddress } from '../env/address.js'
import { changeConf } from '../raft/membership.js'
import type { ConfChangeStep, ConfChangeV2, ConfState, NodeId } from '../raft/types.js'
import {
  ADDRESS_BYTES_MAX,
  type Directory,
  encodeRecords,
  type MemberFacts,
  type MemberRecord,
} from '../wire/directory.js'
import { SLOT_MAX } from '../wire/manifest.js'
import type { MemberChange } from '../wire/membership.js'
import { nextNode } from './directory.js'

/** What a member's name consists of. */
export const MEMBER_ID_PATTERN: RegExp = /^[A-Za-z0-9._-]{1,64}$/

/** A change that may be proposed, and the configuration that it leads to once it is through. */
export interface ChangePlan {
  readonly change: ConfChangeV2
  readonly voters: readonly NodeId[]
}

/**
 * The change that carries out `changes`, all at once; through a joint configuration when they are several. `news` is
 * put on record with it.
 * @throws {StoreError} QUORATE_MEMBER_EXISTS, QUORATE_NO_MEMBER, QUORATE_NOT_READY; QUORATE_FORMAT a name or an
 *   address that is none.
 */
export function planChange(
  directory: Directory,
  conf: ConfState,
  changes: readonly MemberChange[],
  news: readonly MemberRecord[],
): ChangePlan {
  const draft = new Draft(directory, news)
  for (const change of changes) draft.add(change)
  const change = draft.finish()
  const result = changeConf(conf, change)
  if ('refused' in result) throw refuse('QUORATE_NOT_READY', wordsOf(result.refused))
  return { change, voters: result.conf.voters }
}

class Draft {
  readonly #directory: Directory
  readonly #steps: ConfChangeStep[] = []
  readonly #records: MemberFacts[]
  readonly #named = new Set<string>()

  constructor({ members, ...rest }: Directory, news: readonly MemberRecord[]) {
    this.#records = [...news]
    const amended = members.map(
      (member) => news.find(({ nodeId }) => nodeId === member.nodeId) ?? member,
    )
    this.#directory = { ...rest, members: amended }
  }

  add(change: MemberChange): void {
    const { kind, id } = change
    if (this.#named.has(id)) throw refuse('QUORATE_NOT_READY', `${id} is to be changed twice`)
    this.#named.add(id)
    switch (kind) {
      case 'add':
        this.#addMember(id, change.address)
        return
      case 'move':
        this.#move(this.#find(id), change.address)
        return
      case 'promote':
        this.#step('addVoter', this.#find(id).nodeId)
        return
      case 'demote':
        this.#step('addLearner', this.#find(id).nodeId)
        return
      case 'remove':
        this.#step('remove', this.#find(id).nodeId)
        return
      default:
        unreachable(kind)
    }
  }

  finish(): ConfChangeV2 {
    const isRemoved = ({ nodeId }: MemberFacts) =>
      this.#steps.some(({ kind, node }) => kind === 'remove' && node === nodeId)
    const records = this.#records.filter((record) => !isRemoved(record))
    return { transition: 'auto', steps: this.#steps, context: encodeRecords(records) }
  }

  #addMember(id: string, address: string): void {
    const { members, removed } = this.#directory
    if (!MEMBER_ID_PATTERN.test(id)) throw refuse('QUORATE_FORMAT', `'${id}' is no member's name`)
    if (members.some((member) => member.id === id)) {
      throw refuse('QUORATE_MEMBER_EXISTS', `${id} is a member already`)
    }
    if (removed.some((member) => member.id === id)) {
      throw refuse('QUORATE_MEMBER_EXISTS', `${id} was a member once; names are not used again`)
    }
    this.#requireAddress(id, address)
    const silent = members.find((member) => member.address === undefined)
    if (silent !== undefined) {
      throw refuse(
        'QUORATE_NOT_READY',
        `${silent.id} has no address that ${id} could reach: open it with 'listen' or 'members'`,
      )
    }
    const all = [...members, ...this.#records]
    if (new Set(all.map((member) => member.nodeId)).size > SLOT_MAX) {
      throw refuse('QUORATE_NOT_READY', `a cluster has up to ${SLOT_MAX + 1} members`)
    }
    const nodeId = nextNode({ members: all, removed })
    this.#records.push({ nodeId, id, address, incarnation: undefined })
    this.#step('addLearner', nodeId)
  }

  #move(member: MemberRecord, address: string): void {
    this.#requireAddress(member.id, address)
    const at = this.#records.findIndex(({ nodeId }) => nodeId === member.nodeId)
    this.#records.splice(at === -1 ? 0 : at, at === -1 ? 0 : 1, { ...member, address })
    this.#step('update', member.nodeId)
  }

  #requireAddress(id: string, address: string): void {
    if (!isAddress(address)) throw refuse('QUORATE_FORMAT', `'${address}' is no address`)
    const others = [...this.#directory.members, ...this.#records]
    const neighbour = others.find((member) => member.address === address && member.id !== id)
    if (neighbour === undefined) return
    throw refuse('QUORATE_MEMBER_EXISTS', `${neighbour.id} is the member at ${address}`)
  }

  #find(id: string): MemberRecord {
    const { members, removed } = this.#directory
    const found = members.find((member) => member.id === id)
    if (found !== undefined) return found
    const wasRemoved = removed.some((member) => member.id === id)
    throw refuse('QUORATE_NO_MEMBER', wasRemoved ? `${id} was removed` : `there is no member ${id}`)
  }

  #step(kind: ConfChangeStep['kind'], node: NodeId): void {
    this.#steps.push({ kind, node })
  }
}

function isAddress(address: string): boolean {
  if (Buffer.byteLength(address) > ADDRESS_BYTES_MAX) return false
  try {
    parseAddress(address)
    return true
  } catch (error) {
    if (error instanceof TypeError) return false
    throw error
  }
}

/** The core's reasons are those of its model; these are for people. */
function wordsOf(reason: string): string {
  return reason === 'removed all voters' ? 'the last voter cannot be removed' : reason
}

function refuse(code: StoreErrorCode, message: string): StoreError {
  return new StoreError(code, message)
}
