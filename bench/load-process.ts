/**
 * The program of a member that benchmarks load: the operations run beside the store, as the code of an application that
 * embeds it does, and their due times come from a generator in another process. Started by ProcessCluster and
 * SpawnedCluster, never by hand.
 */
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { hostMember } from '../src/cli/processes/host.js'
import { memberOperations } from '../src/cli/processes/member-operations.js'
import type { Store } from '../src/index.js'
import type { LoadOperations, PacedLoad } from './load-operations.js'
import { measure } from './measure.js'
import { OpenLoop, type OpenResult } from './open-loop.js'
import { Watchers } from './watchers.js'
import { fill, operationsOf } from './workload.js'

const DUE_BYTES = 8
let running: Promise<OpenResult> | undefined
let watchers: Watchers | undefined

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

async function listen(store: Store, { workload, load }: PacedLoad): Promise<number> {
  const loop = new OpenLoop(load, operationsOf(store, workload))
  const server = createServer({ noDelay: true })
  running = new Promise((resolve, reject) => {
    server.once('connection', (socket) => {
      server.close()
      serve(socket, loop).then(resolve, reject)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

async function result(): Promise<OpenResult> {
  if (running === undefined) throw new Error('no load was listened for')
  return running
}

const operations: LoadOperations = {
  ...memberOperations,
  fill: (store, { keyCount, valueBytes }) => fill(store, keyCount, valueBytes),
  closed: (store, { workload, inFlight, ms }) => {
    const load = operationsOf(store, workload)
    return measure(inFlight, ms, workload.batch, () => load.run(load.next()))
  },
  listen,
  result,
  metrics: async (store) => store.metrics(),
  watch: async (store, request) => {
    await watchers?.end()
    watchers = await Watchers.start(store, request.watchers, request.watched)
  },
  memory: async () => process.memoryUsage.rss(),
}

hostMember(operations)
