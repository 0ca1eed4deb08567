import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type OpenOptions,
  resolveMemberOptions,
  resolveSettings,
} from '../../src/store/open-options.js'

function resolve(options: unknown): void {
  resolveSettings(options as OpenOptions)
  resolveMemberOptions(options as OpenOptions)
}

const misuse: readonly [title: string, options: unknown, error: RegExp][] = [
  ['no options', undefined, /TypeError.*options object/],
  ['no dir', {}, /TypeError.*dir is a string/],
  ['an empty dir', { dir: '' }, /RangeError.*dir/],
  ['an unknown option', { dir: 'd', lvel: 1 }, /TypeError.*no option lvel/],
  ['an unknown level', { dir: 'd', consistency: 'strnog' }, /TypeError.*strong, session, eventual/],
  ['an unknown encoding', { dir: 'd', valueEncoding: 'xml' }, /TypeError.*valueEncoding/],
  ['a timeout of 0', { dir: 'd', timeoutMs: 0 }, /RangeError.*timeoutMs/],
  ['members without id', { dir: 'd', members: { a: '127.0.0.1:1' } }, /TypeError.*id is required/],
  ['members without self', { dir: 'd', id: 'b', members: { a: 'x:1' } }, /RangeError.*this member/],
  ['a member id with a slash', { dir: 'd', id: 'a/b' }, /RangeError.*member id/],
  [
    'an address that is no text',
    { dir: 'd', id: 'a', members: { a: 7 } },
    /TypeError.*address of a/,
  ],
  ['a short secret', { dir: 'd', secret: 'short' }, /RangeError.*16 bytes/],
  ['an unknown limit', { dir: 'd', limits: { maxFoo: 1 } }, /TypeError.*maxFoo/],
  [
    'a limit out of bounds',
    { dir: 'd', limits: { maxValueBytes: 1 << 30 } },
    /RangeError.*16777216/,
  ],
  [
    'a queue for less than a frame',
    { dir: 'd', limits: { maxQueuedBytes: 4096 } },
    /maxQueuedBytes/,
  ],
  ['a limit that is no number', { dir: 'd', storage: { segmentBytes: '1' } }, /TypeError.*number/],
  ['storage that is a number', { dir: 'd', storage: 7 }, /TypeError.*object/],
  ['an archive that is no folder', { dir: 'd', storage: { archive: 7 } }, /TypeError.*archive/],
  [
    'a heartbeat slower than half an election',
    { dir: 'd', timing: { heartbeatMs: 900 } },
    /RangeErr/,
  ],
]

for (const [title, options, error] of misuse) {
  test(`${title} is refused with a TypeError or RangeError that says what is wrong`, () => {
    assert.throws(
      () => resolve(options),
      (thrown) => error.test(String(thrown)),
    )
  })
}

test('options that are left out get their documented defaults', () => {
  const settings = resolveSettings({ dir: 'd' })
  assert.equal(settings.consistency, 'strong')
  assert.equal(settings.valueEncoding, 'msgpack')
  assert.equal(settings.timeoutMs, 5000)
  const { timing, limits } = resolveMemberOptions({ dir: 'd' })
  assert.ok(timing.electionMs >= 10 * timing.heartbeatMs, 'a lost heartbeat or two is no election')
  assert.equal(limits.maxValueBytes, 1 << 20)
})
