/** The bytes of a log entry: what is written is read, and nothing else is believed. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { type Command, DecodeError, hasResult, KEY_BYTES_MAX } from '../../src/wire/command.js'
import { commandBytes } from '../../src/wire/command-bytes.js'
import {
  packEntry,
  REQUEST_HEADER_BYTES,
  RESULTS_MAX,
  RequestWriter,
  readCommands,
  renumberRequest,
  visitCommands,
  visitRequests,
} from '../../src/wire/request.js'
import { validateRequest } from '../../src/wire/validate-request.js'
import { anyCommand, LEASE, plainCommand } from './command-arbitraries.js'
import { putCoded } from './manifest-fixture.js'

const CLIENT = Buffer.from('client 8')
const VALUE_MAX = 1000
const MANIFEST_MAX = 500

function write(commands: readonly Command[], capacity = 0): RequestWriter {
  const writer = new RequestWriter(capacity)
  for (const command of commands) writer.add(command)
  return writer
}

function requestOf(...commands: Command[]): Buffer {
  return write(commands).finish(CLIENT, 7, 3, 5)
}

function writing(...operations: (Command & { type: 'write' })['operations']): Command {
  return { type: 'write', operations }
}

/** The commands of an entry's data, request by request; the checksums are checked on the way. */
function read(data: Buffer): unknown[][] {
  const requests: unknown[][] = []
  visitRequests(data, (header, offset) => {
    requests.push([...readCommands(data, offset, header)].map(plainly))
  })
  return requests
}

/** Buffers instead of whatever bytes, and checksums checked and left out. */
function plainly(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (Array.isArray(value)) return value.map(plainly)
  if (typeof value !== 'object' || value === null) return value
  const { checksum, ...rest } = value as Record<string, unknown>
  if (checksum !== undefined) {
    const { key, value: stored } = rest as { key: Uint8Array; value: Uint8Array }
    assert.equal(checksum, crc32(stored, crc32(key)))
  }
  return Object.fromEntries(Object.entries(rest).map(([name, each]) => [name, plainly(each)]))
}

const request = fc.array(anyCommand, { maxLength: 5 })

test('what is written is read, whatever the first guess of the size', () => {
  fc.assert(
    fc.property(fc.array(request, { maxLength: 4 }), fc.nat(2000), (requests, capacity) => {
      const data = packEntry(requests.map((r, i) => write(r, capacity).finish(CLIENT, i + 1, 1, 0)))
      assert.deepEqual(read(data), requests.map(plainly))
    }),
  )
})

test("the leader's own commands are read as they were written", () => {
  const forget = { type: 'forget', keys: [k, Buffer.from('other')] } as const
  const retained = { type: 'retained', index: 2 ** 40, root: LEASE } as const
  const own = [respread, forget, expire, { type: 'retain', dataShards: 3 }, retained] as const
  assert.deepEqual(read(packEntry([requestOf(...own)])), [own.map(plainly)])
  assert.equal(write(own).resultCount, 0)
  const expiring = { ...coded, expiry: { type: 'ttl', ttlMs: 5 } } as const
  assert.throws(() => requestOf({ ...respread, put: expiring }), DecodeError)
})

test('a visitor of plain commands is told what a reader of objects reads', () => {
  fc.assert(
    fc.property(fc.array(plainCommand, { maxLength: 5 }), (commands) => {
      const data = packEntry([requestOf(...commands)])
      const visited: unknown[] = []
      visitRequests(data, (header, offset) => {
        assert.equal(header.readsState, false)
        visitCommands(data, offset, header, {
          put(key, value, checksum, ttlMs) {
            const expiry = ttlMs === 0 ? undefined : { type: 'ttl', ttlMs }
            visited.push(plainly({ type: 'put', key, value, checksum, ...(expiry && { expiry }) }))
          },
          del: (key) => visited.push(plainly({ type: 'del', key })),
        })
      })
      const flat = commands.flatMap((command) =>
        command.type === 'write' ? command.operations : [],
      )
      assert.deepEqual(visited, flat.map(plainly))
    }),
  )
})

test('a request knows whether a command of it depends on the state, and how many have a result', () => {
  fc.assert(
    fc.property(request, (commands) => {
      const writer = write(commands)
      const isPlain = (command: Command) => command.type === 'write' && !hasResult(command)
      assert.equal(writer.resultCount, commands.filter(hasResult).length)
      const header = validateRequest(writer.finish(CLIENT, 1, 1, 0), VALUE_MAX, MANIFEST_MAX)
      assert.equal(header.readsState, !commands.every(isPlain))
    }),
  )
})

