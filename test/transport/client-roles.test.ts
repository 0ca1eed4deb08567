/** Who a client is and what it may do. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EMPTY } from '../../src/base/bytes.js'
import { type ClientRule, mayAct, proveClient } from '../../src/transport/client-roles.js'
import { proofOf } from '../../src/transport/session-key.js'
import { CLIENT_ROLES } from '../../src/wire/client-news.js'
import { hasCode } from '../member/membership-fixture.js'
import { SECRET } from './lab.js'

const transcript = { hello: Buffer.from('hello'), challenge: Buffer.from('challenge') }
const own = Buffer.from('the secret of one reader')
const strange = Buffer.from('a secret that nobody knows')
const byName = (name: string, role: ClientRule['role']): ClientRule => {
  return { name, secret: undefined, role }
}
const clients: readonly ClientRule[] = [
  byName('app', 'write'),
  { name: undefined, secret: own, role: 'read' },
  byName('ops', 'admin'),
]

/** The role of who proves `secret` and shows a certificate with `names`. */
function roleOf(
  secret: Uint8Array | undefined,
  names: readonly string[] | undefined,
  rules: Parameters<typeof proveClient>[0],
): string {
  const proof = secret === undefined ? EMPTY : proofOf('dialer', secret, transcript)
  return proveClient(rules, names, transcript, proof).role
}

test('without rules everybody who comes in is an admin', () => {
  assert.equal(roleOf(undefined, undefined, { secret: undefined, clients: undefined }), 'admin')
  assert.equal(roleOf(SECRET, undefined, { secret: SECRET, clients: undefined }), 'admin')
  assert.equal(roleOf(undefined, ['x'], { secret: undefined, clients: undefined }), 'admin')
})

test('a role is that of the secret proven, or of a name in the certificate', () => {
  const rules = { secret: SECRET, clients }
  assert.equal(roleOf(own, undefined, rules), 'read')
  assert.equal(roleOf(own, ['ops'], rules), 'read', 'the own secret comes first')
  assert.equal(roleOf(SECRET, ['app'], rules), 'write')
  assert.equal(roleOf(SECRET, ['host-7', 'ops'], rules), 'admin')
  assert.equal(roleOf(undefined, ['app'], { secret: undefined, clients }), 'write')
})

test('who has the members’ secret and no certificate is an admin: it could pose as a member', () => {
  assert.equal(roleOf(SECRET, undefined, { secret: SECRET, clients }), 'admin')
})

test('any other certificate may only ask to join, and whoever proves nothing is refused', () => {
  assert.equal(roleOf(undefined, ['stranger'], { secret: undefined, clients }), 'join')
  assert.equal(roleOf(SECRET, [], { secret: SECRET, clients }), 'join')
  for (const [secret, rules] of [
    [strange, { secret: SECRET, clients }],
    [undefined, { secret: SECRET, clients }],
    [strange, { secret: undefined, clients }],
    [undefined, { secret: undefined, clients }],
    [SECRET, { secret: undefined, clients: undefined }],
  ] as const) {
    assert.throws(() => roleOf(secret, undefined, rules), hasCode('QUORATE_UNAUTHORIZED'))
  }
})

test('each role may what those before it may, and no more', () => {
  CLIENT_ROLES.forEach((role, i) => {
    CLIENT_ROLES.forEach((least, j) => {
      assert.equal(mayAct(role, least), i >= j, `${role} where ${least} is needed`)
    })
  })
})
