/** What every Network must do: a suite for networks of your own. TCP, unix sockets and the simulation run it, too. */
import assert from 'node:assert/strict'
import type { Connection, Listener, Network } from '../../env/network.js'
import { registerCases, type SuiteCase, type SuiteOptions } from './suite.js'

/** A network with two ends, and a way to let its time pass. */
export interface NetworkLab {
  readonly client: Network
  readonly server: Network
  /** A fresh address to listen on. */
  address(): string
  /** Gives the result of `promise`, while the network's time passes. */
  complete<T>(promise: Promise<T>): Promise<T>
  /** Returns once `condition` holds; fails when it does not for long. */
  until(condition: () => boolean): Promise<void>
  close(): Promise<void>
}

/** One side of a connection and everything its owner heard. */
class Side {
  readonly connection: Connection
  received: Buffer = Buffer.alloc(0)
  drains = 0
  closes: (Error | undefined)[] = []
  afterClose = 0

  constructor(connection: Connection) {
    this.connection = connection
  }

  hear(): this {
    this.connection.setHandlers({
      data: (bytes) => {
        this.received = Buffer.concat([this.received, bytes])
        this.#note()
      },
      drain: () => {
        this.drains++
        this.#note()
      },
      close: (error) => {
        this.#note()
        this.closes.push(error)
      },
    })
    return this
  }

  #note(): void {
    if (this.closes.length > 0) this.afterClose++
  }
}

interface Pair {
  readonly listener: Listener
  readonly client: Side
  readonly server: Side
}

/** Listeners of the test that runs, closed after it, however it ended. */
const listeners: Listener[] = []

async function pairOf(lab: NetworkLab): Promise<Pair> {
  let accepted: Connection | undefined
  const listener = await lab.complete(
    lab.server.listen(lab.address(), undefined, (connection) => {
      accepted = connection
    }),
  )
  listeners.push(listener)
  const connection = await lab.complete(lab.client.connect(listener.address, undefined))
  await lab.until(() => accepted !== undefined)
  return { listener, client: new Side(connection), server: new Side(accepted!) }
}

/** A pattern in which every position can be told from its neighbours. */
function pattern(bytes: number): Buffer {
  const buffer = Buffer.alloc(bytes)
  for (let i = 0; i < bytes; i++) buffer[i] = (i * 7 + (i >> 8)) & 0xff
  return buffer
}

/** Runs the suite. */
export function networkSuite(options: SuiteOptions<NetworkLab>): void {
  registerCases(options, CASES, async (lab, check) => {
    try {
      await check(lab)
    } finally {
      for (const listener of listeners.splice(0)) await lab.complete(listener.close())
      await lab.close()
    }
  })
}

const CASES: readonly SuiteCase<NetworkLab>[] = [
  [
    'bytes arrive unchanged and in order, in both directions',
    async (lab) => {
      const { client, server } = await pairOf(lab)
      client.hear()
      server.hear()
      const bytes = pattern(100_000)
      for (const [from, to, length] of [
        [0, 1, 0],
        [1, 10, 0],
        [10, 100_000, 0],
      ] as const) {
        client.connection.write([bytes.subarray(from, from + length), bytes.subarray(from, to)])
      }
      server.connection.write([bytes.subarray(0, 3), bytes.subarray(3, 70_000)])
      server.connection.write([bytes.subarray(70_000)])
      await lab.until(
        () => server.received.length === 100_000 && client.received.length === 100_000,
      )
      assert.deepEqual(server.received, bytes)
      assert.deepEqual(client.received, bytes)
    },
  ],

  [
    'what comes before there are handlers waits for them',
    async (lab) => {
      const { client, server } = await pairOf(lab)
      client.hear()
      client.connection.write([Buffer.from('early')])
      server.connection.write([Buffer.from('sign')])
      await lab.until(() => client.received.length === 4)
      server.hear()
      await lab.until(() => server.received.length === 5)
    },
  ],

  [
    'a close that came before there are handlers is told to them',
    async (lab) => {
      const { client, server } = await pairOf(lab)
      client.hear().connection.destroy()
      await lab.until(() => client.closes.length === 1)
      server.hear()
      await lab.until(() => server.closes.length === 1)
    },
  ],

  [
    'a writer that is ahead is told to stop, and when to go on',
    async (lab) => {
      const { client, server } = await pairOf(lab)
      client.hear()
      const chunk = pattern(1_048_576)
      let chunks = 0
      let isAhead = false
      while (client.connection.queuedBytes === 0 && chunks++ < 200) {
        isAhead = !client.connection.write([chunk])
      }
      assert(isAhead)
      const drains = client.drains
      server.hear()
      await lab.until(() => client.drains > drains)
      await lab.until(() => server.received.length === chunks * chunk.length)
      assert.equal(client.connection.queuedBytes, 0)
    },
  ],

  [
    'destroy ends both sides, each hears it once and nothing after it',
    async (lab) => {
      const { client, server } = await pairOf(lab)
      client.hear()
      server.hear()
      server.connection.write([Buffer.from('x')])
      client.connection.destroy()
      client.connection.destroy()
      assert.deepEqual(client.closes, [], 'close came from within the call')
      await lab.until(() => client.closes.length > 0 && server.closes.length > 0)
      assert.deepEqual(client.closes, [undefined])
      assert.equal(server.closes.length, 1)
      assert.equal(client.afterClose + server.afterClose, 0)
    },
  ],

  [
    'writing to a connection that has ended does nothing',
    async (lab) => {
      const { client, server } = await pairOf(lab)
      client.hear()
      server.hear()
      client.connection.destroy()
      assert.equal(client.connection.write([Buffer.from('late')]), false)
      await lab.until(() => server.closes.length === 1)
      assert.equal(server.connection.write([Buffer.from('late')]), false)
      assert.equal(server.received.length, 0)
    },
  ],

  [
    'connecting fails where nothing listens any more',
    async (lab) => {
      const { listener } = await pairOf(lab)
      await lab.complete(listener.close())
      await assert.rejects(lab.complete(lab.client.connect(listener.address, undefined)))
    },
  ],

  [
    'an address is listened on once at a time, and again after it is closed',
    async (lab) => {
      const { listener } = await pairOf(lab)
      const listen = () => lab.complete(lab.server.listen(listener.address, undefined, () => {}))
      await assert.rejects(listen(), { code: 'EADDRINUSE' })
      await lab.complete(listener.close())
      const second = await listen()
      assert.equal(second.address, listener.address)
      await lab.complete(second.close())
    },
  ],

  [
    'closing a listener ends the connections it accepted',
    async (lab) => {
      const { client, listener } = await pairOf(lab)
      client.hear()
      await lab.complete(listener.close())
      await lab.until(() => client.closes.length === 1)
    },
  ],
]
