/**
 * Who the members are, as far as this member has applied the log: the configuration and the directory in force, and
 * this member's own place in them.
 */
import type { Configuration } from '../machine/state-machine.js'
import type { ConfState, NodeId } from '../raft/types.js'
import type { Directory, MemberRecord } from '../wire/directory.js'
import type { MemberPart } from '../wire/membership.js'
import { openDirectory } from './directory.js'

/** A member's own place: `joining` until it has applied that it is a member. */
export type Standing = MemberPart | 'joining' | 'removed'

/** The members of one moment; replaced as a whole. */
export class Roster {
  readonly self: NodeId
  #conf: ConfState
  #directory: Directory
  #isToldRemoved = false
  readonly #seen: ReadonlyMap<NodeId, string>

  /**
   * `seen` are incarnations that are known and perhaps not in force yet.
   * @throws {StoreError} QUORATE_CORRUPTION
   */
  constructor(self: NodeId, configuration: Configuration, seen: ReadonlyMap<NodeId, string>) {
    this.self = self
    this.#seen = seen
    this.#conf = configuration.conf
    this.#directory = openDirectory(configuration)
  }

  /** Puts the next configuration into force. */
  set(configuration: Configuration): void {
    this.#conf = configuration.conf
    this.#directory = openDirectory(configuration)
  }

  /** Others say that this member was removed: it was cut off before its log could tell. */
  noteRemoved(): void {
    this.#isToldRemoved = true
  }

  get conf(): ConfState {
    return this.#conf
  }

  get directory(): Directory {
    return this.#directory
  }

  get members(): readonly MemberRecord[] {
    return this.#directory.members
  }

  get others(): readonly MemberRecord[] {
    return this.members.filter(({ nodeId }) => nodeId !== this.self)
  }

  /** Whether this member alone decides. */
  get isSoleVoter(): boolean {
    const { voters, votersOutgoing } = this.#conf
    return voters.length === 1 && voters[0] === this.self && votersOutgoing.length === 0
  }

  /** The only incarnation of `member` that may be dealt with; undefined while any may be. */
  incarnationOf({ nodeId, incarnation }: MemberRecord): string | undefined {
    return incarnation ?? this.#seen.get(nodeId)
  }

  get standing(): Standing {
    const { self } = this
    if (this.#isToldRemoved) return 'removed'
    if (this.#directory.removed.some(({ nodeId }) => nodeId === self)) return 'removed'
    return this.members.some(({ nodeId }) => nodeId === self) ? this.partOf(self) : 'joining'
  }

  partOf(node: NodeId): MemberPart {
    return this.isVoter(node) ? 'voter' : 'learner'
  }

  isVoter(node: NodeId): boolean {
    return this.#conf.voters.includes(node) || this.#conf.votersOutgoing.includes(node)
  }

  /** Whether the members of whom `isUp` holds are a majority: in a joint configuration of both halves. */
  isQuorum(isUp: (node: NodeId) => boolean): boolean {
    return [this.#conf.voters, this.#conf.votersOutgoing].every(
      (voters) => voters.length === 0 || voters.filter(isUp).length > voters.length / 2,
    )
  }

  find(id: string): MemberRecord | undefined {
    return this.members.find((member) => member.id === id)
  }

  /** The name of a member, also of a former one; undefined for nobody. */
  nameOf(node: NodeId): string | undefined {
    const all = [...this.members, ...this.#directory.removed]
    return all.find(({ nodeId }) => nodeId === node)?.id
  }
}
