import assert from 'node:assert/strict'
import { test } from 'node:test'
import { describeChecks, hasPassed, liveChecks, readyChecks } from '../../src/cli/health.js'
import type { MemberStatus, MemberView } from '../../src/index.js'

/** `a+* b+ c-`: up or down, the leader with a star; the first is this member. */
function members(text: string): MemberView[] {
  return text.split(' ').map((word, i) => ({
    id: word[0]!,
    address: undefined,
    as: 'voter',
    isSelf: i === 0,
    isLeader: word.endsWith('*'),
    isUp: word[1] === '+',
    matchIndex: undefined,
    lag: undefined,
  }))
}

/** What the checks look at; the rest of a status they do not know. */
function status(text: string, more: Partial<MemberStatus> = {}): MemberStatus {
  const views = members(text)
  const leader = views.find(({ isLeader }) => isLeader)?.id
  const looked: Partial<MemberStatus> = {
    id: 'a',
    role: leader === 'a' ? 'leader' : 'follower',
    standing: 'voter',
    leader,
    members: views,
    snapshots: { installed: 0, sent: 0, sending: [], rebuilding: undefined, receiving: undefined },
    space: { freeBytes: 1, isLow: false, refusesWrites: false },
    words: ['a follows b.'],
    ...more,
  }
  return looked as MemberStatus
}

function failures(of: MemberStatus): string[] {
  return readyChecks(of).flatMap(({ name, failure }) => (failure === undefined ? [] : [name]))
}

test('a member is ready when a leader is known, with whom a majority goes', () => {
  assert.deepEqual(failures(status('a+* b+ c-')), [])
  assert.deepEqual(failures(status('a+* b- c-')), ['quorum'])
  assert.deepEqual(failures(status('a+ b+* c-')), [])
  assert.deepEqual(failures(status('a+ b+ c+')), ['leader'])
  assert.deepEqual(failures(status('a+ b- c-')), ['leader', 'quorum'])
})

test('a follower of five trusts a leader whom it reaches, and nobody else', () => {
  assert.deepEqual(failures(status('a+ b+* c- d- e-')), [])
  assert.deepEqual(failures(status('a+ b-* c- d- e-')), ['quorum'])
})

test('a member that has no vote, no state or no room is not ready, but lives', () => {
  const rebuilding = { snapshots: { ...status('a+*').snapshots, rebuilding: 'it was damaged' } }
  const full = { space: { freeBytes: 1, isLow: true, refusesWrites: true } }
  const cases: [Partial<MemberStatus>, string][] = [
    [{ standing: 'joining' }, 'membership'],
    [{ standing: 'removed' }, 'membership'],
    [rebuilding, 'state'],
    [full, 'disk'],
  ]
  for (const [more, name] of cases) {
    assert.deepEqual(failures(status('a+* b+ c+', more)), [name])
    assert.ok(hasPassed(liveChecks(status('a+* b+ c+', more))))
  }
})

test('a member that has stopped does not live, and says why', () => {
  const stopped = status('a+ b+ c+', { role: 'stopped', words: ['a has stopped: no disk.'] })
  assert.equal(
    describeChecks(liveChecks(stopped)),
    '[-]member failed: a has stopped: no disk.\nfailed\n',
  )
})

test('each check is a line', () => {
  assert.equal(
    describeChecks(readyChecks(status('a+* b- c-'))),
    [
      '[+]member ok',
      '[+]membership ok',
      '[+]leader ok',
      '[-]quorum failed: 1 of 3 voters reachable, 2 needed',
      '[+]state ok',
      '[+]disk ok',
      'failed',
      '',
    ].join('\n'),
  )
})
