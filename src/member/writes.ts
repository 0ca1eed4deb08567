/**
 * Writes on one member: those of its own Stores on their way to the leader, and, while it leads, those of everybody.
 *
 * Two desks with the way between them: Links has what this process's Stores sent, Requests what this member was
 * handed as the leader.
 */
import type { StoreError } from '../base/errors.js'
import type { AppliedEntry } from '../machine/state-machine.js'
import type { Dropped, NodeId, Proposed, ProposedEntry } from '../raft/types.js'
import type { Answer } from '../wire/forward.js'
import { validateRequest } from '../wire/validate-request.js'
import type { LinkHandlers, RequestLink } from './backend.js'
import type { Driver } from './driver.js'
import { Links } from './links.js'
import { type LimitOptions, maxManifestBytes } from './options.js'
import { Requests } from './requests.js'

/** The way between the members. */
export interface WriteRoute {
  isLeading(): boolean
  /** Whether a leader is known and can be reached. */
  isReady(): boolean
  /** Why no new write is taken at present. */
  refusal(): StoreError | undefined
  /** Hands a request to the leader; false when it was dropped. */
  sendRequest(link: number, request: Buffer): boolean
  sendAnswers(node: NodeId, answers: readonly Answer[]): void
}

/** See the file's comment. */
export class Writes {
  readonly #self: NodeId
  readonly #maxValueBytes: number
  readonly #maxManifestBytes: number
  readonly #driver: Driver
  readonly #route: WriteRoute
  readonly #links: Links
  readonly #requests: Requests
  readonly #propose = (token: number, entry: ProposedEntry): void =>
    this.#driver.step({ type: 'propose', token, entries: [entry] })

  /** `firstLink` is drawn anew at each start. */
  constructor(
    self: NodeId,
    limits: LimitOptions,
    driver: Driver,
    route: WriteRoute,
    firstLink: number,
  ) {
    this.#self = self
    this.#maxValueBytes = limits.maxValueBytes
    this.#maxManifestBytes = maxManifestBytes(limits)
    this.#driver = driver
    this.#route = route
    this.#requests = new Requests(limits.maxRequestBytes, (node, answers) => {
      if (node === self) this.#links.answer(answers)
      else route.sendAnswers(node, answers)
    })
    this.#links = new Links(
      {
        get isReady() {
          return route.isReady()
        },
        get refusal() {
          return route.refusal()
        },
        wake: () => driver.wake(),
        forward: (link, request, seq) => this.#forward(link, request, seq),
      },
      firstLink,
    )
  }

  /** Opens the way of a Store of this process. */
  open(handlers: LinkHandlers): RequestLink {
    return this.#links.open(handlers)
  }

  /** Sends what this turn collected, and proposes it as one entry when this member leads. */
  flush(): void {
    this.#links.flush()
    this.#requests.flush(this.#propose)
  }

  /** A request of another member's Store. @throws {DecodeError} */
  onRequest(from: NodeId, link: number, request: Buffer): void {
    const { seq } = validateRequest(request, this.#maxValueBytes, this.#maxManifestBytes)
    const origin = { node: from, link, seq }
    if (!this.#route.isLeading()) {
      this.#requests.refuse([origin])
      return
    }
    this.#requests.add(origin, request, this.#propose)
    this.#driver.wake()
  }

  /** Proposes a request of this member itself, which leads; nobody is answered. */
  proposeOwn(request: Buffer): void {
    this.#requests.addOwn(request, this.#propose)
    this.#driver.wake()
  }

  /** Answers of the leader. */
  onAnswers(answers: readonly Answer[]): void {
    this.#links.answer(answers)
  }

  onProposed(proposed: Proposed): void {
    this.#requests.onProposed(proposed)
  }

  onDropped(dropped: Dropped): void {
    this.#requests.onDropped(dropped)
  }

  onApplied(applied: readonly AppliedEntry[]): void {
    this.#requests.onApplied(applied)
  }

  onLeadershipLost(): void {
    this.#requests.onLeadershipLost()
  }

  /** The way to the leader is new: what is unanswered is sent again. */
  onNewWay(): void {
    this.#links.reset()
  }

  tick(now: number): void {
    this.#links.tick(now)
  }

  /** Nothing is sent or answered here any more. */
  end(error: unknown): void {
    this.#links.end(error)
  }

  #forward(link: number, request: Buffer, seq: number): boolean {
    if (!this.#route.isLeading()) return this.#route.sendRequest(link, request)
    this.#requests.add({ node: this.#self, link, seq }, request, this.#propose)
    return true
  }
}