test('the header is read as it was written, up to the largest safe integer', () => {
  const number = fc.maxSafeNat().map((n) => Math.max(1, n))
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 8, maxLength: 8 }),
      number,
      number,
      number,
      (id, ...n) => {
        const [floor, seq] = [Math.min(n[0]!, n[1]!), Math.max(n[0]!, n[1]!)]
        fc.pre(id.some((byte) => byte !== 0))
        const bytes = write([writing(), writing()]).finish(id, seq, floor, n[2]!)
        const { clientId, ...numbers } = validateRequest(bytes, VALUE_MAX, MANIFEST_MAX)
        assert.deepEqual(Buffer.from(clientId), Buffer.from(id))
        const [base, end] = [n[2], bytes.length]
        assert.deepEqual(numbers, { seq, floor, base, commandCount: 2, readsState: false, end })
      },
    ),
  )
})

test('the bytes and commands of a request are known before it is finished', () => {
  fc.assert(
    fc.property(request, (commands) => {
      const writer = write(commands)
      const bytes = commands.reduce((sum, c) => sum + commandBytes(c), REQUEST_HEADER_BYTES)
      assert.equal(writer.bytes, bytes)
      assert.equal(writer.commandCount, commands.length)
      assert.equal(writer.finish(CLIENT, 1, 1, 0).length, bytes)
    }),
  )
})

test('a renumbered request has another header and the same commands', () => {
  const bytes = requestOf(writing({ type: 'del', key: Buffer.from('a') }))
  const before = Buffer.from(bytes)
  const other = renumberRequest(bytes, Buffer.from('another8'), 9, 8, 6)
  const { clientId, seq, floor, base } = validateRequest(other, VALUE_MAX, MANIFEST_MAX)
  assert.deepEqual([clientId.toString(), seq, floor, base], ['another8', 9, 8, 6])
  assert.deepEqual(read(packEntry([other])), read(packEntry([bytes])))
  assert.deepEqual(bytes, before)
})

test('a command copied from one writer to another is the same command', () => {
  fc.assert(
    fc.property(request, anyCommand, (commands, copied) => {
      const source = write(commands)
      const start = source.bytes
      source.add(copied)
      const target = write(commands)
      target.copy(source.view(start, source.bytes))
      assert.equal(target.resultCount, source.resultCount)
      assert.deepEqual(target.finish(CLIENT, 1, 1, 0), source.finish(CLIENT, 1, 1, 0))
    }),
  )
})

test('an entry without data has no requests', () => {
  assert.deepEqual(read(Buffer.alloc(0)), [])
  assert.deepEqual(read(packEntry([])), [])
})

test('an entry of an unknown version is refused', () => {
  const data = packEntry([requestOf()])
  data[0] = 3
  assert.throws(() => read(data), DecodeError)
})

