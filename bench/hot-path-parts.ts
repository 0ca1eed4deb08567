/**
 * What the parts of the hot path cost by themselves, in this process and on one thread: bytes of commands and frames,
 * envelopes, the log with and without fsync, applying, tokens, the codec.
 *
 * Everything is done 64 times an iteration, as a busy turn of the event loop does it. What consensus costs without disk
 * and network is in `core`, what codes and sizes cost in `erasure`.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { Bench } from 'tinybench'
import { nodeEnv } from '../src/env/node-env.js'
import { chooseBackend } from '../src/erasure/choose.js'
import { Code } from '../src/erasure/code.js'
import { RaftLog } from '../src/log/raft-log.js'
import { type MachineOptions, StateMachine } from '../src/machine/state-machine.js'
import type { Entry } from '../src/raft/types.js'
import { Tokens } from '../src/store/token.js'
import { decodeCall, encodeCall } from '../src/wire/envelope.js'
import { encodePreamble, FrameReader, FrameWriter } from '../src/wire/frame.js'
import { packEntry, RequestWriter, visitCommands, visitRequests } from '../src/wire/request.js'
import { figure, type Row } from './results.js'
import { keyOf, makeValue } from './workload.js'

const MANY = 64
const CLIENT = randomBytes(8)
const KEYS: readonly Buffer[] = Array.from({ length: MANY }, (_, i) => Buffer.from(keyOf(i)))
const VALUE = makeValue(128, 1)
const MIB = 1 << 20
const MACHINE: MachineOptions = {
  maxSessions: 100,
  historyBytes: 0,
  initial: {
    conf: { voters: [1], votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false },
    members: new Uint8Array(),
  },
  confChange: (before) => before,
}

/** Measures every part for about `ms`; a row each. */
export async function measureParts(root: string, ms: number): Promise<Row[]> {
  const bench = new Bench({ time: ms, warmupTime: ms / 4, iterations: 5 })
  addBytes(bench)
  const close = await addDisk(bench, root)
  await bench.run()
  await close()
  return bench.tasks.map((task): Row => {
    const { result } = task
    if (result.state !== 'completed') throw new Error(`${task.name} was not measured`)
    const { throughput, latency } = result
    return {
      labels: { part: task.name },
      figures: {
        'per s': figure('per s', [throughput.p50 * MANY]),
        'p50 of 64': figure('ms', [latency.p50]),
        'p99 of 64': figure('ms', [latency.p99]),
      },
    }
  })
}

function addBytes(bench: Bench): void {
  const entry = packEntry([requestOf(1)])
  const frames = Buffer.concat(writtenFrames())
  const call = { id: 1, method: 'members.add', params: { id: 'd', address: '127.0.0.1:7104' } }
  const called = Buffer.from(encodeCall(call))
  const tokens = new Tokens(CLIENT, undefined)
  const token = tokens.encode({ index: 123_456, term: 7 })
  const sealing = new Tokens(CLIENT, randomBytes(32))
  const coder = chooseBackend(undefined).backend
  const operation = codedOf(new Code(2, 1))
  bench
    .add('put: encode the command, pack the entry', () => packEntry([requestOf(1)]))
    .add('put: read the commands of an entry', () => readEntry(entry))
    .add('frame of 128 B: tag and write', writtenFrames)
    .add('frame of 128 B: read and check', () => readFrames(frames))
    .add(
      'envelope (msgpackr): encode',
      times(() => encodeCall(call)),
    )
    .add(
      'envelope (msgpackr): decode',
      times(() => decodeCall(called)),
    )
    .add(
      'token: encode',
      times(() => tokens.encode({ index: 123_456, term: 7 })),
    )
    .add(
      'token: decode',
      times(() => tokens.decode(token)),
    )
    .add(
      'token: encode, sealed',
      times(() => sealing.encode({ index: 123_456, term: 7 })),
    )
    .add(
      'codec 2+1, value of 64 KiB: encode',
      times(() => coder.run(operation)),
    )
}

/** Adds what needs files; resolves with what closes them. */
async function addDisk(bench: Bench, root: string): Promise<() => Promise<void>> {
  const env = nodeEnv({ writeBufferBytes: 16 * MIB, cacheBytes: 32 * MIB })
  const identity = { clusterId: CLIENT, nodeId: 1 }
  const options = { segmentBytes: 64 * MIB, maxWriteBytes: MIB, tailBytes: 0 }
  const log = await RaftLog.open(env.disk, env.time, join(root, 'log'), identity, options)
  const machine = await StateMachine.open(env.databases, join(root, 'state'), MACHINE)
  let logged = 0
  let applied = 0
  const append = (mustSync: boolean): Promise<void> =>
    log.append({ entries: [entryOf(++logged)], hardState: undefined, mustSync })
  bench
    .add('log: append an entry of 64 puts, fsync', () => append(true))
    .add('log: append an entry of 64 puts, no fsync', () => append(false))
    .add('machine: apply an entry of 64 puts', () => machine.apply([entryOf(++applied)]))
    .add('machine: get', () => {
      const view = machine.view()
      for (const key of KEYS) view.get(key)
      return view.close()
    })
  return async () => {
    await log.close()
    await machine.close()
  }
}

function times(operation: () => unknown): () => void {
  return () => {
    for (let i = 0; i < MANY; i++) operation()
  }
}

function requestOf(seq: number): Buffer {
  const writer = new RequestWriter(MANY * 192)
  for (const key of KEYS) writer.put(key, VALUE)
  return writer.finish(CLIENT, seq, seq, 0)
}

function entryOf(index: number): Entry {
  return { index, term: 1, kind: 'normal', data: packEntry([requestOf(index)]) }
}

function readEntry(data: Buffer): void {
  let left = MANY
  const visitor = { put: () => void left--, del: () => undefined }
  visitRequests(data, (header, offset) => visitCommands(data, offset, header, visitor))
  if (left !== 0) throw new Error(`${left} commands were not read`)
}

function writtenFrames(): Uint8Array[] {
  const writer = new FrameWriter()
  for (let i = 0; i < MANY; i++) writer.push(1, [VALUE])
  return writer.take()
}

function readFrames(bytes: Buffer): void {
  let left = MANY
  const reader = new FrameReader(MIB, () => left--)
  reader.push(Buffer.from(encodePreamble()))
  reader.push(bytes)
  if (left !== 0) throw new Error(`${left} frames were not read`)
}

function codedOf(code: Code): Parameters<ReturnType<typeof chooseBackend>['backend']['run']>[0] {
  const shard = (): Buffer => randomBytes(32 * 1024)
  return {
    plan: code.encoding,
    sources: code.encoding.sources.map(shard),
    targets: code.encoding.targets.map(shard),
  }
}
