/**
 * Finds members whose state is not that of the others, though they applied the same log.
 *
 * On a schedule the leader names the index that it has applied; every member answers with its digest there
 * (machine/state-digest.ts), at once or as soon as it has come so far. What a majority of the voters has, in a joint
 * configuration of both halves, is right, and everybody is told: who has another digest has diverged somewhere after
 * the last index at which it agreed. Where digests differ and no majority has the same, nobody can say who is wrong;
 * that is reported, and looked at again with the next round.
 *
 * Only what was answered counts: a member that cannot be reached, or whose state has moved on too far, says nothing.
 * Digests that differ once differ for good, so no round has to succeed, only one of many.
 */
import type { ConfState, LogIndex, NodeId } from '../raft/types.js'
import {
  type DigestAt,
  decodeCompare,
  decodeDigest,
  encodeCompare,
  encodeDigest,
  FRAME_AGREED,
  FRAME_COMPARE,
  FRAME_DIGEST,
  FRAME_DISPUTED,
} from '../wire/integrity.js'

/** Where a state went apart: somewhere after `after`, at or before `at`. */
export interface DivergedRange {
  /** The last index known to be right; 0 when none is. */
  readonly after: LogIndex
  /** The first index known to be wrong. */
  readonly at: LogIndex
}

/** What is compared, and with whom. */
export interface DivergencePorts {
  readonly self: NodeId
  readonly appliedIndex: LogIndex
  readonly conf: ConfState
  readonly leader: NodeId
  readonly others: readonly NodeId[]
  digestAt(index: LogIndex): string | undefined
  /** Sends a frame, or drops it. */
  send(to: NodeId, kind: number, body: Uint8Array): void
  /** This member's state is wrong; called once until `reset`. */
  onDiverged(range: DivergedRange): void
}

interface Round {
  readonly index: LogIndex
  readonly digests: Map<NodeId, string>
  agreed: string | undefined
}

/** Compares one member's state with that of the others. */
export class Divergence {
  readonly #ports: DivergencePorts
  readonly #everyMs: number
  #nextAt = 0
  /** Only of a leader. */
  #round: Round | undefined
  /** Asked for by the leader, and not reached yet. */
  #wanted: { readonly by: NodeId; readonly index: LogIndex } | undefined
  #answered: DigestAt | undefined
  #agreedAt: LogIndex = 0
  #disputedAt: LogIndex = 0
  #isDiverged = false

  constructor(ports: DivergencePorts, everyMs: number) {
    this.#ports = ports
    this.#everyMs = everyMs
  }

  /** Where the members were found to differ without a majority for any; undefined while they are not. */
  get disputed(): DivergedRange | undefined {
    if (this.#disputedAt <= this.#agreedAt) return undefined
    return { after: this.#agreedAt, at: this.#disputedAt }
  }

  tick(now: number): void {
    if (this.#ports.leader !== this.#ports.self) {
      this.#round = undefined
      return
    }
    if (now < this.#nextAt) return
    this.#nextAt = now + this.#everyMs
    this.#endRound()
    this.#beginRound()
  }

  /** The state has moved on. */
  onApplied(): void {
    const wanted = this.#wanted
    if (wanted === undefined || wanted.index > this.#ports.appliedIndex) return
    this.#wanted = undefined
    this.#answer(wanted.by, wanted.index)
  }

  /** The state was replaced by one that was had from others: what was found does not hold for it. */
  reset(): void {
    this.#round = undefined
    this.#wanted = undefined
    this.#answered = undefined
    this.#agreedAt = 0
    this.#disputedAt = 0
    this.#isDiverged = false
  }

  /** A frame of FRAME_COMPARE to FRAME_DISPUTED. @throws {DecodeError} */
  onFrame(from: NodeId, kind: number, body: Buffer): void {
    switch (kind) {
      case FRAME_COMPARE:
        this.#onCompare(from, decodeCompare(body))
        return
      case FRAME_DIGEST:
        this.#onDigest(from, decodeDigest(body))
        return
      case FRAME_AGREED:
        if (from === this.#ports.leader) this.#onAgreed(decodeDigest(body))
        return
      default:
        if (from === this.#ports.leader) this.#onDisputed(decodeCompare(body))
    }
  }

  #beginRound(): void {
    const { self, appliedIndex: index, others } = this.#ports
    const digest = this.#ports.digestAt(index)
    if (index === 0 || digest === undefined) return
    this.#answered = { index, digest }
    this.#round = { index, digests: new Map([[self, digest]]), agreed: undefined }
    for (const node of others) this.#ports.send(node, FRAME_COMPARE, encodeCompare(index))
    this.#judge(this.#round)
  }

  #onCompare(from: NodeId, index: LogIndex): void {
    if (from !== this.#ports.leader) return
    if (index <= this.#ports.appliedIndex) this.#answer(from, index)
    else this.#wanted = { by: from, index }
  }

  #answer(to: NodeId, index: LogIndex): void {
    const digest = this.#ports.digestAt(index)
    if (digest === undefined) return
    this.#answered = { index, digest }
    this.#ports.send(to, FRAME_DIGEST, encodeDigest(this.#answered))
  }

  #onDigest(from: NodeId, { index, digest }: DigestAt): void {
    const round = this.#round
    if (round?.index !== index) return
    round.digests.set(from, digest)
    if (round.agreed === undefined) this.#judge(round)
    else this.#tell(from, index, round.agreed)
  }

  /** A member that is told needs nobody else to know whether it has diverged. */
  #judge(round: Round): void {
    const agreed = agreedBy(this.#ports.conf, round.digests)
    if (agreed === undefined) return
    round.agreed = agreed
    for (const node of round.digests.keys()) this.#tell(node, round.index, agreed)
  }

  #tell(node: NodeId, index: LogIndex, digest: string): void {
    if (node === this.#ports.self) this.#onAgreed({ index, digest })
    else this.#ports.send(node, FRAME_AGREED, encodeDigest({ index, digest }))
  }

  #endRound(): void {
    const round = this.#round
    if (round === undefined || round.agreed !== undefined) return
    if (new Set(round.digests.values()).size === 1) return
    this.#onDisputed(round.index)
    for (const node of round.digests.keys()) {
      if (node === this.#ports.self) continue
      this.#ports.send(node, FRAME_DISPUTED, encodeCompare(round.index))
    }
  }

  #onAgreed({ index, digest }: DigestAt): void {
    const answered = this.#answered
    if (answered?.index !== index || this.#isDiverged) return
    if (answered.digest === digest) {
      this.#agreedAt = Math.max(this.#agreedAt, index)
      return
    }
    this.#isDiverged = true
    this.#ports.onDiverged({ after: this.#agreedAt, at: index })
  }

  #onDisputed(index: LogIndex): void {
    this.#disputedAt = Math.max(this.#disputedAt, index)
  }
}

/** The digest that a majority of the voters has, of both halves of a joint configuration. */
export function agreedBy(
  conf: ConfState,
  digests: ReadonlyMap<NodeId, string>,
): string | undefined {
  const halves = [conf.voters, conf.votersOutgoing].filter((voters) => voters.length > 0)
  const hasMajority = (digest: string) =>
    halves.every(
      (voters) => 2 * voters.filter((node) => digests.get(node) === digest).length > voters.length,
    )
  return [...new Set(digests.values())].find(hasMajority)
}
