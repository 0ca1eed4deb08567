/**
 * Writes that wait until their entry is applied here, at all voters, or at so many of them.
 *
 * The others are asked how far they are, each with the highest index that anybody waits for, and say so after every
 * batch until they have it. Questions and answers may be lost: they are asked again at a new connection, and every
 * REPEAT_MS. Who votes is looked up when it is counted, so a voter that was removed is not waited for.
 *
 * The entry is committed whatever happens here, and so says every error.
 */
import { StoreError } from '../base/errors.js'
import type { LogIndex, NodeId } from '../raft/types.js'
import type { AppliedWhere } from './backend.js'

/** Questions that were not answered are asked again so often. */
const REPEAT_MS = 500

/** What waits know of the members, and how they ask. */
export interface AppliedPorts {
  readonly self: NodeId
  /** Everything up to here is applied here. */
  readonly appliedIndex: LogIndex
  voters(): readonly NodeId[]
  /** Asks `to` to say how far it is until it has `index`; false when that was dropped. */
  ask(to: NodeId, index: LogIndex): boolean
  /** Says to `to` how far this member is; lost when there is no way. */
  tell(to: NodeId, index: LogIndex): void
  /** Asks for `flush` at the end of this turn. */
  wake(): void
}

interface Wait {
  readonly index: LogIndex
  readonly where: AppliedWhere
  readonly deadline: number
  resolve(): void
  reject(error: StoreError): void
}

/** See the file's comment. */
export class AppliedWaits {
  readonly #ports: AppliedPorts
  #waits: Wait[] = []
  /** How far the others have said that they are. */
  readonly #heard = new Map<NodeId, LogIndex>()
  /** The highest index that each was asked for since its connection came up. */
  readonly #asked = new Map<NodeId, LogIndex>()
  /** Who wants to hear how far this member is, until it has which index. */
  readonly #askers = new Map<NodeId, LogIndex>()
  #repeatAt = 0

  constructor(ports: AppliedPorts) {
    this.#ports = ports
  }

  /** Resolves when it is so. @throws {StoreError} QUORATE_ACK_TIMEOUT, QUORATE_ABORTED; both with `committed` */
  wait(
    index: LogIndex,
    where: AppliedWhere,
    deadline: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if (this.#isSo(index, where)) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const onAbort = () => wait.reject(aborted(signal))
      const settled = () => signal?.removeEventListener('abort', onAbort)
      const wait: Wait = {
        index,
        where,
        deadline,
        resolve: () => {
          settled()
          resolve()
        },
        reject: (error) => {
          settled()
          this.#waits = this.#waits.filter((other) => other !== wait)
          reject(error)
        },
      }
      this.#waits.push(wait)
      if (where !== 'here') this.#ports.wake()
      if (signal?.aborted) onAbort()
      else signal?.addEventListener('abort', onAbort, { once: true })
    })
  }

  /** Asks the others for what this turn has brought. */
  flush(): void {
    const wanted = this.#wanted()
    if (wanted === 0) return
    for (const node of this.#ports.voters()) {
      const known = Math.max(this.#heard.get(node) ?? 0, this.#asked.get(node) ?? 0)
      if (node === this.#ports.self || known >= wanted) continue
      if (this.#ports.ask(node, wanted)) this.#asked.set(node, wanted)
    }
  }

  /** Another member wants to hear when `index` is applied here. */
  onAsked(from: NodeId, index: LogIndex): void {
    this.#askers.set(from, Math.max(index, this.#askers.get(from) ?? 0))
    if (this.#ports.appliedIndex >= index) this.#tell(from, index)
  }

  /** Another member has applied everything up to `index`. */
  onTold(from: NodeId, index: LogIndex): void {
    if (index <= (this.#heard.get(from) ?? 0)) return
    this.#heard.set(from, index)
    this.#settle()
  }

  /** More is applied here. */
  onApplied(): void {
    for (const [node, index] of this.#askers) this.#tell(node, index)
    this.#settle()
  }

  /** What it was asked over an earlier connection may be lost. */
  onPeerUp(node: NodeId): void {
    if (this.#asked.delete(node)) this.#ports.wake()
  }

  tick(now: number): void {
    for (const wait of this.#waits) if (now >= wait.deadline) wait.reject(this.#tooLate(wait))
    if (this.#waits.length > 0) this.#settle()
    if (now < this.#repeatAt || this.#wanted() === 0) return
    this.#repeatAt = now + REPEAT_MS
    this.#asked.clear()
    this.#ports.wake()
  }

  /** Nobody hears anything more. */
  end(error: unknown): void {
    const waits = this.#waits
    this.#waits = []
    this.#askers.clear()
    for (const wait of waits) wait.reject(ended(error))
  }

  #tell(node: NodeId, wanted: LogIndex): void {
    const { appliedIndex } = this.#ports
    if (appliedIndex >= wanted) this.#askers.delete(node)
    this.#ports.tell(node, appliedIndex)
  }

  /** The highest index that others are asked for; 0 when nobody is. */
  #wanted(): LogIndex {
    let wanted = 0
    for (const { index, where } of this.#waits)
      if (where !== 'here' && index > wanted) wanted = index
    return wanted
  }

  #settle(): void {
    if (this.#waits.length === 0) return
    const waits = this.#waits
    this.#waits = waits.filter(({ index, where }) => !this.#isSo(index, where))
    if (this.#waits.length === waits.length) return
    const left = new Set(this.#waits)
    for (const wait of waits) if (!left.has(wait)) wait.resolve()
  }

  #isSo(index: LogIndex, where: AppliedWhere): boolean {
    if (where === 'here') return this.#ports.appliedIndex >= index
    const voters = this.#ports.voters()
    const needed = where === 'all' ? voters.length : where.members
    return this.#count(voters, index) >= needed
  }

  #count(voters: readonly NodeId[], index: LogIndex): number {
    let count = 0
    for (const node of voters) if (this.#appliedAt(node) >= index) count++
    return count
  }

  #appliedAt(node: NodeId): LogIndex {
    return node === this.#ports.self ? this.#ports.appliedIndex : (this.#heard.get(node) ?? 0)
  }

  #tooLate({ index, where }: Wait): StoreError {
    const message = `entry ${index} is committed, and was not applied ${this.#whereIn(where, index)} in time`
    return new StoreError('QUORATE_ACK_TIMEOUT', message, { outcome: 'committed' })
  }

  #whereIn(where: AppliedWhere, index: LogIndex): string {
    if (where === 'here') return 'here'
    const voters = this.#ports.voters()
    const wanted = where === 'all' ? `all ${voters.length}` : where.members
    return `at ${wanted} voters, but at ${this.#count(voters, index)},`
  }
}

function aborted(signal: AbortSignal | undefined): StoreError {
  return new StoreError('QUORATE_ABORTED', 'the call was aborted; the write is committed', {
    outcome: 'committed',
    cause: signal?.reason,
  })
}

function ended(error: unknown): StoreError {
  const { code, message } =
    error instanceof StoreError ? error : new StoreError('QUORATE_STOPPED', String(error))
  return new StoreError(code, message, { outcome: 'committed', cause: error })
}
