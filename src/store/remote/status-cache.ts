/**
 * How a member stands, as it told lately: `status` gives plain data at once, and a client has to have asked before.
 *
 * One member is asked every REFRESH_MS, the one that was asked last as long as it is connected.
 */
import { StoreError } from '../../base/errors.js'
import type { MemberStatus } from '../../member/backend.js'
import type { ClientNews } from '../../wire/client-news.js'
import type { MemberLink } from './member-link.js'

const REFRESH_MS = 2_000
const ANSWER_MS = 5_000

/** What a client has to keep to. */
export type Bounds = Pick<ClientNews, 'maxValueBytes' | 'maxRequestBytes'>

/** The bounds in the word of a member. */
export function boundsOf({ maxValueBytes, maxRequestBytes }: ClientNews): Bounds {
  return { maxValueBytes, maxRequestBytes }
}

interface Told {
  readonly status: MemberStatus
  readonly at: number
}

/** See the file's comment. */
export class StatusCache {
  readonly #now: () => number
  #told: Told | undefined
  #link: MemberLink | undefined
  #askedAt = Number.NEGATIVE_INFINITY
  #asking: Promise<void> | undefined

  constructor(now: () => number) {
    this.#now = now
  }

  /** Asks one of `links`; resolves when it has answered or failed to. */
  refresh(links: readonly MemberLink[]): Promise<void> {
    if (this.#link === undefined || !links.includes(this.#link)) this.#link = links[0]
    const link = this.#link
    if (link === undefined) return Promise.resolve()
    this.#askedAt = this.#now()
    this.#asking ??= link.call('status', undefined, ANSWER_MS).then(
      (status) => this.#take(status),
      // The next one is asked soon, and until then the last answer stands.
      () => this.#take(undefined),
    )
    return this.#asking
  }

  tick(now: number, links: readonly MemberLink[]): void {
    if (now - this.#askedAt >= REFRESH_MS) void this.refresh(links)
  }

  /** The last answer. @throws {StoreError} QUORATE_NOT_READY before there was one */
  last(links: readonly MemberLink[]): MemberStatus {
    if (this.#told === undefined) {
      throw new StoreError('QUORATE_NOT_READY', 'no member has told how it stands yet', {
        retryable: true,
      })
    }
    const { status, at } = this.#told
    const members = links.map(({ news }) => news?.memberId).join(', ') || 'nobody'
    const seconds = ((this.#now() - at) / 1_000).toFixed(1)
    const words = `a client connected with ${members}; this is what ${status.id} told ${seconds} s ago`
    return { ...status, words: [words, ...status.words] }
  }

  /** Its parts are not looked at: the handshake has proven that it is of this version. */
  #take(status: unknown): void {
    this.#asking = undefined
    if (typeof status !== 'object' || status === null || !('words' in status)) return
    this.#told = { status: status as MemberStatus, at: this.#now() }
  }
}
