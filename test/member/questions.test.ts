import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StoreError } from '../../src/base/errors.js'
import { type QuestionRoute, Questions } from '../../src/member/questions.js'
import { SimTime } from '../../src/sim/sim-time.js'
import { SimWorld } from '../../src/sim/world.js'
import type { MembershipAnswer, MembershipRequest } from '../../src/wire/membership.js'

const LEADER = 2
const ANSWER = { confIndex: 7 }
const CHANGE: MembershipRequest = {
  type: 'change',
  changes: [{ kind: 'remove', id: 'b' }],
  expectConfIndex: 3,
  catchUpMs: 0,
  isForced: false,
  timeoutMs: 1000,
}

/** Questions on a route that the test plays. */
class Desk implements QuestionRoute {
  readonly world = new SimWorld(1)
  readonly questions = new Questions(new SimTime(this.world), this, 40)
  readonly sent: number[] = []
  isReady = true
  isLost = false
  here: Promise<MembershipAnswer> | undefined

  answerHere(): Promise<MembershipAnswer> | undefined {
    return this.here
  }

  send(id: number): number | undefined {
    if (this.isLost) return undefined
    this.sent.push(id)
    return LEADER
  }

  ask(): Promise<MembershipAnswer | string> {
    return this.questions.ask(CHANGE, undefined).catch((error: unknown) => {
      assert.ok(error instanceof StoreError)
      return `${error.code} ${error.outcome}`
    })
  }

  async pass(ms: number): Promise<void> {
    await this.world.advance(ms)
    this.questions.tick(this.world.now)
  }
}

const notLeading = { code: 'QUORATE_NO_LEADER', message: 'no', outcome: 'none' as const }

test('a question waits for a leader, and is answered by whom it was sent to and by nobody else', async () => {
  const desk = new Desk()
  desk.isReady = false
  const asked = desk.ask()
  await desk.pass(100)
  assert.deepEqual(desk.sent, [])
  desk.isReady = true
  desk.questions.reset()
  assert.deepEqual(desk.sent, [40])
  desk.questions.onReply(3, 40, { ok: { confIndex: 6 } })
  desk.questions.onReply(LEADER, 41, { ok: { confIndex: 6 } })
  desk.questions.onReply(LEADER, 40, { ok: ANSWER })
  assert.deepEqual(await asked, ANSWER)
})

test('one that was asked of somebody who does not lead is asked again, as nothing happened', async () => {
  const desk = new Desk()
  const asked = desk.ask()
  desk.questions.onReply(LEADER, 40, { error: notLeading })
  await desk.pass(50)
  assert.deepEqual(desk.sent, [40, 40])
  desk.questions.onReply(LEADER, 40, { ok: ANSWER })
  assert.deepEqual(await asked, ANSWER)
})

test('one that could not be sent is sent with the next tick', async () => {
  const desk = new Desk()
  desk.isLost = true
  const asked = desk.ask()
  desk.isLost = false
  await desk.pass(50)
  desk.questions.onReply(LEADER, 40, { ok: ANSWER })
  assert.deepEqual(await asked, ANSWER)
})

test('one whose answer may be lost is not asked again: its outcome is unknown', async () => {
  const desk = new Desk()
  const asked = desk.ask()
  desk.questions.reset()
  assert.equal(await asked, 'QUORATE_NO_LEADER unknown')
  assert.deepEqual(desk.sent, [40])
})

test('time that runs out says whether anything was sent', async () => {
  const sent = new Desk()
  const unsent = new Desk()
  unsent.isReady = false
  const outcomes = Promise.all([sent.ask(), unsent.ask()])
  for (const desk of [sent, unsent]) await desk.pass(1000)
  assert.deepEqual(await outcomes, ['QUORATE_TIMEOUT unknown', 'QUORATE_NO_LEADER none'])
})

test('answers of this member itself are not lost when the way changes', async () => {
  const desk = new Desk()
  let settle: (answer: MembershipAnswer) => void = () => {}
  desk.here = new Promise((resolve) => {
    settle = resolve
  })
  const asked = desk.ask()
  desk.questions.reset()
  settle(ANSWER)
  assert.deepEqual(await asked, ANSWER)
})

test('at most 256 questions wait; the end answers them all', async () => {
  const desk = new Desk()
  desk.isReady = false
  const asked = Array.from({ length: 257 }, () => desk.ask())
  assert.equal(await asked[256], 'QUORATE_OVERLOADED none')
  desk.questions.end(new StoreError('QUORATE_NOT_OPEN', 'closed'))
  assert.deepEqual(
    new Set(await Promise.all(asked.slice(0, 256))),
    new Set(['QUORATE_NOT_OPEN none']),
  )
})
