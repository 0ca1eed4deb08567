import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Outcome, StoreError, type StoreErrorCode } from '../../src/base/errors.js'
import { Members, type MembershipBackend } from '../../src/store/members.js'
import type { MembershipAnswer, MembershipRequest } from '../../src/wire/membership.js'

/** A leader of the members a and b that loses answers when told to. */
class Leader implements MembershipBackend {
  confIndex = 5
  readonly parts = new Map<string, 'voter' | 'learner'>([
    ['a', 'voter'],
    ['b', 'voter'],
  ])
  readonly asked: string[] = []
  /** What the next changes and transfers end with, and whether they happen all the same. */
  readonly failures: { code: StoreErrorCode; outcome: Outcome; happens: boolean }[] = []
  leader = 'a'

  now(): number {
    return 0
  }

  async askMembership(request: MembershipRequest): Promise<MembershipAnswer> {
    if (request.type === 'list') return this.#list()
    const failure = this.failures.shift()
    if (failure?.happens !== false) this.#carryOut(request)
    if (failure !== undefined) {
      throw new StoreError(failure.code, 'told to fail', { outcome: failure.outcome })
    }
    return request.type === 'change' ? { confIndex: this.confIndex } : { leader: this.leader }
  }

  #carryOut(request: MembershipRequest): void {
    if (request.type === 'transfer') this.leader = request.to ?? 'b'
    if (request.type !== 'change') return
    if (request.expectConfIndex !== this.confIndex) {
      throw new StoreError('QUORATE_CONF_CHANGED', 'changed')
    }
    for (const { kind, id } of request.changes) {
      this.asked.push(`${kind} ${id}`)
      if (kind === 'remove') this.parts.delete(id)
      else this.parts.set(id, kind === 'promote' ? 'voter' : 'learner')
    }
    this.confIndex++
  }

  #list(): MembershipAnswer {
    const members = [...this.parts].map(([id, as]) => ({
      id,
      address: `${id}:1`,
      as,
      isLeader: id === this.leader,
      isUp: true,
      matchIndex: 9,
      lag: 0,
    }))
    return { confIndex: this.confIndex, leader: this.leader, isJoint: false, members }
  }
}

const LOST = { code: 'QUORATE_NO_LEADER', outcome: 'unknown' } as const

test('a voter is added as a learner and then promoted', async () => {
  const leader = new Leader()
  assert.deepEqual(await new Members(leader).add('c', 'c:1'), { confIndex: 7 })
  assert.deepEqual(leader.asked, ['add c', 'promote c'])
})

test('a change whose answer was lost is asked for again only when it did not happen', async () => {
  for (const happens of [true, false]) {
    const leader = new Leader()
    leader.failures.push({ ...LOST, happens })
    await new Members(leader).remove('b')
    assert.deepEqual(leader.asked, ['remove b'])
  }
})

test('a transfer whose answer was lost is believed when another member leads', async () => {
  const leader = new Leader()
  leader.failures.push({ ...LOST, happens: true }, { ...LOST, happens: false })
  assert.equal(await new Members(leader).transferLeadership('b'), 'b')
  await assert.rejects(new Members(leader).transferLeadership('a'), LOST)
})

test('a change of the members meanwhile is no obstacle, unless the caller bound it to what was seen', async () => {
  const leader = new Leader()
  const changed = { code: 'QUORATE_CONF_CHANGED', outcome: 'none', happens: false } as const
  leader.failures.push(changed)
  await new Members(leader).demote('b')
  leader.failures.push(changed)
  const bound = new Members(leader).promote('b', { expectConfIndex: leader.confIndex })
  await assert.rejects(bound, { code: 'QUORATE_CONF_CHANGED' })
})

test('a failure after the first of two steps says that something happened', async () => {
  const leader = new Leader()
  const behind = { code: 'QUORATE_NOT_READY', outcome: 'none' } as const
  const step = { code: 'QUORATE_NOT_READY' as const, outcome: 'none' as const, happens: false }
  const members = new Members({
    now: () => 0,
    askMembership: (request) => {
      const isSecond = request.type === 'change' && request.changes[0]?.kind === 'promote'
      if (isSecond) leader.failures.push(step)
      return leader.askMembership(request)
    },
  })
  for (const call of [
    () => members.add('c', 'c:1'),
    () => members.replace([{ remove: 'b', add: { id: 'd', address: 'd:1' } }]),
  ]) {
    await assert.rejects(call(), { code: behind.code, outcome: 'committed' })
  }
  assert.deepEqual(leader.asked, ['add c', 'add d'])
})

test('misuse is a TypeError or RangeError, and nobody is asked', async () => {
  const leader = new Leader()
  const members = new Members(leader)
  await assert.rejects(members.add('not a name', 'c:1'), RangeError)
  await assert.rejects(members.add('c', 'nowhere'), TypeError)
  await assert.rejects(members.add('c', 'c:1', { as: 'votre' as 'voter' }), TypeError)
  await assert.rejects(members.add('c', 'c:1', { timeout: 1 } as object), TypeError)
  await assert.rejects(members.remove(7 as unknown as string), TypeError)
  await assert.rejects(members.remove('b', { timeoutMs: 0 }), RangeError)
  await assert.rejects(members.remove('b', { expectConfIndex: 1.5 }), TypeError)
  await assert.rejects(members.replace([]), TypeError)
  const itself = { remove: 'd', add: { id: 'd', address: 'd:1' } }
  await assert.rejects(members.replace([itself]), RangeError)
  await assert.rejects(members.transferLeadership('not a name'), RangeError)
  assert.deepEqual(leader.asked, [])
})

test('an aborted call is not made', async () => {
  const leader = new Leader()
  const aborted = AbortSignal.abort('reason')
  await assert.rejects(new Members(leader).remove('b', { signal: aborted }), { name: 'AbortError' })
  assert.deepEqual(leader.asked, [])
})
