/**
 * A state that a member keeps for this client. It lives as long as the connection does: when that is lost, reading goes
 * on with QUORATE_NETWORK, retryable, because no other member has exactly this state.
 */
import { StoreError } from '../../base/errors.js'
import type { KeyRange } from '../../env/database.js'
import type {
  ScanCursor,
  Served,
  StateView,
  StoredValue,
  ViewRequest,
} from '../../member/backend.js'
import { KEY_BYTES_MAX } from '../../wire/command.js'
import { askOnce, expectReply } from './asking.js'
import type { MemberLink } from './member-link.js'

/** So much of a read from a view travels at once: no member has frames that are too short for one key. */
const KEYS_AT_ONCE = 1_024
const KEY_BYTES_AT_ONCE = KEY_BYTES_MAX

/** Opens a view at one member. @throws {StoreError} the member's own; QUORATE_NETWORK; QUORATE_TIMEOUT */
export async function openRemoteView(
  link: MemberLink,
  request: ViewRequest,
  now: number,
): Promise<StateView> {
  const { level, onBehind, minIndex, minTerm, maxStalenessMs, deadline, cut, signal } = request
  const remainingMs = Math.max(0, deadline - now)
  const demand = { level, onBehind, minIndex, minTerm, maxStalenessMs, remainingMs }
  const { id, reply } = await askOnce(link, { type: 'view', cut, demand }, deadline, signal)
  return new RemoteView(link, id, expectReply(reply, 'view').served)
}

class RemoteView implements StateView {
  readonly served: Served
  readonly #link: MemberLink
  readonly #id: number

  constructor(link: MemberLink, id: number, served: Served) {
    this.#link = link
    this.#id = id
    this.served = served
  }

  async getMany(keys: readonly Uint8Array[]): Promise<readonly (StoredValue | undefined)[]> {
    const groups: (readonly (StoredValue | undefined)[])[] = []
    for (const group of groupsOf(keys)) groups.push(await this.#values(group))
    return groups.length === 1 ? groups[0]! : groups.flat()
  }

  cursor(range: KeyRange, reverse: boolean): ScanCursor {
    const link = this.#link
    const cursor = link.tell({ type: 'cursor', view: this.#id, range, reverse })
    return {
      next: async (maxEntries, maxBytes) => {
        const ask = { type: 'entries', cursor, maxEntries, maxBytes } as const
        const { reply } = await this.#ask(ask)
        return expectReply(reply, 'entries').entries
      },
      close: async () => {
        link.tell({ type: 'end', id: cursor })
      },
    }
  }

  async close(): Promise<void> {
    this.#link.tell({ type: 'end', id: this.#id })
  }

  /** The values; in halves where all of them are too long for one answer. */
  async #values(keys: readonly Uint8Array[]): Promise<readonly (StoredValue | undefined)[]> {
    try {
      const { reply } = await this.#ask({ type: 'values', view: this.#id, keys })
      return expectReply(reply, 'values').values
    } catch (error) {
      const isTooLong = error instanceof StoreError && error.code === 'QUORATE_TOO_LARGE'
      if (!isTooLong || keys.length < 2) throw error
      const middle = keys.length >> 1
      const first = await this.#values(keys.slice(0, middle))
      return [...first, ...(await this.#values(keys.slice(middle)))]
    }
  }

  #ask(ask: Parameters<typeof askOnce>[1]): ReturnType<typeof askOnce> {
    return askOnce(this.#link, ask, Number.POSITIVE_INFINITY, undefined)
  }
}

function* groupsOf(keys: readonly Uint8Array[]): Generator<readonly Uint8Array[]> {
  let [start, bytes] = [0, 0]
  for (let i = 0; i < keys.length; i++) {
    const { length } = keys[i]!
    if (i - start >= KEYS_AT_ONCE || (i > start && bytes + length > KEY_BYTES_AT_ONCE)) {
      yield keys.slice(start, i)
      ;[start, bytes] = [i, 0]
    }
    bytes += length
  }
  if (start < keys.length || keys.length === 0) yield keys.slice(start)
}
