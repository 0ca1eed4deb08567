import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { AIMS, type Aim, judge } from '../../bench/compare-aims.js'
import type { Measured } from '../../bench/compare-cases.js'
import { connectRedis } from '../../bench/peer-systems.js'

const FASTER: Aim = {
  name: 'put',
  comparedWith: 'other',
  measured: 'ours',
  of: 'theirs',
  figure: 'perSecond',
  sense: 'at least',
  bound: 2,
}

function loop(perSecond: number): Measured {
  return { perSecond, p50Us: perSecond / 4, p99Us: Number.NaN }
}

test('ratios are taken run by run, and not at all where a side is missing', () => {
  const runs = new Map([
    ['ours', [loop(100), loop(300)]],
    ['theirs', [loop(50), loop(100)]],
  ])
  assert.deepEqual(judge(FASTER, runs), [2, 3])
  assert.deepEqual(judge({ ...FASTER, figure: 'p50Us' }, runs), [2, 3])
  assert.equal(judge({ ...FASTER, of: 'nobody' }, runs), undefined)
  assert.equal(judge({ ...FASTER, measured: 'nobody' }, runs), undefined)
  const values = new Map([['ours', [{ value: 7 }]]])
  assert.deepEqual(judge({ ...FASTER, of: undefined, figure: 'value' }, values), [7])
})

test('no two aims are about the same pair', () => {
  const pairs = AIMS.map(({ measured, of }) => `${measured} / ${of}`)
  assert.equal(new Set(pairs).size, pairs.length)
})

test('replies of Redis are told apart however the stream is cut', async () => {
  const replies = Buffer.from('+OK\r\n$5\r\na\r\nbc\r\n$-1\r\n-ERR no\r\n$0\r\n\r\n')
  const server = createServer((socket) => {
    socket.once('data', () => {
      for (const byte of replies) socket.write(Buffer.of(byte))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  const redis = await connectRedis(address.port)
  const outcomes = await Promise.allSettled([
    redis.put('key', Buffer.from('value')),
    redis.get('a'),
    redis.get('b'),
    redis.get('c'),
    redis.get('d'),
  ])
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'fulfilled', 'rejected', 'fulfilled'],
  )
  await redis.close()
  server.close()
})
