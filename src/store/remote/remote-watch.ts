/**
 * A watch of a client: a position in the log, and a member that tells what comes after it. When that member is lost or
 * cut off from the others, another one goes on from the same position: nothing is left out and nothing told twice,
 * because a block is told whole, with the position behind it.
 */
import { StoreError } from '../../base/errors.js'
import type { ReadPosition, WatchBlock, WatchCursor, WatchRequest } from '../../member/backend.js'
import { type Asking, abortedBy, askOnce, expectReply, isElsewhere } from './asking.js'
import type { MemberLink } from './member-link.js'

/** Blocks come about every second, even when nothing changes: a member that is silent for longer is asked no more. */
const SILENCE_MS = 5_000

/** Who can be watched. */
export interface WatchRoute extends Asking {
  forWeak(without: MemberLink | undefined): MemberLink | undefined
  readonly links: readonly MemberLink[]
}

/** See the file's comment. */
export class RemoteWatch implements WatchCursor {
  readonly #route: WatchRoute
  readonly #request: WatchRequest
  readonly #closing = new AbortController()
  readonly #onAbort = (): void => this.close()
  #position: ReadPosition
  #at: { readonly link: MemberLink; readonly id: number } | undefined
  /** Members that do not remember the position; each is asked once. */
  readonly #forgetful = new Set<string>()
  #compacted: StoreError | undefined

  constructor(route: WatchRoute, request: WatchRequest) {
    this.#route = route
    this.#request = request
    this.#position = { index: request.after, term: request.afterTerm }
    request.signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  async next(maxBytes: number): Promise<WatchBlock> {
    let failed: MemberLink | undefined
    for (;;) {
      this.#refuseIfOver()
      const at = this.#open(failed)
      if (at === undefined) {
        this.#refuseIfForgotten()
        failed = undefined
        await this.#route.later()
        continue
      }
      try {
        const block = await this.#changes(at, maxBytes)
        if (block !== undefined) return block
      } catch (error) {
        if (!this.#isOver() && !this.#goesOn(at.link, error)) throw error
      }
      failed = at.link
      this.#leave()
    }
  }

  close(): void {
    this.#request.signal?.removeEventListener('abort', this.#onAbort)
    this.#leave()
    this.#closing.abort()
  }

  /** Where it is open; opens it when it is not. */
  #open(failed: MemberLink | undefined): { link: MemberLink; id: number } | undefined {
    if (this.#at !== undefined && !this.#isCutOff(this.#at.link)) return this.#at
    this.#leave()
    const link = this.#choose(failed)
    if (link === undefined) return undefined
    const { index: after, term: afterTerm } = this.#position
    const { range } = this.#request
    this.#at = { link, id: link.tell({ type: 'watch', after, afterTerm, range }) }
    return this.#at
  }

  #choose(failed: MemberLink | undefined): MemberLink | undefined {
    const { links } = this.#route
    const isFit = (link: MemberLink) =>
      link !== failed && link.news!.isServing && !this.#forgetful.has(link.news!.memberId)
    const favourite = this.#route.forWeak(failed)
    if (favourite !== undefined && isFit(favourite) && favourite.news!.isReady) return favourite
    return links.find((link) => isFit(link) && link.news!.isReady) ?? links.find(isFit)
  }

  /** Whether the member hears nothing new while others do. */
  #isCutOff({ news }: MemberLink): boolean {
    if (news === undefined) return true
    return !news.isReady && this.#route.links.some((other) => other.news!.isReady)
  }

  /** The next block; undefined when the member is silent. */
  async #changes(
    { link, id }: { link: MemberLink; id: number },
    maxBytes: number,
  ): Promise<WatchBlock | undefined> {
    const deadline = this.#route.now() + SILENCE_MS
    const ask = { type: 'changes', watch: id, maxBytes } as const
    const { reply } = await askOnce(link, ask, deadline, this.#closing.signal)
    const { through, entries } = expectReply(reply, 'changes')
    if (through.index > this.#position.index) {
      this.#position = through
      this.#forgetful.clear()
    }
    return { through, entries }
  }

  /** Whether another member, or the same one later, may go on after `error`. */
  #goesOn(link: MemberLink, error: unknown): boolean {
    if (isElsewhere(error)) {
      link.noteFailure()
      return true
    }
    if (!(error instanceof StoreError)) return false
    if (error.code === 'QUORATE_TIMEOUT') return true
    if (error.code !== 'QUORATE_COMPACTED' || link.news === undefined) return false
    this.#forgetful.add(link.news.memberId)
    this.#compacted = error
    return true
  }

  /** Whoever could be asked does not remember. */
  #refuseIfForgotten(): void {
    const serving = this.#route.links.filter(({ news }) => news!.isServing)
    const isForgotten = serving.every(({ news }) => this.#forgetful.has(news!.memberId))
    if (this.#compacted !== undefined && serving.length > 0 && isForgotten) throw this.#compacted
  }

  #leave(): void {
    const at = this.#at
    this.#at = undefined
    if (at !== undefined) at.link.tell({ type: 'end', id: at.id })
  }

  #isOver(): boolean {
    return this.#closing.signal.aborted || this.#route.ended !== undefined
  }

  #refuseIfOver(): void {
    if (this.#route.ended !== undefined) throw this.#route.ended
    const { signal } = this.#request
    if (signal?.aborted) throw abortedBy(signal)
    if (!this.#closing.signal.aborted) return
    throw new StoreError('QUORATE_ABORTED', 'the watch was closed')
  }
}
