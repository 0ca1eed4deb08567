/** The clients that are connected to this member: each has a desk, and all hear when something changes for them. */
import type { ClientHandlers, ClientPort } from '../transport/served-client.js'
import type { ClientNews } from '../wire/client-news.js'
import { ClientDesk, type DeskParts } from './client-desk.js'

/** News come so often when nothing changes: a client learns how far the state is. */
const NEWS_MS = 1_000

/** See the file's comment. */
export class Clients {
  readonly #parts: Omit<DeskParts, 'closed'>
  readonly #desks = new Set<ClientDesk>()
  readonly #ending = new Set<Promise<void>>()
  #told = ''
  #toldAt = 0

  constructor(parts: Omit<DeskParts, 'closed'>) {
    this.#parts = parts
  }

  /** Begins to serve a client. */
  serve(port: ClientPort): ClientHandlers {
    const closed: DeskParts['closed'] = (gone, ending) => {
      this.#desks.delete(gone)
      this.#own(ending)
    }
    const desk = new ClientDesk({ ...this.#parts, closed }, port)
    this.#desks.add(desk)
    return desk
  }

  /** Ends all. Resolves when nothing reads from the state for them any more. */
  async end(): Promise<void> {
    for (const desk of this.#desks) this.#own(desk.end())
    await Promise.all(this.#ending)
  }

  /** Something may have changed: tells everybody, if it has. */
  look(): void {
    if (this.#desks.size === 0) return
    const { appliedIndex: _, ...news }: ClientNews = this.#parts.news('admin')
    const told = JSON.stringify(news)
    if (told === this.#told) return
    this.#told = told
    this.#tell()
  }

  tick(now: number): void {
    this.look()
    for (const desk of this.#desks) desk.tick(now)
    if (now - this.#toldAt >= NEWS_MS) this.#tell()
  }

  #own(ending: Promise<void>): void {
    const settled = ending.finally(() => this.#ending.delete(settled))
    this.#ending.add(settled)
  }

  #tell(): void {
    this.#toldAt = this.#parts.backend.now()
    for (const desk of this.#desks) desk.tell()
  }
}