const k = Buffer.from('key')
const NONE = Buffer.alloc(0)
const del: Command = writing({ type: 'del', key: k })
const two: Command = writing({ type: 'del', key: k }, { type: 'del', key: k })
const EVERYTHING = { gte: NONE } as const
const AT = REQUEST_HEADER_BYTES
const refused: readonly [title: string, bytes: () => Buffer][] = [
  ['an empty key', () => requestOf(writing({ type: 'put', key: NONE, value: k }))],
  ['an empty key to delete', () => requestOf(writing({ type: 'del', key: NONE }))],
  [
    'a key over the limit',
    () => requestOf(writing({ type: 'del', key: Buffer.alloc(KEY_BYTES_MAX + 1) })),
  ],
  [
    'a value over the limit',
    () => requestOf(writing({ type: 'put', key: k, value: Buffer.alloc(VALUE_MAX + 1) })),
  ],
  [
    'a value over the limit in a compare',
    () => requestOf(txnIf({ type: 'value', key: k, value: Buffer.alloc(VALUE_MAX + 1) })),
  ],
  ['an empty key in a compare', () => requestOf(txnIf({ type: 'exists', key: NONE }))],
  [
    'a bound over the limit',
    () => requestOf(txnIf({ type: 'empty', range: { gt: Buffer.alloc(KEY_BYTES_MAX + 1) } })),
  ],
  ['a wrong checksum in a branch', () => changed(requestOf(txnIf()), AT + 14, 1)],
  ['a seq of 0', () => write([]).finish(CLIENT, 0, 0, 0)],
  ['a floor of 0', () => write([]).finish(CLIENT, 1, 0, 0)],
  ['a floor above seq', () => write([]).finish(CLIENT, 1, 2, 0)],
  ['bytes after the request', () => Buffer.concat([requestOf(), Buffer.of(0)])],
  ['a number beyond the safe integers', () => changed(requestOf(), 35, 0xff)],
  ['an unknown flag', () => changed(requestOf(), 40, 4)],
  ['a hidden command that reads', () => changed(requestOf(txnIf()), 40, 0)],
  ['nothing that reads, though it says so', () => changed(requestOf(del), 40, 1)],
  ['an unknown command', () => changed(requestOf(del), AT, 18)],
  ['an unknown command among those that read', () => changed(requestOf(txnIf()), AT, 18)],
  ['an unknown compare', () => changed(requestOf(txnIf({ type: 'exists', key: k })), AT + 13, 6)],
  ['a time to live of 0', () => changed(requestOf(mortal), AT + 13, 0)],
  ['fewer commands than counted', () => changed(requestOf(), 36, 1)],
  ['more commands than counted', () => changed(requestOf(del), 36, 0)],
  ['a batch in a batch', () => changed(requestOf(two), AT + 5, 3)],
  ['a clear in a plain batch', () => changed(requestOf(two), AT + 5, 6)],
  ['a batch that counts too many', () => changed(requestOf(writing()), AT + 1, 1)],
  ['an unknown flag of a range', () => changed(requestOf(clear), AT + 1, 8)],
  ['both no upper bound and one', () => changed(requestOf(clear), AT + 1, 6)],
  ['an unknown order', () => changed(requestOf(clear), AT + 10, 2)],
  ['what only the leader may ask for', () => requestOf(expire)],
  ['shards in the place of others', () => requestOf(respread)],
  ['a key to be forgotten', () => requestOf({ type: 'forget', keys: [k] })],
  ['a coded value that is no manifest', () => requestOf(writing({ ...coded, value: k }))],
  ['a manifest over the limit', () => requestOf(writing(putCoded('k', { parts: MANY_PARTS })))],
  ['a wrong checksum of a manifest', () => changed(requestOf(writing(coded)), AT + 1, 1)],
  ['a manifest of another version', () => requestOf(writing({ ...coded, value: newer }))],
  ["the leader's client id", () => write([]).finish(Buffer.alloc(8), 1, 1, 0)],
  ['more results than a request may have', () => repeated(grant, RESULTS_MAX + 1)],
]
const mortal: Command = writing({
  type: 'put',
  key: k,
  value: k,
  expiry: { type: 'ttl', ttlMs: 200 },
})
const clear: Command = writing({
  type: 'clear',
  range: EVERYTHING,
  reverse: false,
  limit: Number.POSITIVE_INFINITY,
})
const coded = putCoded('key')
const newer = changed(Buffer.from(coded.value), 0, 2)
const MANY_PARTS = Array.from({ length: 7 }, () => ({}))
const respread: Command & { type: 'respread' } = {
  type: 'respread',
  expected: { term: 1, proposer: 1, seq: 1 },
  put: coded,
}
const grant: Command = { type: 'grant', lease: LEASE, ttlMs: 1 }
const expire: Command = { type: 'expire', keys: [], leases: [], detached: [] }

function txnIf(...compares: (Command & { type: 'txn' })['compares']): Command {
  return { type: 'txn', compares, then: [{ type: 'put', key: k, value: k }], else: [] }
}

/** What no writer makes: the same command over and over. */
function repeated(command: Command, count: number): Buffer {
  const one = requestOf(command)
  const bytes = one.subarray(AT)
  const all = Buffer.concat([one.subarray(0, AT), ...Array.from({ length: count }, () => bytes)])
  all.writeUInt32LE(all.length - 4, 0)
  all.writeUInt32LE(count, 36)
  return all
}

function changed(bytes: Buffer, at: number, byte: number): Buffer {
  bytes[at] = byte
  return bytes
}

for (const [title, bytes] of refused) {
  test(`a request with ${title} is refused`, () => {
    assert.throws(() => validateRequest(bytes(), VALUE_MAX, MANIFEST_MAX), DecodeError)
  })
}

test('limits are inclusive', () => {
  const bytes = requestOf(
    writing({ type: 'put', key: Buffer.alloc(KEY_BYTES_MAX), value: Buffer.alloc(VALUE_MAX) }),
  )
  assert.equal(validateRequest(bytes, VALUE_MAX, MANIFEST_MAX).commandCount, 1)
})

