import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { DecodeError } from '../../src/wire/command.js'
import {
  asMembershipAnswer,
  asMembershipRequest,
  CHANGES_MAX,
  type MembershipRequest,
} from '../../src/wire/membership.js'

const REQUESTS: readonly MembershipRequest[] = [
  { type: 'list', timeoutMs: 1 },
  { type: 'transfer', to: undefined, timeoutMs: Number.POSITIVE_INFINITY },
  { type: 'transfer', to: 'b', timeoutMs: 1 },
  {
    type: 'change',
    changes: [
      { kind: 'add', id: 'd', address: 'd:1' },
      { kind: 'move', id: 'a', address: 'a:2' },
      { kind: 'promote', id: 'b' },
      { kind: 'demote', id: 'c' },
      { kind: 'remove', id: 'e' },
    ],
    expectConfIndex: 7,
    catchUpMs: 0,
    isForced: false,
    timeoutMs: 5,
  },
]

test('every request passes as it is, without anything that was added to it', () => {
  for (const request of REQUESTS) {
    assert.deepEqual(asMembershipRequest({ ...request, more: 1 }), request)
  }
})

test('a request with a field missing, of another type or out of bounds is a DecodeError', () => {
  const change = REQUESTS[3]! as MembershipRequest & { type: 'change' }
  const wrong: unknown[] = [
    undefined,
    'list',
    {},
    { type: 'lits', timeoutMs: 1 },
    { type: 'list' },
    { type: 'list', timeoutMs: -1 },
    { type: 'list', timeoutMs: Number.NaN },
    { type: 'transfer', to: 7, timeoutMs: 1 },
    { ...change, changes: [] },
    { ...change, changes: Array.from({ length: CHANGES_MAX + 1 }, () => change.changes[0]) },
    { ...change, changes: [{ kind: 'add', id: 'd' }] },
    { ...change, changes: [{ kind: 'destroy', id: 'd' }] },
    { ...change, expectConfIndex: '7' },
  ]
  for (const value of wrong) {
    assert.throws(() => asMembershipRequest(value), DecodeError, JSON.stringify(value))
  }
})

test('answers are checked by the type of the question', () => {
  const list = {
    confIndex: 3,
    leader: 'a',
    isJoint: false,
    members: [
      {
        id: 'a',
        address: undefined,
        as: 'voter',
        isLeader: true,
        isUp: true,
        matchIndex: 9,
        lag: 0,
      },
    ],
  }
  assert.deepEqual(asMembershipAnswer('list', list), list)
  assert.deepEqual(asMembershipAnswer('change', { confIndex: 3 }), { confIndex: 3 })
  assert.deepEqual(asMembershipAnswer('transfer', { leader: 'b' }), { leader: 'b' })
  assert.throws(() => asMembershipAnswer('list', { confIndex: 3 }), DecodeError)
  assert.throws(() => asMembershipAnswer('change', list.members), DecodeError)
  fc.assert(
    fc.property(fc.anything(), (value) => {
      for (const type of ['list', 'change', 'transfer'] as const) {
        try {
          asMembershipAnswer(type, value)
        } catch (error) {
          if (!(error instanceof DecodeError)) throw error
        }
      }
    }),
  )
})
