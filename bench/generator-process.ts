/**
 * The program of a load generator: a process that is no member. It sends due times to a member that carries the
 * operations out (`drive`), or is the application itself, connected from outside (`open`, `closed`).
 */
import { once } from 'node:events'
import { connect as connectSocket } from 'node:net'
import { connect, type Store } from '../src/index.js'
import type { GeneratorOperations, GeneratorRequest } from './generator.js'
import type { LatencySummary } from './latencies.js'
import type { ClosedLoad } from './load-operations.js'
import { type Measurement, measure } from './measure.js'
import { openLoop } from './open-loop.js'
import { type OpenLoad, pace } from './pace.js'
import { PlainLevel } from './plain-level.js'
import { operationsOf, operationsOn } from './workload.js'

async function drive(port: number, load: OpenLoad): Promise<LatencySummary> {
  const socket = connectSocket({ port, host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  const lateness = await pace(load, (dueAt) => {
    const bytes = Buffer.allocUnsafe(8)
    bytes.writeDoubleLE(dueAt)
    socket.write(bytes)
  })
  socket.end()
  return lateness
}

/** Databases stay open: opening and filling is no part of a measurement. */
const alone = new Map<string, PlainLevel>()

async function loadAlone(request: ClosedLoad & { readonly dir: string }): Promise<Measurement> {
  const { dir, workload, inFlight, ms } = request
  let plain = alone.get(dir)
  if (plain === undefined) {
    plain = await PlainLevel.open(dir, workload.keyCount, workload.valueBytes)
    alone.set(dir, plain)
  }
  const load = operationsOn(plain, workload)
  return measure(inFlight, ms, workload.batch, () => load.run(load.next()))
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
  drive: ({ port, load }) => drive(port, load),
  open: ({ addresses, workload, load }) =>
    connected(addresses, (store) => openLoop(load, operationsOf(store, workload))),
  closed: ({ addresses, workload, inFlight, ms }) =>
    connected(addresses, (store) => {
      const load = operationsOf(store, workload)
      return measure(inFlight, ms, workload.batch, () => load.run(load.next()))
    }),
  alone: loadAlone,
}

process.on('message', ({ id, operation, request }: GeneratorRequest) => {
  operations[operation](request as never).then(
    (result) => process.send?.({ id, result }),
    (error: unknown) =>
      process.send?.({ id, error: error instanceof Error ? error.stack : String(error) }),
  )
})
process.on('disconnect', () => process.exit(0))
process.on('SIGINT', () => {})
