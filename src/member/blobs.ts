/**
 * The large values of one member (src/blob), connected with the rest of it: who the members are and how to reach them,
 * the state, and the way to the log.
 */
import type { StoreError } from '../base/errors.js'
import { BlobService } from '../blob/blob-service.js'
import type { BlobCluster } from '../blob/cluster.js'
import type { FetchRequest } from '../blob/fetch.js'
import type { PartCoder } from '../blob/part-coder.js'
import type { ShardGuard } from '../blob/shard-guard.js'
import type { BlobStatus } from '../blob/status.js'
import type { UploadRequest } from '../blob/upload.js'
import type { Env } from '../env/env.js'
import { chooseBackend } from '../erasure/choose.js'
import type { ShardMembers } from '../machine/coverage.js'
import type { AppliedEntry } from '../machine/state-machine.js'
import type { RaftCore } from '../raft/core.js'
import type { NodeId } from '../raft/types.js'
import type { AskedPiece, AskShard } from '../wire/blob-frames.js'
import type { Blobs, BlobUpload } from './backend.js'
import type { Driver } from './driver.js'
import { type MemberOptions, maxManifestBytes, maxShardBytes } from './options.js'
import type { Peers } from './peers.js'
import type { Roster } from './roster.js'
import type { Storage } from './storage.js'

/** What the desk works with. */
export interface BlobDeskParts {
  readonly env: Env
  readonly options: MemberOptions
  readonly storage: Storage
  readonly core: RaftCore
  readonly driver: Driver
}

/** What it asks of its member. */
export interface BlobDeskPorts {
  /** Undefined before the member listens. */
  peers(): Peers | undefined
  roster(): Roster
  /** Whether a leader is known and can be reached. */
  isReady(): boolean
  /** Whether the state here is in use. */
  isSound(): boolean
  /** Why no new write is taken at present. */
  refusal(): StoreError | undefined
  /** Whether the disk of `node` has no room for new writes; this member's own included. */
  isLow(node: NodeId): boolean
  /** Proposes a request of the leader itself, which may be lost. */
  propose(request: Buffer): void
  /** What was damaged of the value under `key` was made anew. */
  onMended(key: Uint8Array): void
}

/** See the file's comment. */
export class BlobDesk implements Blobs {
  readonly thresholdBytes: number
  /** The cluster as those who handle shards see it. */
  readonly cluster: BlobCluster
  readonly #service: BlobService

  constructor({ env, options, storage, core, driver }: BlobDeskParts, ports: BlobDeskPorts) {
    const { coding, limits } = options
    this.thresholdBytes = coding.thresholdBytes
    this.cluster = new DeskCluster(core, storage, ports)
    this.#service = new BlobService({
      time: env.time,
      cluster: this.cluster,
      store: storage.shards,
      machine: storage.machine,
      work: { own: (work) => driver.own(work), fail: (error) => driver.fail(error) },
      options: {
        ...coding,
        maxShardBytes: maxShardBytes(limits, coding),
        maxManifestBytes: maxManifestBytes(limits),
        stallMs: coding.uploadStallMs,
      },
      first: {
        seq: env.random.u32('blob'),
        put: env.random.u32('shard put'),
        ask: env.random.u32('shard ask'),
      },
      chooseCodec: () => chooseBackend(coding.codec),
      isSound: () => ports.isSound(),
      isLeading: () => core.role === 'leader',
      propose: (request) => ports.propose(request),
      onMended: (key) => ports.onMended(key),
    })
  }

  upload(request: UploadRequest): BlobUpload {
    return this.#service.upload(request)
  }

  fetch(request: FetchRequest): Promise<Buffer> {
    return this.#service.fetch(request)
  }

  /** See BlobService. */
  hold(): () => void {
    return this.#service.hold()
  }

  /** See BlobService. */
  get coder(): PartCoder {
    return this.#service.coder
  }

  /** See BlobService. */
  guardWith(guard: ShardGuard): void {
    this.#service.guardWith(guard)
  }

  /** See BlobService. */
  askShard(node: NodeId, ask: Omit<AskShard, 'id'>): Promise<AskedPiece | undefined> {
    return this.#service.askShard(node, ask)
  }

  /** See BlobService. */
  shortfall(voters: readonly NodeId[]): string | undefined {
    return this.#service.shortfall(voters)
  }

  /** A frame of wire/blob-frames.ts. @throws {DecodeError} */
  onFrame(from: NodeId, kind: number, body: Buffer): void {
    this.#service.onFrame(from, kind, body)
  }

  onApplied(applied: readonly AppliedEntry[]): void {
    this.#service.onApplied(applied)
  }

  /** The state is another one, or was brought up to date without telling of each entry. */
  onReplaced(): void {
    this.#service.onReplaced()
  }

  onPeerUp(node: NodeId): void {
    this.#service.onPeerUp(node)
  }

  onPeerDown(node: NodeId): void {
    this.#service.onPeerDown(node)
  }

  /** A leader is known, and can be reached. */
  onNewWay(): void {
    this.#service.onNewWay()
  }

  tick(now: number): void {
    this.#service.tick(now)
  }

  /** Nothing is done here any more: whoever waits gets `error`. */
  end(error: unknown): void {
    this.#service.end(error)
  }

  status(): BlobStatus {
    return this.#service.status()
  }
}

/** The cluster as its member sees it now. */
class DeskCluster implements BlobCluster {
  readonly self: NodeId
  readonly clusterId: Uint8Array
  readonly #core: RaftCore
  readonly #ports: BlobDeskPorts
  #members: ShardMembers | undefined
  /** Of which directory and configuration `#members` are. */
  #directory: unknown
  #conf: unknown

  constructor(core: RaftCore, { identity }: Storage, ports: BlobDeskPorts) {
    this.self = identity.nodeId
    this.clusterId = Buffer.from(identity.clusterId, 'hex')
    this.#core = core
    this.#ports = ports
  }

  get term(): number {
    return this.#core.term
  }

  get isReady(): boolean {
    return this.#ports.isReady()
  }

  get refusal(): StoreError | undefined {
    return this.#ports.refusal()
  }

  get members(): ShardMembers {
    const { directory, conf } = this.#ports.roster()
    if (this.#members === undefined || directory !== this.#directory || conf !== this.#conf) {
      const { voters, votersOutgoing } = conf
      const slots = new Map(directory.members.map(({ nodeId, slot }) => [nodeId, slot]))
      this.#members = { voters, votersOutgoing, slots }
      this.#directory = directory
      this.#conf = conf
    }
    return this.#members
  }

  isUp(node: NodeId): boolean {
    return node === this.self || this.#ports.peers()?.isHeard(node) === true
  }

  isLow(node: NodeId): boolean {
    return this.#ports.isLow(node)
  }

  nameOf(node: NodeId): string {
    return this.#ports.roster().nameOf(node) ?? `node ${node}`
  }

  send(to: NodeId, kind: number, parts: readonly Uint8Array[]): boolean {
    return this.#ports.peers()?.sendFrame(to, kind, parts) === true
  }
}
