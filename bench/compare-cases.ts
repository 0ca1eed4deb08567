/** What is measured of each system that is there, in the order in which they take turns. */
import type { Ack, ReadLevel } from '../src/index.js'
import { KEY_COUNT, type Systems, VALUE_BYTES } from './compare-systems.js'
import type { Measurement } from './measure.js'
import type { PeerOperation, SyncRequest } from './peer-process.js'
import { PEERS, type PeerName } from './peers.js'
import type { Workload } from './workload.js'

/** What a measurement gives: a loop's figures, or milliseconds. */
export type Measured = Measurement | { readonly value: number }

/** One thing to measure; its `id` is what aims refer to. */
export interface Case {
  readonly id: string
  readonly system: string
  readonly operation: string
  readonly inFlight: number
  readonly measure: (ms: number) => Promise<Measured>
}

/** Everything that can be measured here. */
export function casesOf(systems: Systems): Case[] {
  return [
    ...PEERS.flatMap((peer) => peerCases(systems, peer)),
    ...loneCases(systems),
    ...clusterCases(systems),
    ...clientCases(systems),
    syncCase(systems, 'fdatasync', 'fdatasync of 512 B, preallocated', 'this thread'),
    syncCase(systems, 'pooled fdatasync', 'the same in a thread of Node’s pool', 'pool'),
    {
      id: 'first put',
      system: 'quorate × 1',
      operation: 'open an empty folder and put',
      inFlight: 1,
      measure: async () => ({ value: await systems.firstPut() }),
    },
  ]
}

function syncCase(
  { disk, newFolder }: Systems,
  id: string,
  operation: string,
  from: SyncRequest['from'],
): Case {
  return {
    id,
    system: 'this disk',
    operation,
    inFlight: 1,
    measure: (ms) => disk.call('fdatasync', { dir: newFolder(), ms, from }),
  }
}

function peerCases({ peers }: Systems, peer: PeerName): Case[] {
  const child = peers.get(peer)
  if (child === undefined) return []
  const name = peer === 'etcd' ? 'etcd × 3' : peer
  const one = (operation: PeerOperation, inFlight: number): Case => ({
    id: `${peer} ${operation} ${inFlight}`,
    system: name,
    operation,
    inFlight,
    measure: (ms) => child.call('measure', { operation, inFlight, ms }),
  })
  const embedded = [one('batch of 1,000', 1), one('scan', 1)]
  return [
    ...[1, 64, 256].map((inFlight) => one('put', inFlight)),
    one('get', 64),
    ...(peer === 'etcd' ? [one('serializable get', 64)] : []),
    ...(peer === 'classic-level' ? embedded : []),
    ...(peer === 'lmdb' ? [one('scan', 1)] : []),
  ]
}

/** A workload of one kind of operation. */
function workload(kind: 'put' | 'get', level: ReadLevel): Workload {
  const ack: Ack = 'quorum'
  return {
    mix: { [kind]: 1 },
    keyCount: KEY_COUNT,
    choice: 'uniform',
    valueBytes: VALUE_BYTES,
    level,
    ack,
    batch: 1,
    seed: 1,
  }
}

function loneCases({ lone }: Systems): Case[] {
  return [
    ...[1, 64, 256].map((inFlight) => memberCase('quorate × 1', 'one', lone, 'put', inFlight)),
    memberCase('quorate × 1', 'one', lone, 'strong', 64),
    memberCase('quorate × 1', 'one', lone, 'eventual', 64),
    {
      id: 'one scan',
      system: 'quorate × 1',
      operation: 'scan',
      inFlight: 1,
      measure: (ms) => lone().call('scanAll', { level: 'strong', keyCount: KEY_COUNT, ms }),
    },
  ]
}

function clusterCases({ leader, follower }: Systems): Case[] {
  const name = 'quorate × 3'
  return [
    ...[1, 64, 256].map((inFlight) =>
      memberCase(`${name}, leader`, 'leader', leader, 'put', inFlight),
    ),
    {
      id: 'loop delay',
      system: `${name}, leader`,
      operation: 'event loop delay p99 under 256 puts',
      inFlight: 256,
      measure: async (ms) => {
        await leader().call('loopDelay', undefined)
        await leader().call('closed', { workload: workload('put', 'strong'), inFlight: 256, ms })
        return { value: await leader().call('loopDelay', undefined) }
      },
    },
    memberCase(`${name}, follower`, 'follower', follower, 'put', 256),
    ...(['strong', 'session', 'eventual'] as const).flatMap((level) => [
      memberCase(`${name}, leader`, 'leader', leader, level, 64),
      memberCase(`${name}, follower`, 'follower', follower, level, 64),
    ]),
  ]
}

function memberCase(
  system: string,
  id: string,
  member: Systems['leader'],
  what: 'put' | ReadLevel,
  inFlight: number,
): Case {
  const load = what === 'put' ? workload('put', 'strong') : workload('get', what)
  return {
    id: `${id} ${what} ${inFlight}`,
    system,
    operation: what === 'put' ? 'put' : `get, ${what}`,
    inFlight,
    measure: async (ms) => {
      const measured = await member().call('closed', { workload: load, inFlight, ms })
      const { role } = await member().call('status', undefined)
      // Figures of a member that lost its office would be of something else.
      if (role !== (id === 'follower' ? 'follower' : 'leader')) {
        throw new Error(`${system} is ${role} now: run it again`)
      }
      return measured
    },
  }
}

/** From another process, through `connect`. */
function clientCases({ client, addresses }: Systems): Case[] {
  const one = (what: 'put' | ReadLevel, inFlight: number): Case => ({
    id: `client ${what} ${inFlight}`,
    system: 'quorate × 3, client',
    operation: what === 'put' ? 'put' : `get, ${what}`,
    inFlight,
    measure: (ms) =>
      client.call('closed', {
        addresses,
        workload: what === 'put' ? workload('put', 'strong') : workload('get', what),
        inFlight,
        ms,
      }),
  })
  return [one('put', 1), one('put', 64), one('put', 256), one('strong', 64), one('eventual', 64)]
}
