/**
 * The ways to talk to a member that it must withstand, before and after a handshake, alone and together. Each says
 * how many frames, whole or not, it sends.
 */
import { randomBytes } from 'node:crypto'
import type { SessionTags } from '../../../src/transport/session-key.js'
import { encodePreamble, FRAME_HEADER_BYTES } from '../../../src/wire/frame.js'
import {
  encodeHello,
  FRAME_CALL,
  FRAME_HELLO,
  FRAME_PROOF,
  type Hello,
  NONCE_BYTES,
} from '../../../src/wire/handshake.js'
import type { Draws } from '../draws.js'
import { clientSpecimen } from './client-corpus.js'
import { memberSpecimen } from './member-corpus.js'
import { mutated, type Specimen } from './specimen.js'
import { clientHello, frameOf, learnerHello, Stranger, type Target } from './stranger.js'

/** One way to attack; resolves with the frames it has sent. */
export type Attack = (target: Target, draws: Draws) => Promise<number>

const CLOSE_MS = 30
const STREAM_MAX = 128
const FRAMES_PER_WRITE = 16
const MUTATED_ONE_IN = 16
const KIND_ONE_IN = 400
const LORIS_BYTES = 12
const LORIS_MS = 150
const CALL_STORM = 1_500
const GIANT_MIN = 2 ** 24

/** By name; the weights say how often each is chosen. */
export const ATTACKS: readonly { readonly name: string; weight: number; readonly run: Attack }[] = [
  { name: 'random bytes', weight: 2, run: randomStream },
  { name: 'another version', weight: 1, run: otherVersion },
  { name: 'random header', weight: 2, run: randomHeader },
  { name: 'giant length', weight: 2, run: giantLength },
  { name: 'mutated hello', weight: 3, run: mutatedHello },
  { name: 'wrong hello', weight: 3, run: wrongHello },
  { name: 'wrong proof', weight: 2, run: wrongProof },
  { name: 'out of order', weight: 2, run: outOfOrder },
  { name: 'slow-loris', weight: 2, run: slowLoris },
  { name: 'connect and leave', weight: 1, run: leave },
  { name: 'replayed session', weight: 2, run: replay },
  { name: 'client: mutated frames', weight: 8, run: asClient(mutatedStream) },
  { name: 'client: valid frames, then a wrong one', weight: 6, run: asClient(wrongEnd) },
  { name: 'client: reordered frames', weight: 3, run: asClient(reordered) },
  { name: 'client: repeated frames', weight: 3, run: asClient(repeated) },
  { name: 'client: giant length', weight: 1, run: asClient(giantLater) },
  { name: 'client: reads no answers', weight: 1, run: callStorm },
  { name: 'member: mutated frames', weight: 6, run: asLearner(mutatedStream) },
  { name: 'member: valid frames, then a wrong one', weight: 4, run: asLearner(wrongEnd) },
  { name: 'member: reordered frames', weight: 2, run: asLearner(reordered) },
]

/** The attack number `at` of a run: first each once, then by chance. */
export function attackAt(at: number, draws: Draws): (typeof ATTACKS)[number] {
  const inTurn = ATTACKS[at]
  if (inTurn !== undefined) return inTurn
  const all = ATTACKS.reduce((sum, { weight }) => sum + weight, 0)
  let left = draws.below(all)
  for (const attack of ATTACKS) {
    if (left < attack.weight) return attack
    left -= attack.weight
  }
  throw new Error('the weights do not add up')
}

async function randomStream(target: Target, draws: Draws): Promise<number> {
  const bytes = draws.bytes(1 + draws.below(2_000))
  const begin = draws.below(2) === 0 ? bytes : Buffer.concat([encodePreamble(), bytes])
  return throwAt(target, begin)
}

async function otherVersion(target: Target, draws: Draws): Promise<number> {
  const preamble = Buffer.from(encodePreamble())
  preamble[draws.below(8)] = draws.below(256)
  return throwAt(
    target,
    Buffer.concat([preamble, frameOf(FRAME_HELLO, encodeHello(clientHello()))]),
  )
}

async function randomHeader(target: Target, draws: Draws): Promise<number> {
  const header = draws.bytes(FRAME_HEADER_BYTES)
  if (draws.below(2) === 0) header.writeUInt32LE(draws.below(1_024), 8)
  return throwAt(target, Buffer.concat([encodePreamble(), header, draws.bytes(draws.below(512))]))
}

