/**
 * The program of a process that is no member: it decides when operations begin (`drive`), or carries them out as an
 * application does that is connected from outside (`listen`, `closed`). One process does one of the two at a time.
 */
import { connect, type Store } from '../src/index.js'
import { type AwaitedLoad, awaitArrivals, sendArrivals } from './arrivals.js'
import { serveParent } from './child.js'
import type { ClientLoad, GeneratorOperations } from './generator.js'
import type { ClosedLoad, PacedLoad } from './load-operations.js'
import { type Measurement, measure } from './measure.js'
import type { OpenResult } from './open-loop.js'
import { PlainLevel } from './plain-level.js'
import { Probes } from './probes.js'
import { SequenceReader } from './sequence.js'
import { type Operations, operationsOf, operationsOn, type Workload } from './workload.js'

let running: AwaitedLoad | undefined
let client: Store | undefined
let probes: Probes | undefined
let reader: SequenceReader | undefined

/** Connects anew: what an earlier load left behind in the client is no part of the next. */
async function listen({ addresses, workload, load }: ClientLoad): Promise<number> {
  client = await connect(addresses, { valueEncoding: 'binary' })
  running = await awaitArrivals(load, operationsOf(client, workload))
  return running.port
}

async function result(): Promise<OpenResult> {
  if (running === undefined) throw new Error('no load was listened for')
  const found = await running.result
  await client?.close()
  client = undefined
  return found
}

/** Databases stay open: opening and filling is no part of a measurement. */
const alone = new Map<string, PlainLevel>()

async function operationsAlone(dir: string, workload: Workload): Promise<Operations> {
  let plain = alone.get(dir)
  if (plain === undefined) {
    plain = await PlainLevel.open(dir, workload.keyCount, workload.valueBytes)
    alone.set(dir, plain)
  }
  return operationsOn(plain, workload)
}

async function loadAlone(request: ClosedLoad & { readonly dir: string }): Promise<Measurement> {
  const { dir, workload, inFlight, ms } = request
  const load = await operationsAlone(dir, workload)
  return measure(inFlight, ms, workload.batch, () => load.run(load.next()))
}

async function listenAlone(request: PacedLoad & { readonly dir: string }): Promise<number> {
  const { dir, workload, load } = request
  running = await awaitArrivals(load, await operationsAlone(dir, workload))
  return running.port
}

async function connected<T>(
  addresses: readonly string[],
  use: (store: Store) => Promise<T>,
): Promise<T> {
  const store = await connect(addresses, { valueEncoding: 'binary' })
  try {
    return await use(store)
  } finally {
    await store.close()
  }
}

const operations: GeneratorOperations = {
  drive: ({ port, load }) => sendArrivals(port, load),
  listen,
  result,
  startProbes: async ({ addresses }) => {
    probes?.stop()
    await client?.close()
    client = await connect(addresses, { valueEncoding: 'binary' })
    probes = new Probes(client)
  },
  probesAnsweredSince: async (time) => probes!.allAnsweredSince(time),
  startReader: async ({ addresses }) => {
    client = await connect(addresses, { valueEncoding: 'binary' })
    reader = new SequenceReader(client)
  },
  stopReader: async () => {
    const seen = reader!.stop()
    await client?.close()
    client = undefined
    return seen
  },
  stopProbes: async () => {
    const logs = probes!.stop()
    await client?.close()
    client = undefined
    return logs
  },
  closed: ({ addresses, workload, inFlight, ms }) =>
    connected(addresses, (store) => {
      const load = operationsOf(store, workload)
      return measure(inFlight, ms, workload.batch, () => load.run(load.next()))
    }),
  alone: loadAlone,
  listenAlone,
}

serveParent({ ...operations })
