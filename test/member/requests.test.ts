/** The leader's desk: who hears what of requests that travel together. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RequestOutcome } from '../../src/machine/sessions.js'
import type { AppliedEntry } from '../../src/machine/state-machine.js'
import { type Origin, Requests } from '../../src/member/requests.js'
import { type Dropped, NONE, type ProposedEntry } from '../../src/raft/types.js'
import type { Answer } from '../../src/wire/forward.js'
import { RequestWriter, visitRequests } from '../../src/wire/request.js'

const CLIENT = Buffer.from('client 8')

class Desk {
  readonly heard: string[] = []
  readonly entries: { readonly token: number; readonly entry: ProposedEntry }[] = []
  readonly requests: Requests = new Requests(1000, (node, answers) => {
    for (const answer of answers) this.heard.push(shown(node, answer))
  })
  readonly #propose = (token: number, entry: ProposedEntry): void => {
    this.entries.push({ token, entry })
  }

  add(origin: Origin, asks: 'appended' | 'nothing' = 'nothing'): void {
    const writer = new RequestWriter(0)
    writer.del(Buffer.from('a'))
    if (asks === 'appended') writer.askForAppended()
    this.requests.add(origin, writer.finish(CLIENT, origin.seq, 1, 0), this.#propose)
  }

  addOwn(): void {
    const writer = new RequestWriter(0)
    writer.add({ type: 'expire', keys: [], leases: [], detached: [] })
    this.requests.addOwn(writer.finish(Buffer.alloc(8), 1, 1, 0), this.#propose)
  }

  flush(): void {
    this.requests.flush(this.#propose)
  }
}

function shown(node: number, { link, seq, status, index, results }: Answer): string {
  const given = results.length > 0 ? ` ${[...results]}` : ''
  return `${node}/${link}/${seq} ${status}@${index}${given}`
}

function droppedOf(token: number): Dropped {
  return { token, why: 'notLeader', leader: NONE }
}

function origin(node: number, seq: number): Origin {
  return { node, link: 7, seq }
}

function applied(index: number, ...outcomes: Partial<RequestOutcome>[]): AppliedEntry {
  const nothing = { status: 'applied', index, term: 1, results: new Uint8Array(0) } as const
  const all = outcomes.map((each) => ({ ...nothing, ...each }))
  return { index, term: 1, outcomes: all, configuration: undefined, expiry: [], coded: [] }
}

test('only who asked hears that a request stands in the log, once, and all hear what became of it', () => {
  const desk = new Desk()
  desk.add(origin(1, 1), 'appended')
  desk.add(origin(2, 1))
  desk.add(origin(2, 2), 'appended')
  desk.flush()
  desk.requests.onProposed({ token: desk.entries[0]!.token, index: 5, term: 1, refused: undefined })
  assert.deepEqual(desk.heard.splice(0), ['1/7/1 appended@5', '2/7/2 appended@5'])
  desk.requests.onApplied([applied(5, {}, { results: Uint8Array.of(1, 0) }, { status: 'gap' })])
  assert.deepEqual(desk.heard, ['1/7/1 applied@5', '2/7/1 applied@5 1,0', '2/7/2 gap@5'])
})

test('a request that was asked about in one entry is not told of in the next', () => {
  const desk = new Desk()
  desk.add(origin(1, 1), 'appended')
  desk.flush()
  desk.add(origin(1, 2))
  desk.flush()
  for (const [i, { token }] of desk.entries.entries()) {
    desk.requests.onProposed({ token, index: 5 + i, term: 1, refused: undefined })
  }
  assert.deepEqual(desk.heard, ['1/7/1 appended@5'])
})

test("the leader's own requests travel with the others, and nobody is answered", () => {
  const desk = new Desk()
  desk.addOwn()
  desk.add(origin(1, 1))
  desk.addOwn()
  desk.flush()
  let packed = 0
  visitRequests(Buffer.from(desk.entries[0]!.entry.data), () => packed++)
  assert.equal(packed, 3)
  desk.requests.onProposed({ token: desk.entries[0]!.token, index: 5, term: 1, refused: undefined })
  desk.requests.onApplied([applied(5, {}, { results: Uint8Array.of(2) }, {})])
  assert.deepEqual(desk.heard, ['1/7/1 applied@5 2'])
  desk.addOwn()
  desk.flush()
  desk.requests.onDropped(droppedOf(desk.entries[1]!.token))
  assert.equal(desk.heard.length, 1)
})

test('an entry that was dropped, or applied in another term, tells nobody that it happened', () => {
  const desk = new Desk()
  desk.add(origin(1, 1), 'appended')
  desk.flush()
  desk.requests.onDropped(droppedOf(desk.entries[0]!.token))
  assert.deepEqual(desk.heard.splice(0), ['1/7/1 refused@0'])
  desk.add(origin(1, 2))
  desk.flush()
  desk.requests.onProposed({ token: desk.entries[1]!.token, index: 5, term: 1, refused: undefined })
  desk.requests.onApplied([{ ...applied(5, {}), term: 2 }])
  assert.deepEqual(desk.heard, [])
})