async function giantLength(target: Target, draws: Draws): Promise<number> {
  const body = draws.bytes(draws.below(64))
  return throwAt(target, Buffer.concat([encodePreamble(), giantFrame(draws), body]))
}

function giantFrame(draws: Draws): Buffer {
  const frame = frameOf(draws.oneOf([FRAME_HELLO, FRAME_CALL, 1]), Buffer.alloc(0))
  frame.writeUInt32LE(draws.oneOf([1_025, GIANT_MIN, 2 ** 31, 2 ** 32 - 1]), 8)
  return frame
}

async function mutatedHello(target: Target, draws: Draws): Promise<number> {
  const hello = encodeHello(draws.below(2) === 0 ? clientHello() : learnerHello(target))
  const { body } = mutated({ kind: FRAME_HELLO, body: hello, fixed: [0, 0] }, draws)
  return throwAt(target, Buffer.concat([encodePreamble(), frameOf(FRAME_HELLO, body)]))
}

async function wrongHello(target: Target, draws: Draws): Promise<number> {
  const right = learnerHello(target)
  const hello = draws.oneOf<Hello>([
    { ...right, clusterId: randomBytes(8) },
    { ...right, to: right.to + 1 + draws.below(9) },
    { ...right, from: right.from + 1 + draws.below(9) },
    { ...right, memberId: 'somebody else' },
    { ...right, incarnation: '00000000000000ff' },
  ])
  return throwAt(
    target,
    Buffer.concat([encodePreamble(), frameOf(FRAME_HELLO, encodeHello(hello))]),
  )
}

async function wrongProof(target: Target, draws: Draws): Promise<number> {
  const secret = target.secret === undefined ? Buffer.from('no secret is used here') : undefined
  const stranger = await Stranger.connect(target)
  const hello = draws.below(2) === 0 ? clientHello() : learnerHello(target)
  await stranger.prove(hello, draws.below(2) === 0 ? secret : randomBytes(32))
  await finish(stranger)
  return 2
}

async function outOfOrder(target: Target, draws: Draws): Promise<number> {
  const hello = frameOf(FRAME_HELLO, encodeHello(clientHello()))
  const proof = frameOf(FRAME_PROOF, Buffer.alloc(0))
  const { kind, body } = clientSpecimen(draws)
  const frames = draws.oneOf([
    [proof],
    [frameOf(kind, body)],
    [hello, hello],
    [hello, frameOf(kind, body)],
  ])
  return throwAt(target, Buffer.concat([encodePreamble(), ...frames]), frames.length)
}

/** A byte now and then, and silence where a hello should end. */
async function slowLoris(target: Target, draws: Draws): Promise<number> {
  const bytes = Buffer.concat([encodePreamble(), frameOf(FRAME_HELLO, encodeHello(clientHello()))])
  const stranger = await Stranger.connect(target)
  for (let at = 0; at < draws.below(LORIS_BYTES) && !stranger.isClosed; at++) {
    await stranger.write(bytes.subarray(at, at + 1))
    await stranger.closed(LORIS_MS)
  }
  stranger.end()
  return 1
}

async function leave(target: Target, draws: Draws): Promise<number> {
  const stranger = await Stranger.connect(target)
  if (draws.below(2) === 0) await stranger.write(encodePreamble())
  stranger.end()
  return 0
}

/** What a client said before, said again: without a secret it is served, with one it is not. */
async function replay(target: Target, draws: Draws): Promise<number> {
  const hello = encodeHello({ ...clientHello(), nonce: Buffer.alloc(NONCE_BYTES, 1) })
  const calls = Array.from({ length: 1 + draws.below(20) }, () => clientSpecimen(draws))
  const frames = [
    frameOf(FRAME_HELLO, hello),
    frameOf(FRAME_PROOF, Buffer.alloc(target.secret === undefined ? 0 : 32, 7)),
    ...calls.map(({ kind, body }) => frameOf(kind, body)),
  ]
  const said = Buffer.concat([encodePreamble(), ...frames])
  return (await throwAt(target, said, frames.length)) + (await throwAt(target, said, frames.length))
}

type Specimens = (draws: Draws) => Specimen
type Proven = (
  stranger: Stranger,
  tags: SessionTags,
  specimens: Specimens,
  draws: Draws,
) => Promise<number>

function asClient(attack: Proven): Attack {
  return (target, draws) => proven(target, clientHello(), clientSpecimen, attack, draws)
}