test('no bit of a put can change unseen', () => {
  const bytes = requestOf(writing({ type: 'put', key: k, value: Buffer.from('some value') }))
  for (let bit = 8 * REQUEST_HEADER_BYTES; bit < 8 * bytes.length; bit++) {
    const flipped = Buffer.from(bytes)
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    assert.throws(
      () => validateRequest(flipped, VALUE_MAX, MANIFEST_MAX),
      DecodeError,
      `bit ${bit}`,
    )
  }
})

test('a request cut short at any byte is refused', () => {
  const bytes = requestOf(
    writing({ type: 'put', key: k, value: k }),
    writing({ type: 'del', key: k }, { type: 'put', key: k, value: k }),
    txnIf({ type: 'revision', key: k, revision: 7 }),
    grant,
  )
  for (let end = 0; end < bytes.length; end++) {
    const cut = Buffer.from(bytes.subarray(0, end))
    assert.throws(() => validateRequest(cut, VALUE_MAX, MANIFEST_MAX), DecodeError, `${end}`)
    if (end < 4) continue
    cut.writeUInt32LE(end - 4, 0)
    assert.throws(
      () => validateRequest(cut, VALUE_MAX, MANIFEST_MAX),
      DecodeError,
      `${end}, length mended`,
    )
  }
})

test('hostile bytes are a DecodeError or a request, and never anything else', () => {
  const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 6 })
  fc.assert(
    fc.property(request, damage, (commands, changes) => {
      const bytes = Buffer.from(requestOf(...commands))
      for (const [at, byte] of changes) bytes[at % bytes.length] = byte
      let isValid = true
      try {
        validateRequest(bytes, VALUE_MAX, MANIFEST_MAX)
      } catch (error) {
        assert.ok(error instanceof DecodeError, String(error))
        isValid = false
      }
      // What was found valid can be applied: the state machine meets no error in it.
      if (isValid) read(packEntry([bytes]))
    }),
    { numRuns: 2000 },
  )
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        validateRequest(Buffer.from(bytes), VALUE_MAX, MANIFEST_MAX)
      } catch (error) {
        assert.ok(error instanceof DecodeError, String(error))
      }
    }),
    { numRuns: 1000 },
  )
})

test('huge counts cost no more than the bytes that carry them', () => {
  const counts: readonly [Buffer, number][] = [
    [requestOf(writing()), 36],
    [requestOf(writing()), AT + 1],
    [requestOf(txnIf()), AT + 1],
    [requestOf(txnIf()), AT + 5],
    [requestOf(txnIf()), AT + 9],
  ]
  for (const [bytes, at] of counts) {
    bytes.writeUInt32LE(0xffffffff, at)
    assert.throws(() => validateRequest(bytes, VALUE_MAX, MANIFEST_MAX), DecodeError)
  }
})

test('a writer refuses what no reader would take', () => {
  const writer = new RequestWriter(0)
  const limited = (limit: number) =>
    writing({ type: 'clear', range: EVERYTHING, reverse: false, limit })
  const wrong: Command[] = [
    limited(0),
    limited(1001),
    limited(1.5),
    { type: 'grant', lease: LEASE, ttlMs: 0 },
    { type: 'grant', lease: LEASE, ttlMs: Number.POSITIVE_INFINITY },
    { type: 'revoke', lease: Buffer.alloc(7) },
    txnIf({ type: 'revision', key: k, revision: -1 }),
  ]
  for (const command of wrong) assert.throws(() => writer.add(command), RangeError)
  assert.deepEqual([writer.commandCount, writer.resultCount], [0, 0])
  for (let i = 0; i < RESULTS_MAX; i++) writer.add(grant)
  assert.throws(() => writer.add(grant), RangeError)
  writer.add(del)
  assert.equal(
    validateRequest(writer.finish(CLIENT, 1, 1, 0), VALUE_MAX, MANIFEST_MAX).commandCount,
    65_536,
  )
})

test('the bytes of a request are those of docs/formats.md', () => {
  const then = [{ type: 'put', key: Buffer.from('k'), value: Buffer.from('v') }] as const
  const txn: Command = {
    type: 'txn',
    compares: [{ type: 'absent', key: Buffer.from('k') }],
    then,
    else: [],
  }
  const lines = [
    '47000000 636c69656e742038 0200000000000000 0100000000000000 0700000000000000 01000000 01',
    '08 01000000 01000000 00000000',
    '03 01000000 6b',
    '01 9a74b67e 01000000 01000000 6b 76',
  ]
  const bytes = write([txn]).finish(CLIENT, 2, 1, 7)
  assert.equal(bytes.toString('hex'), lines.join('').replaceAll(' ', ''))
})
