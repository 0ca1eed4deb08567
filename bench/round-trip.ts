/** What the fault proxy really adds to a round trip on this machine: its timers are Node's. */
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { FaultPlan, FaultProxy } from '../src/cli/processes/fault-proxy.js'
import { Latencies, type LatencySummary } from './latencies.js'

const ROUND_TRIPS = 40

/** One byte there and back through a proxy that is told to add `rttMs`, one after the other. */
export async function measureRoundTrip(rttMs: number): Promise<LatencySummary> {
  const echo = createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => socket.destroy())
    socket.pipe(socket)
  })
  echo.listen(0, '127.0.0.1')
  await once(echo, 'listening')
  const address = echo.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const plan = new FaultPlan()
  plan.slowAll(rttMs / 2)
  const proxy = new FaultProxy('echo', port, plan)
  const socket = connect({ port: await proxy.listen(), host: '127.0.0.1', noDelay: true })
  await once(socket, 'connect')
  const latencies = new Latencies()
  for (let i = 0; i < ROUND_TRIPS; i++) {
    const begun = performance.now()
    socket.write('?')
    await once(socket, 'data')
    latencies.record(performance.now() - begun)
  }
  socket.destroy()
  await proxy.close()
  echo.close()
  return latencies.summary()
}
