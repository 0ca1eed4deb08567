/**
 * The program of a member that benchmarks load: the operations run beside the store, as the code of an application that
 * embeds it does, and their due times come from a generator in another process. Started by ProcessCluster and
 * SpawnedCluster, never by hand.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { hostMember } from '../src/cli/processes/host.js'
import { memberOperations } from '../src/cli/processes/member-operations.js'
import type { Store } from '../src/index.js'
import { type AwaitedLoad, awaitArrivals } from './arrivals.js'
import type { LoadOperations, PacedLoad } from './load-operations.js'
import { measure } from './measure.js'
import type { OpenResult } from './open-loop.js'
import { Probes } from './probes.js'
import { SequenceReader, SequenceWriter } from './sequence.js'
import { Watchers } from './watchers.js'
import { fill, operationsOf } from './workload.js'

const delays = monitorEventLoopDelay({ resolution: 1 })
let running: AwaitedLoad | undefined
let probes: Probes | undefined
let writer: SequenceWriter | undefined
let reader: SequenceReader | undefined
let watchers: Watchers | undefined

async function listen(store: Store, { workload, load }: PacedLoad): Promise<number> {
  running = await awaitArrivals(load, operationsOf(store, workload))
  return running.port
}

async function result(): Promise<OpenResult> {
  if (running === undefined) throw new Error('no load was listened for')
  return running.result
}

function loopDelay(): number {
  const ms = delays.percentile(99) / 1e6
  delays.reset()
  delays.enable()
  return ms
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
  scanAll: (store, { level, keyCount, ms }) =>
    measure(1, ms, keyCount, async () => {
      let left = keyCount
      for await (const _ of store.scan({ consistency: level })) left--
      if (left !== 0) throw new Error(`a scan gave ${keyCount - left} keys of ${keyCount}`)
    }),
  loopDelay: async () => loopDelay(),
  watch: async (store, request) => {
    await watchers?.end()
    watchers = await Watchers.start(store, request.watchers, request.watched)
  },
  memory: async () => process.memoryUsage.rss(),
  startProbes: async (store) => {
    probes?.stop()
    probes = new Probes(store)
  },
  probesAnsweredSince: async (_, time) => probes!.allAnsweredSince(time),
  stopProbes: async () => probes!.stop(),
  startWriter: async (store) => {
    writer = new SequenceWriter(store)
  },
  stopWriter: async () => writer!.stop(),
  startReader: async (store) => {
    reader = new SequenceReader(store)
  },
  stopReader: async () => reader!.stop(),
}

hostMember(operations)
