/**
 * The calls of a client about the cluster and its members: one member is asked, and another one only when the first has
 * certainly done nothing.
 */
import { StoreError } from '../../base/errors.js'
import type { Disk } from '../../env/disk.js'
import type {
  BackupRequest,
  ReadLevel,
  RetainedCheckpoint,
  RetainRequest,
} from '../../member/backend.js'
import type { LogIndex } from '../../raft/types.js'
import { type BackupOptions, type BackupResult, writeBackup } from '../../snapshot/backup.js'
import { DecodeError } from '../../wire/command.js'
import {
  asMembershipAnswer,
  type MembershipAnswer,
  type MembershipRequest,
} from '../../wire/membership.js'
import { asRetainedCheckpoint } from '../../wire/retained-call.js'
import { RemoteState } from '../remote-state.js'
import { type Asking, attempt, isElsewhere } from './asking.js'
import type { MemberLink } from './member-link.js'

const CHECKPOINT_MS = 60_000

/** Whom to call; not `without` unless there is nobody else. */
export interface CallRoute {
  forCall(without: MemberLink | undefined): MemberLink | undefined
  forBackup(level: ReadLevel, without: MemberLink | undefined): MemberLink | undefined
}

/** See the file's comment. */
export class RemoteCalls {
  readonly #disk: Disk
  readonly #asking: Asking
  readonly #route: CallRoute

  constructor(disk: Disk, asking: Asking, route: CallRoute) {
    this.#disk = disk
    this.#asking = asking
    this.#route = route
  }

  /** As Backend.askMembership. */
  async askMembership(
    request: MembershipRequest,
    signal: AbortSignal | undefined,
  ): Promise<MembershipAnswer> {
    const deadline = this.#asking.now() + request.timeoutMs
    const answer = await this.#call('members', request, deadline, signal)
    try {
      return asMembershipAnswer(request.type, answer)
    } catch (cause) {
      if (!(cause instanceof DecodeError)) throw cause
      const message = `the member's answer: ${cause.message}`
      throw new StoreError('QUORATE_FORMAT', message, { outcome: 'unknown', cause })
    }
  }

  /** As Backend.checkpoint. */
  async checkpoint(): Promise<LogIndex> {
    const deadline = this.#asking.now() + CHECKPOINT_MS
    const index = await this.#call('checkpoint', undefined, deadline, undefined)
    if (typeof index === 'number') return index
    throw new StoreError('QUORATE_FORMAT', 'the member answers checkpoint with no index')
  }

  /** As Backend.retain. */
  async retain({ deadline, signal }: RetainRequest): Promise<RetainedCheckpoint> {
    const leftMs = Math.min(Math.ceil(deadline - this.#asking.now()), Number.MAX_SAFE_INTEGER)
    const call = { type: 'retain', timeoutMs: Math.max(0, leftMs) }
    const answer = await this.#call('retained', call, deadline, signal)
    try {
      return asRetainedCheckpoint(answer)
    } catch (cause) {
      if (!(cause instanceof DecodeError)) throw cause
      const message = `the member's answer: ${cause.message}`
      throw new StoreError('QUORATE_FORMAT', message, { outcome: 'unknown', cause })
    }
  }

  /** As Backend.backup: the state of one member, written here. */
  async backup(
    dest: string,
    options: BackupOptions,
    { level, deadline, signal }: BackupRequest,
  ): Promise<BackupResult> {
    const pick = (without: MemberLink | undefined): MemberLink | undefined =>
      this.#route.forBackup(level, without)
    return attempt(this.#asking, { deadline, signal, pick }, (link) => {
      // A session of nothing that was read or written asks for no more than what is there.
      const atLeast = level === 'strong' ? level : 'eventual'
      const leftMs = Math.min(Math.ceil(deadline - this.#asking.now()), Number.MAX_SAFE_INTEGER)
      const state = new RemoteState(link, atLeast, leftMs)
      return writeBackup(this.#disk, state, dest, options)
    })
  }

  /** A call to one member. Only what is known not to have happened is asked again elsewhere. */
  #call(
    method: string,
    params: unknown,
    deadline: number,
    signal: AbortSignal | undefined,
  ): Promise<unknown> {
    const pick = (without: MemberLink | undefined): MemberLink | undefined =>
      this.#route.forCall(without)
    return attempt(this.#asking, { deadline, signal, pick }, async (link) => {
      const answer = link.call(method, params, deadline - this.#asking.now())
      try {
        return await abortable(answer, signal)
      } catch (error) {
        throw isElsewhere(error) && isFinal(error) ? new FinalAnswer(error) : error
      }
    }).catch((error: unknown) => {
      throw error instanceof FinalAnswer ? error.error : error
    })
  }
}

/** Whether a call is not to be made again by itself: its answer is lost, or it is an answer about somebody else. */
function isFinal({ code, outcome }: StoreError): boolean {
  return outcome !== 'none' || code === 'QUORATE_NOT_READY'
}

/** Keeps an error from being taken for one that another member may not have. */
class FinalAnswer extends Error {
  readonly error: StoreError

  constructor(error: StoreError) {
    super(error.message)
    this.error = error
  }
}

async function abortable<T>(answer: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return answer
  let onAbort = (): void => undefined
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () =>
      reject(
        new StoreError('QUORATE_ABORTED', 'the call was aborted by its caller', {
          outcome: 'unknown',
          cause: signal.reason,
        }),
      )
  })
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([answer, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
