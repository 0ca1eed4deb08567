/** The bytes of a log entry: what is written is read, and nothing else is believed. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import {
  type CommandVisitor,
  commandBytes,
  DecodeError,
  KEY_BYTES_MAX,
  type Operation,
  packEntry,
  REQUEST_HEADER_BYTES,
  RequestWriter,
  renumberRequest,
  validateRequest,
  visitCommands,
  visitRequests,
} from '../../src/wire/command.js'

const CLIENT = Buffer.from('client 8')
const VALUE_MAX = 1000

function write(commands: readonly (readonly Operation[])[], capacity = 0): RequestWriter {
  const writer = new RequestWriter(capacity)
  for (const operations of commands) {
    const [first] = operations
    if (operations.length !== 1) writer.batch(operations)
    else if (first!.type === 'put') writer.put(first!.key, first!.value)
    else writer.del(first!.key)
  }
  return writer
}

function requestOf(...commands: (readonly Operation[])[]): Buffer {
  return write(commands).finish(CLIENT, 7, 3, 5)
}

/** The operations of an entry's data, request by request; the checksums are checked on the way. */
function read(data: Buffer): Operation[][] {
  const requests: Operation[][] = []
  visitRequests(data, (header, offset) => {
    const operations: Operation[] = []
    requests.push(operations)
    const visitor: CommandVisitor = {
      put(key, value, checksum) {
        assert.equal(checksum, crc32(Buffer.concat([key, value])))
        operations.push({ type: 'put', key: Buffer.from(key), value: Buffer.from(value) })
      },
      del(key) {
        operations.push({ type: 'del', key: Buffer.from(key) })
      },
    }
    visitCommands(data, offset, header, visitor)
  })
  return requests
}

const key = fc.uint8Array({ minLength: 1, maxLength: 40 }).map((bytes) => Buffer.from(bytes))
const value = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes))
const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.tuple(key, value).map(([k, v]): Operation => ({ type: 'put', key: k, value: v })),
  key.map((k): Operation => ({ type: 'del', key: k })),
)
const command = fc.array(operation, { maxLength: 5 })
const request = fc.array(command, { maxLength: 5 })