function asLearner(attack: Proven): Attack {
  return (target, draws) => {
    const { learner, node } = target
    const specimens: Specimens = (from) => memberSpecimen(from, learner.node, node)
    return proven(target, learnerHello(target), specimens, attack, draws)
  }
}

async function proven(
  target: Target,
  hello: Hello,
  specimens: Specimens,
  attack: Proven,
  draws: Draws,
): Promise<number> {
  const stranger = await Stranger.connect(target)
  const tags = await stranger.prove(hello, target.secret)
  const sent = tags === undefined ? 0 : await attack(stranger, tags, specimens, draws)
  await finish(stranger)
  return sent + 2
}

/** Frames with right tags and now and then a wrong body, until the member has enough. */
async function mutatedStream(
  stranger: Stranger,
  tags: SessionTags,
  specimens: Specimens,
  draws: Draws,
): Promise<number> {
  let sent = 0
  while (sent < STREAM_MAX && !stranger.isClosed) {
    const frames = Array.from({ length: FRAMES_PER_WRITE }, () => {
      const one = specimens(draws)
      const { kind, body } = draws.below(MUTATED_ONE_IN) === 0 ? mutated(one, draws) : one
      return frameOf(draws.below(KIND_ONE_IN) === 0 ? draws.below(256) : kind, body, tags)
    })
    await stranger.write(Buffer.concat(frames))
    sent += frames.length
    await stranger.closed(0)
  }
  return sent
}

async function wrongEnd(
  stranger: Stranger,
  tags: SessionTags,
  specimens: Specimens,
  draws: Draws,
): Promise<number> {
  const count = 1 + draws.below(STREAM_MAX)
  const frames = Array.from({ length: count }, () => framed(specimens(draws), tags))
  const last = frames.at(-1)!
  switch (draws.below(3)) {
    case 0:
      last[draws.below(last.length)]! ^= 1 + draws.below(255)
      break
    case 1:
      frames[count - 1] = last.subarray(0, draws.below(last.length))
      break
    default:
      frames[count - 1] = frameOf(draws.below(240), draws.bytes(draws.below(300)), tags)
  }
  await stranger.write(Buffer.concat(frames))
  return count
}

async function reordered(
  stranger: Stranger,
  tags: SessionTags,
  specimens: Specimens,
  draws: Draws,
): Promise<number> {
  const frames = Array.from({ length: 2 + draws.below(STREAM_MAX) }, () =>
    framed(specimens(draws), tags),
  )
  const at = draws.below(frames.length - 1)
  const [one, other] = [frames[at]!, frames[at + 1]!]
  frames[at] = other
  frames[at + 1] = one
  await stranger.write(Buffer.concat(frames))
  return frames.length
}

async function repeated(
  stranger: Stranger,
  tags: SessionTags,
  specimens: Specimens,
  draws: Draws,
): Promise<number> {
  const one = framed(specimens(draws), tags)
  const frames = Array.from({ length: 2 + draws.below(STREAM_MAX) }, () => one)
  await stranger.write(Buffer.concat(frames))
  return frames.length
}

async function giantLater(
  stranger: Stranger,
  tags: SessionTags,
  specimens: Specimens,
  draws: Draws,
): Promise<number> {
  const frame = framed(specimens(draws), tags)
  frame.writeUInt32LE(GIANT_MIN + draws.below(2 ** 31), 8)
  await stranger.write(frame)
  return 1
}

/** More calls than are taken at once, from somebody who takes no answers. */
async function callStorm(target: Target, draws: Draws): Promise<number> {
  const stranger = await Stranger.connect(target)
  const tags = await stranger.prove(clientHello(), target.secret)
  if (tags === undefined) return 2
  stranger.deafen()
  const calls = Array.from({ length: draws.below(CALL_STORM) }, () =>
    framed(clientSpecimen(draws), tags),
  )
  await stranger.write(Buffer.concat(calls))
  await stranger.closed(CLOSE_MS)
  stranger.end()
  return calls.length + 2
}

function framed({ kind, body }: Specimen, tags: SessionTags): Buffer {
  return frameOf(kind, body, tags)
}

async function throwAt(target: Target, bytes: Buffer, frames = 1): Promise<number> {
  const stranger = await Stranger.connect(target)
  await stranger.write(bytes)
  await finish(stranger)
  return frames
}

async function finish(stranger: Stranger): Promise<void> {
  await stranger.closed(CLOSE_MS)
  stranger.end()
}
