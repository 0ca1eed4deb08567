/**
 * What the state machine should do, written down a second time and as plainly as possible: a map of keys and the
 * rules of exactly once. Fed with the committed log, it gives for every index the digest of the state, and for every
 * request what must become of it.
 *
 * It shares the byte format of entries with the state machine and nothing else.
 */
import { xxh32 } from '@node-rs/xxhash'
import { assert } from '../../base/assert.js'
import { keyedU32 } from '../../base/prng.js'
import type { Entry, LogIndex } from '../../raft/types.js'
import { REQUEST_HEADER_BYTES, type RequestHeader, visitRequests } from '../../wire/command.js'
import type { AppliedRequest } from '../checkers/committed-log.js'
import type { Change } from '../history.js'

/** A client may have so many requests unanswered; more are a gap (docs/consistency.md). */
const WINDOW = 1024

/** What must become of a request. */
export type ExpectedStatus = 'applied' | 'duplicate' | 'stale' | 'gap' | 'expired'

interface Client {
  lastSeq: number
  floor: number
  lastActive: LogIndex
}

interface Stored {
  readonly value: Buffer
  readonly hash: number
}

/** How stored bytes become the values of histories. */
export type ReadValue = (bytes: Buffer) => string

/**
 * The digest of a state is the sum of this over its keys, so that it can follow changes. Not a CRC: those are blind to
 * bytes that carry their own.
 */
export function digestOf(key: Uint8Array, value: Uint8Array, revision: LogIndex): number {
  return keyedU32(xxh32(value, xxh32(key)), key.length, revision)
}

/** The model of one cluster's state. */
export class ModelMachine {
  readonly #maxClients: number
  readonly #readValue: ReadValue
  readonly #state = new Map<string, Stored>()
  /** In the order of their last request. */
  readonly #clients = new Map<string, Client>()
  #evictedThrough = 0
  /** By index; the state before the first entry has 0. */
  readonly #digests: number[] = [0]
  readonly #statuses: (readonly ExpectedStatus[])[] = [[]]
  readonly #applied: AppliedRequest[] = []

  constructor(maxClients: number, readValue: ReadValue) {
    this.#maxClients = maxClients
    this.#readValue = readValue
  }

  get lastIndex(): LogIndex {
    return this.#digests.length - 1
  }

  /** The requests that took effect, for the checkers. */
  get requests(): readonly AppliedRequest[] {
    return this.#applied
  }

  /** The digest of the state after `index`; undefined when it is not committed. */
  digestAt(index: LogIndex): number | undefined {
    return this.#digests[index]
  }

  /** What must become of the requests in the entry at `index`. */
  statusesAt(index: LogIndex): readonly ExpectedStatus[] | undefined {
    return this.#statuses[index]
  }

  /** The newest state, bytes as latin1. */
  entries(): Map<string, string> {
    return new Map([...this.#state].map(([key, { value }]) => [key, value.toString('latin1')]))
  }

  /** Applies the next committed entry. */
  apply(entry: Entry): void {
    assert(entry.index === this.lastIndex + 1, 'the model is fed without a gap', {
      index: entry.index,
    })
    let digest = this.#digests[entry.index - 1]!
    const statuses: ExpectedStatus[] = []
    if (entry.kind === 'normal') {
      const data = Buffer.from(entry.data)
      visitRequests(data, (request, offset) => {
        const status = this.#admit(request, entry.index)
        statuses.push(status)
        if (status !== 'applied') return
        const start = offset + REQUEST_HEADER_BYTES
        digest = this.#carryOut(
          data,
          request,
          { index: entry.index, start, end: request.end },
          digest,
        )
      })
    }
    this.#digests.push(digest)
    this.#statuses.push(statuses)
  }

  #admit(request: RequestHeader, index: LogIndex): ExpectedStatus {
    const id = request.clientId.toString('hex')
    const { seq, floor, base } = request
    let client = this.#clients.get(id)
    if (client === undefined) {
      if (seq !== 1 || base < this.#evictedThrough) return 'expired'
      client = { lastSeq: 0, floor: 1, lastActive: index }
    } else {
      if (seq <= client.lastSeq) return seq < client.floor ? 'stale' : 'duplicate'
      if (seq > client.lastSeq + 1 || seq - Math.max(floor, client.floor) >= WINDOW) return 'gap'
    }
    client.lastSeq = seq
    client.floor = Math.max(client.floor, floor)
    client.lastActive = index
    this.#clients.delete(id)
    this.#clients.set(id, client)
    if (this.#clients.size > this.#maxClients) this.#evict()
    return 'applied'
  }

  #evict(): void {
    const [oldest] = this.#clients
    this.#clients.delete(oldest![0])
    this.#evictedThrough = oldest![1].lastActive
  }

  /** Applies the request's commands; the digest of the state they leave. */
  #carryOut(data: Buffer, request: RequestHeader, at: RequestSpan, digestBefore: number): number {
    let digest = digestBefore
    const { index } = at
    const commands = commandsOf(data.subarray(at.start, at.end), request.commandCount)
    for (const { key, value } of commands.flat()) {
      const name = key.toString('latin1')
      const hash = value === undefined ? 0 : digestOf(key, value, index)
      digest = (digest - (this.#state.get(name)?.hash ?? 0) + hash) >>> 0
      if (value === undefined) this.#state.delete(name)
      else this.#state.set(name, { value, hash })
    }
    this.#applied.push({
      index,
      client: request.clientId.toString('hex'),
      seq: request.seq,
      commands: commands.map((command) => command.map((change) => this.#readChange(change))),
    })
    return digest
  }

  #readChange({ key, value }: RawChange): Change {
    if (value === undefined) return { type: 'del', key: key.toString() }
    return { type: 'put', key: key.toString(), value: this.#readValue(value) }
  }
}

/** Where a request's commands lie in an entry's data. */
interface RequestSpan {
  readonly index: LogIndex
  readonly start: number
  readonly end: number
}

/** A put, or a delete when there is no value. */
interface RawChange {
  readonly key: Buffer
  readonly value: Buffer | undefined
}

/** Takes the commands of a request apart (layout: wire/command.ts), each the list of its changes. */
function commandsOf(bytes: Buffer, count: number): RawChange[][] {
  let at = 0
  const u32 = () => {
    at += 4
    return bytes.readUInt32LE(at - 4)
  }
  const take = (length: number) => {
    at += length
    return bytes.subarray(at - length, at)
  }
  const change = (): RawChange => {
    const kind = bytes[at++]
    assert(kind === 1 || kind === 2, 'the model knows the kind of command', { kind })
    if (kind === 2) return { key: take(u32()), value: undefined }
    u32()
    const [keyBytes, valueBytes] = [u32(), u32()]
    return { key: take(keyBytes), value: take(valueBytes) }
  }
  const commands = Array.from({ length: count }, () => {
    if (bytes[at] !== 3) return [change()]
    at++
    return Array.from({ length: u32() }, change)
  })
  assert(at === bytes.length, 'the model reads requests to their end')
  return commands
}