test('what is written is read, whatever the first guess of the size', () => {
  fc.assert(
    fc.property(fc.array(request, { maxLength: 4 }), fc.nat(2000), (requests, capacity) => {
      const data = packEntry(requests.map((r, i) => write(r, capacity).finish(CLIENT, i + 1, 1, 0)))
      assert.deepEqual(
        read(data),
        requests.map((r) => r.flat()),
      )
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
        const bytes = write([[], []]).finish(id, seq, floor, n[2]!)
        const { clientId, ...numbers } = validateRequest(bytes, VALUE_MAX)
        assert.deepEqual(Buffer.from(clientId), Buffer.from(id))
        assert.deepEqual(numbers, { seq, floor, base: n[2], commandCount: 2, end: bytes.length })
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
  const bytes = requestOf([{ type: 'del', key: Buffer.from('a') }])
  const before = Buffer.from(bytes)
  const other = renumberRequest(bytes, Buffer.from('another8'), 9, 8, 6)
  const { clientId, seq, floor, base } = validateRequest(other, VALUE_MAX)
  assert.deepEqual([clientId.toString(), seq, floor, base], ['another8', 9, 8, 6])
  assert.deepEqual(read(packEntry([other])), read(packEntry([bytes])))
  assert.deepEqual(bytes, before)
})

test('a command copied from one writer to another is the same command', () => {
  fc.assert(
    fc.property(request, command, (commands, copied) => {
      const source = write(commands)
      const start = source.bytes
      if (copied.length > 0) source.batch(copied)
      const target = write(commands)
      if (copied.length > 0) target.copy(source.view(start, source.bytes))
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
  data[0] = 2
  assert.throws(() => read(data), DecodeError)
})

const k = Buffer.from('key')
const refused: readonly [title: string, bytes: () => Buffer][] = [
  ['an empty key', () => requestOf([{ type: 'put', key: Buffer.alloc(0), value: k }])],
  ['an empty key to delete', () => requestOf([{ type: 'del', key: Buffer.alloc(0) }])],
  [
    'a key over the limit',
    () => requestOf([{ type: 'del', key: Buffer.alloc(KEY_BYTES_MAX + 1) }]),
  ],
  [
    'a value over the limit',
    () => requestOf([{ type: 'put', key: k, value: Buffer.alloc(VALUE_MAX + 1) }]),
  ],
  ['a seq of 0', () => write([]).finish(CLIENT, 0, 0, 0)],
  ['a floor of 0', () => write([]).finish(CLIENT, 1, 0, 0)],
  ['a floor above seq', () => write([]).finish(CLIENT, 1, 2, 0)],
  ['bytes after the request', () => Buffer.concat([requestOf(), Buffer.of(0)])],
  ['a number beyond the safe integers', () => changed(requestOf(), 35, 0xff)],
  ['an unknown command', () => changed(requestOf([{ type: 'del', key: k }]), 40, 4)],
  ['fewer commands than counted', () => changed(requestOf(), 36, 1)],
  ['more commands than counted', () => changed(requestOf([{ type: 'del', key: k }]), 36, 0)],
  [
    'a batch in a batch',
    () =>
      changed(
        requestOf([
          { type: 'del', key: k },
          { type: 'del', key: k },
        ]),
        45,
        3,
      ),
  ],
  ['a batch that counts too many', () => changed(requestOf([]), 41, 1)],
]

function changed(bytes: Buffer, at: number, byte: number): Buffer {
  bytes[at] = byte
  return bytes
}

for (const [title, bytes] of refused) {
  test(`a request with ${title} is refused`, () => {
    assert.throws(() => validateRequest(bytes(), VALUE_MAX), DecodeError)
  })
}

test('limits are inclusive', () => {
  const bytes = requestOf([
    { type: 'put', key: Buffer.alloc(KEY_BYTES_MAX), value: Buffer.alloc(VALUE_MAX) },
  ])
  assert.equal(validateRequest(bytes, VALUE_MAX).commandCount, 1)
})

test('no bit of a put can change unseen', () => {
  const bytes = requestOf([{ type: 'put', key: k, value: Buffer.from('some value') }])
  for (let bit = 8 * REQUEST_HEADER_BYTES; bit < 8 * bytes.length; bit++) {
    const flipped = Buffer.from(bytes)
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    assert.throws(() => validateRequest(flipped, VALUE_MAX), DecodeError, `bit ${bit}`)
  }
})

test('a request cut short at any byte is refused', () => {
  const bytes = requestOf(
    [{ type: 'put', key: k, value: k }],
    [
      { type: 'del', key: k },
      { type: 'put', key: k, value: k },
    ],
  )
  for (let end = 0; end < bytes.length; end++) {
    const cut = Buffer.from(bytes.subarray(0, end))
    assert.throws(() => validateRequest(cut, VALUE_MAX), DecodeError, `${end}`)
    if (end < 4) continue
    cut.writeUInt32LE(end - 4, 0)
    assert.throws(() => validateRequest(cut, VALUE_MAX), DecodeError, `${end}, length mended`)
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
        validateRequest(bytes, VALUE_MAX)
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
        validateRequest(Buffer.from(bytes), VALUE_MAX)
      } catch (error) {
        assert.ok(error instanceof DecodeError, String(error))
      }
    }),
    { numRuns: 1000 },
  )
})

test('huge counts cost no more than the bytes that carry them', () => {
  const bytes = requestOf([])
  bytes.writeUInt32LE(0xffffffff, 36)
  assert.throws(() => validateRequest(bytes, VALUE_MAX), DecodeError)
  const batch = requestOf([])
  batch.writeUInt32LE(0xffffffff, 41)
  assert.throws(() => validateRequest(batch, VALUE_MAX), DecodeError)
})
