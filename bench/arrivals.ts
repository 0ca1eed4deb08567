/**
 * The wire between a generator and whoever carries its operations out: the due time of each, a 64-bit float, over a
 * socket of the loopback. Generator and load are two processes, so that neither's stall hides in the other.
 */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { constants, setPriority } from 'node:os'
import type { LatencySummary } from './latencies.js'
import { OpenLoop, type OpenResult } from './open-loop.js'
import { type OpenLoad, pace } from './pace.js'
import type { Operations } from './workload.js'

const DUE_BYTES = 8

/** A load that listens for its generator. */
export interface AwaitedLoad {
  readonly port: number
  /** Resolves when the generator is gone and nothing is outstanding. */
  readonly result: Promise<OpenResult>
}

/** Listens for one generator. */
export async function awaitArrivals(load: OpenLoad, operations: Operations): Promise<AwaitedLoad> {
  const loop = new OpenLoop(load, operations)
  const server = createServer({ noDelay: true })
  const result = new Promise<OpenResult>((resolve, reject) => {
    server.once('connection', (socket) => {
      server.close()
      serve(socket, loop).then(resolve, reject)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return { port: typeof address === 'object' && address !== null ? address.port : 0, result }
}

/** Begins an operation for each due time that comes in. */
async function serve(socket: Socket, loop: OpenLoop): Promise<OpenResult> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    const whole = bytes.length - (bytes.length % DUE_BYTES)
    for (let at = 0; at < whole; at += DUE_BYTES) loop.begin(bytes.readDoubleLE(at))
    rest = bytes.subarray(whole)
  }
  return loop.finish()
}

/**
 * Sends the due times of `load` to who listens on `port`; resolves with how late it was. Blocks this process while it
 * does: give it one of its own.
 */
export async function sendArrivals(port: number, load: OpenLoad): Promise<LatencySummary> {
  hurry()
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  const lateness = await pace(load, (dueAt) => {
    const bytes = Buffer.allocUnsafe(DUE_BYTES)
    bytes.writeDoubleLE(dueAt)
    socket.write(bytes)
  })
  socket.end()
  return lateness
}

/**
 * A generator sleeps nearly all the time, and must be on time when it wakes: before the load, where that is
 * allowed.
 */
function hurry(): void {
  try {
    setPriority(constants.priority.PRIORITY_HIGHEST)
  } catch {
    // Only the superuser may; how late the generator was is told in any case.
  }
}
