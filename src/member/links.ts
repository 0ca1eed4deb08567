/**
 * The links of the Stores on this member: where their requests go, and which answer belongs to whom.
 *
 * A request goes to the leader, in this process or over the transport, and may be lost on the way at any
 * time. So every change of the way (another leader, a new connection) resets all links: their owners send
 * what is unanswered again, in order, and the session table keeps it from happening twice (design D5).
 */
import type { StoreError } from '../base/errors.js'
import type { Answer } from '../wire/forward.js'
import type { LinkHandlers, RequestLink } from './backend.js'

/** How requests leave. */
export interface LinkRoute {
  readonly isReady: boolean
  /** Why no new write is taken at present. */
  readonly refusal: StoreError | undefined
  /** Asks for `flush` at the end of this turn. */
  wake(): void
  /** Hands a request on; false when it was dropped. */
  forward(link: number, request: Buffer, seq: number): boolean
}

/** All open links of one member. */
export class Links {
  readonly #route: LinkRoute
  readonly #open = new Map<number, LinkHandlers>()
  readonly #woken = new Set<LinkHandlers>()
  #nextLink: number
  #isResetDue = false

  /** `firstLink` is drawn anew at each start, so that answers to an earlier life of this member find nobody. */
  constructor(route: LinkRoute, firstLink: number) {
    this.#route = route
    this.#nextLink = firstLink
  }

  open(handlers: LinkHandlers): RequestLink {
    const route = this.#route
    const link = this.#nextLink
    this.#nextLink = (this.#nextLink + 1) >>> 0
    this.#open.set(link, handlers)
    return {
      get isReady() {
        return route.isReady
      },
      get refusal() {
        return route.refusal
      },
      wake: () => {
        this.#woken.add(handlers)
        route.wake()
      },
      send: (request, seq) => {
        if (!route.forward(link, request, seq)) this.#isResetDue = true
      },
      close: () => {
        this.#open.delete(link)
        this.#woken.delete(handlers)
      },
    }
  }

  /** Lets the links that asked for it send. */
  flush(): void {
    if (this.#woken.size === 0) return
    const woken = [...this.#woken]
    this.#woken.clear()
    for (const handlers of woken) handlers.flush()
  }

  answer(answers: readonly Answer[]): void {
    for (const answer of answers) this.#open.get(answer.link)?.answer(answer)
  }

  /** The way to the leader is new: everything unanswered is sent again. */
  reset(): void {
    this.#isResetDue = false
    for (const handlers of [...this.#open.values()]) handlers.reset()
  }

  tick(now: number): void {
    if (this.#isResetDue && this.#route.isReady) this.reset()
    for (const handlers of [...this.#open.values()]) handlers.tick(now)
  }

  end(error: unknown): void {
    for (const handlers of [...this.#open.values()]) handlers.end(error)
    this.#open.clear()
    this.#woken.clear()
  }
}
