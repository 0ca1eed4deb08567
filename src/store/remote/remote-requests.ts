/**
 * The requests of a client on their way to the leader: one member at a time takes them, the leader itself where it is
 * connected. When another one has to, all that is unanswered is sent again in order; the session table keeps it from
 * happening twice (design D5).
 */
import { StoreError } from '../../base/errors.js'
import type { LinkHandlers, RequestLink } from '../../member/backend.js'
import type { LogIndex } from '../../raft/types.js'
import { mayAct } from '../../transport/client-roles.js'
import { type CallError, storeErrorOf } from '../../wire/envelope.js'
import type { Answer } from '../../wire/forward.js'
import type { MemberLink } from './member-link.js'

/** Whom requests are sent to. */
export interface RequestRoute {
  forWrites(present: MemberLink | undefined): MemberLink | undefined
  /** The state at this index is applied somewhere. */
  seen(index: LogIndex): void
}

/** See the file's comment. */
export class RemoteRequests {
  readonly #route: RequestRoute
  readonly #open = new Map<number, LinkHandlers>()
  readonly #woken = new Set<LinkHandlers>()
  #nextLink = 1
  #way: MemberLink | undefined
  #isReady = false

  constructor(route: RequestRoute) {
    this.#route = route
  }

  /** The member that takes requests at present. */
  get way(): MemberLink | undefined {
    return this.#way
  }

  open(handlers: LinkHandlers): RequestLink {
    const number = this.#nextLink
    this.#nextLink = (this.#nextLink + 1) >>> 0
    this.#open.set(number, handlers)
    const isReady = () => this.#isReady
    const refusal = () => this.#refusal
    return {
      get isReady() {
        return isReady()
      },
      get refusal() {
        return refusal()
      },
      wake: () => {
        this.#woken.add(handlers)
        this.#way?.wake()
      },
      send: (request) => this.#way?.request(number, request),
      close: () => {
        this.#open.delete(number)
        this.#woken.delete(handlers)
      },
    }
  }

  /** Connections or what their members say have changed: perhaps another one takes the requests now. */
  look(): void {
    const before = this.#isReady ? this.#way : undefined
    this.#way = this.#route.forWrites(this.#way)
    this.#isReady = this.#way !== undefined
    if (this.#way !== undefined && this.#way !== before) this.#resetAll()
  }

  /** What was asked of `link` in this turn is about to leave: requests go with it. */
  gather(link: MemberLink): void {
    if (link !== this.#way || this.#woken.size === 0) return
    const woken = [...this.#woken]
    this.#woken.clear()
    for (const handlers of woken) handlers.flush()
  }

  /** Late answers of a member that had the requests before are as good as any. */
  onAnswers(answers: readonly Answer[]): void {
    for (const answer of answers) {
      if (answer.status === 'applied') this.#route.seen(answer.index)
      this.#open.get(answer.link)?.answer(answer)
    }
  }

  /** The way of `link` to the leader is new. */
  onReset(link: MemberLink, requests: number): void {
    if (link === this.#way) this.#open.get(requests)?.reset()
  }

  tick(now: number): void {
    for (const handlers of [...this.#open.values()]) handlers.tick(now)
  }

  end(error: unknown): void {
    for (const handlers of [...this.#open.values()]) handlers.end(error)
    this.#open.clear()
    this.#woken.clear()
  }

  #resetAll(): void {
    for (const handlers of [...this.#open.values()]) handlers.reset()
    this.#way?.wake()
  }

  get #refusal(): StoreError | undefined {
    const news = this.#way?.news
    if (news === undefined) return undefined
    if (!mayAct(news.role, 'write')) {
      return new StoreError(
        'QUORATE_FORBIDDEN',
        `this client has the role ${news.role}: it may not write`,
      )
    }
    return news.refusal === undefined ? undefined : refused(news.refusal)
  }
}

/** Nothing was sent. */
function refused(error: CallError): StoreError {
  return storeErrorOf({ ...error, outcome: 'none' })
}
