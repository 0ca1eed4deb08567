/** The other systems that are servers: started in a folder of the benchmark, on the loopback, and ended with it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { freePorts, until } from '../src/cli/processes/process-cluster.js'

const READY_WITHIN_MS = 30_000

/** Processes of a system. */
export interface Servers {
  readonly ports: readonly number[]
  end(): Promise<void>
}

/** Three etcd servers as its documentation has them, each in its own folder. */
export async function startEtcd(root: string): Promise<Servers> {
  const [clients, peers] = [await freePorts(3), await freePorts(3)]
  const names = ['a', 'b', 'c']
  const url = (port: number): string => `http://127.0.0.1:${port}`
  const all = names.map((name, i) => `${name}=${url(peers[i]!)}`).join(',')
  const children = names.map((name, i) =>
    start('etcd', [
      ...['--name', name, '--data-dir', join(root, name)],
      ...['--listen-client-urls', url(clients[i]!), '--advertise-client-urls', url(clients[i]!)],
      ...['--listen-peer-urls', url(peers[i]!), '--initial-advertise-peer-urls', url(peers[i]!)],
      ...['--initial-cluster', all, '--initial-cluster-state', 'new'],
      ...['--logger', 'zap', '--log-level', 'error'],
    ]),
  )
  return running(children, clients)
}

/** One Redis that syncs every write before it answers. */
export async function startRedis(root: string): Promise<Servers> {
  mkdirSync(root, { recursive: true })
  const ports = await freePorts(1)
  const child = start('redis-server', [
    ...['--port', String(ports[0]), '--bind', '127.0.0.1', '--dir', root],
    ...['--appendonly', 'yes', '--appendfsync', 'always', '--save', '', '--loglevel', 'warning'],
  ])
  return running([child], ports)
}

function start(program: string, args: readonly string[]): ChildProcess {
  return spawn(program, args, { stdio: ['ignore', 'ignore', 'ignore'] })
}

async function running(
  children: readonly ChildProcess[],
  ports: readonly number[],
): Promise<Servers> {
  const servers: Servers = {
    ports,
    end: async () => {
      await Promise.all(children.map(ended))
    },
  }
  try {
    await until(READY_WITHIN_MS, 'a server did not listen', async () => {
      return (await Promise.all(ports.map(isListening))).every((listens) => listens)
    })
  } catch (error) {
    await servers.end()
    throw error
  }
  return servers
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) resolve()
    child.once('exit', () => resolve())
    child.kill('SIGKILL')
  })
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    const answer = (listens: boolean): void => {
      socket.destroy()
      resolve(listens)
    }
    socket.once('connect', () => answer(true))
    socket.once('error', () => answer(false))
  })
}
