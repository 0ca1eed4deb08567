import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  encodePreamble,
  FRAME_HEADER_BYTES,
  FrameError,
  type FrameFault,
  FrameReader,
  FrameWriter,
  plainTag,
  WIRE_VERSION,
} from '../../src/wire/frame.js'

/** Records as object literals make them, which is what decoders return. */
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(model, { noNullPrototype: true })

const LIMIT = 100_000

interface Frame {
  readonly kind: number
  readonly body: Buffer
}

/** A stream with these frames. */
function stream(frames: readonly Frame[]): Buffer {
  const writer = new FrameWriter()
  for (const { kind, body } of frames) writer.push(kind, [body])
  return Buffer.concat([encodePreamble(), ...writer.take()])
}

/** The frames of a stream that comes in these chunks. */
function read(chunks: readonly Buffer[]): Frame[] {
  const frames: Frame[] = []
  const reader = new FrameReader(LIMIT, (kind, body) => frames.push({ kind, body }))
  for (const chunk of chunks) reader.push(chunk)
  return frames
}

function faultOf(bytes: Buffer): FrameFault | undefined {
  try {
    read([bytes])
  } catch (error) {
    assert(error instanceof FrameError)
    return error.fault
  }
  return undefined
}

const text = (kind: number, body: string): Frame => ({ kind, body: Buffer.from(body) })

test('frames come out as they went in, however the stream is cut into chunks', () => {
  const body = fc.oneof(
    fc.uint8Array({ maxLength: 30 }),
    fc.constantFrom(4_096, 4_097, 70_000).map((n) => new Uint8Array(n).fill(n)),
  )
  const frame = record({ kind: fc.nat(255), body: body.map((b) => Buffer.from(b)) })
  const cuts = fc.array(fc.oneof(fc.nat(60), fc.nat(150_000)), { maxLength: 12 })
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 8 }), cuts, (frames, at) => {
      const bytes = stream(frames)
      const edges = [0, ...at.filter((n) => n < bytes.length).sort((a, b) => a - b), bytes.length]
      const chunks = edges.slice(1).map((end, i) => bytes.subarray(edges[i], end))
      assert.deepEqual(read(chunks), frames)
    }),
    { numRuns: 300 },
  )
})

test('frames come out of a stream that arrives byte by byte', () => {
  const frames = [text(1, ''), text(2, 'two'), text(255, 'x'.repeat(300))]
  const bytes = stream(frames)
  assert.deepEqual(read([...bytes].map((byte) => Buffer.of(byte))), frames)
})

test('a frame within one chunk is not copied: its body views the chunk', () => {
  const bytes = stream([text(1, 'body')])
  const [frame] = read([bytes])
  assert.equal(frame?.body.buffer, bytes.buffer)
})

test('many small frames leave as one piece, a large body as a part of its own', () => {
  const writer = new FrameWriter()
  for (let i = 0; i < 100; i++) writer.push(1, [Buffer.from('small')])
  assert.equal(writer.take().length, 1)
  const large = Buffer.alloc(50_000)
  writer.push(1, [large])
  assert.equal(writer.take().at(-1), large)
})

test('what was taken stays as it is while further frames are pushed', () => {
  const writer = new FrameWriter()
  const taken: Uint8Array[] = []
  const copies: Buffer[] = []
  for (let i = 0; i < 200; i++) {
    writer.push(1, [Buffer.alloc(1_000, i)])
    const parts = writer.take()
    taken.push(...parts)
    copies.push(...parts.map((part) => Buffer.from(part)))
  }
  assert.deepEqual(Buffer.concat(taken), Buffer.concat(copies))
  const frames = read([Buffer.concat([encodePreamble(), ...taken])])
  assert.deepEqual(
    frames.map((frame) => frame.body[999]),
    Array.from({ length: 200 }, (_, i) => i),
  )
})

test('queuedBytes counts what was pushed and not taken', () => {
  const writer = new FrameWriter()
  writer.push(1, [Buffer.alloc(10), Buffer.alloc(90_000)])
  assert.equal(writer.queuedBytes, FRAME_HEADER_BYTES + 90_010)
  const bytes = writer.take().reduce((sum, part) => sum + part.length, 0)
  assert.equal(bytes, FRAME_HEADER_BYTES + 90_010)
  assert.equal(writer.queuedBytes, 0)
})

test('every flipped bit of a frame is noticed', () => {
  const bytes = stream([text(7, 'a body of some length')])
  for (let bit = 8 * encodePreamble().length; bit < 8 * bytes.length; bit++) {
    const damaged = Buffer.from(bytes)
    damaged[bit >> 3] = damaged[bit >> 3]! ^ (1 << (bit & 7))
    const frames: Frame[] = []
    const reader = new FrameReader(LIMIT, (kind, body) => frames.push({ kind, body }))
    try {
      reader.push(damaged)
    } catch (error) {
      assert(error instanceof FrameError)
    }
    assert.deepEqual(frames, [], `bit ${bit}`)
  }
})

test('a frame longer than allowed is refused from its header, before anything is allocated', () => {
  const header = Buffer.alloc(FRAME_HEADER_BYTES)
  header.writeUInt32LE(LIMIT + 1, 8)
  assert.equal(faultOf(Buffer.concat([encodePreamble(), header])), 'oversized')
  header.writeUInt32LE(0xffff_ffff, 8)
  assert.equal(faultOf(Buffer.concat([encodePreamble(), header])), 'oversized')
})

test('a stream that does not begin with the preamble is refused', () => {
  assert.equal(faultOf(Buffer.from('GET / HTTP/1.1\r\n\r\n')), 'magic')
})

test('another version of the format is refused, never guessed (T-68)', () => {
  const preamble = encodePreamble()
  const other = Buffer.from(preamble)
  other.writeUInt16LE(WIRE_VERSION + 1, 4)
  assert.equal(faultOf(other), 'version')
  const flagged = Buffer.from(preamble)
  flagged[6] = 1
  assert.equal(faultOf(flagged), 'version')
})

test('an unknown group or flag in a header is refused', () => {
  for (const at of [13, 14, 15]) {
    const bytes = stream([text(1, 'x')])
    bytes[8 + at] = 1
    assert.equal(faultOf(bytes), 'header')
  }
})

test('a stopped reader reads nothing more, also of the chunk it is in', () => {
  const frames: number[] = []
  const reader = new FrameReader(LIMIT, (kind) => {
    frames.push(kind)
    if (kind === 2) reader.stop()
  })
  reader.push(stream([text(1, ''), text(2, ''), text(3, '')]))
  assert.deepEqual(frames, [1, 2])
})

test('a new tag and limit hold from the next frame on, also within the chunk that is read', () => {
  const writer = new FrameWriter()
  const inverted = (parts: readonly Uint8Array[]) => plainTag(parts) ^ 1n
  writer.push(1, [])
  writer.useTag(inverted)
  writer.push(2, [Buffer.alloc(50)])
  const frames: number[] = []
  const reader = new FrameReader(0, (kind) => {
    frames.push(kind)
    reader.use(inverted, 50)
  })
  reader.push(Buffer.concat([encodePreamble(), ...writer.take()]))
  assert.deepEqual(frames, [1, 2])
})
