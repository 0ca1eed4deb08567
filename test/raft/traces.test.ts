/**
 * Golden traces of what this core has and etcd-io/raft's scripts do not show: session ids, bodies fetched from the
 * log, peers whose process is gone, clocks that stood still. Text in, text out: `UPDATE_TRACES=1` rewrites the
 * expected output in test/traces, and the reviewer reads the diff.
 *
 *   cluster 3 preVote=true         nodes 1 to 3 with options of the core
 *   elect 1 | campaign 1 | tick 1 5 | run 3 | settle | cut 1 2 / 3 | heal | crash 1 | restart 1
 *   propose 1 a b | change 1 v4 l5 | read 1 | compact 1 7
 *   peer-down 1 2 | unreachable 1 2 | clock-gap 1
 *   ready 1                        takes what node 1 wants done, and shows it
 *   flush 1 | fetch 1 | fail-fetch 1 retry
 *   deliver [to=2] [type=append]   delivers and shows messages; `lose` loses them
 *   status 1 | peers 1
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  describeEntry,
  describeMessage,
  describePeer,
  describeStatus,
} from '../../src/raft/describe.js'
import type { CoreOptions, Message, Ready } from '../../src/raft/types.js'
import { type Cluster, change, cluster } from './harness.js'

const TRACES = join(import.meta.dirname, '../../../test/traces')
const SEPARATOR = '----'

/** Runs the commands of one trace. */
class Tracer {
  #t: Cluster = cluster(1)

  run(line: string): string[] {
    const [command, ...words] = line.split(' ') as [string, ...string[]]
    const id = Number(words[0])
    switch (command) {
      case 'cluster':
        this.#t = cluster(id, optionsOf(words.slice(1)))
        return []
      case 'ready': {
        const ready = this.#t.pump(id)
        return ready === undefined ? ['nothing'] : describeReady(ready)
      }
      case 'deliver':
        return this.#move(words, (message) => this.#t.deliver(message))
      case 'lose':
        return this.#move(words, (message) => this.#t.lose(message))
      case 'status':
        return [describeStatus(this.#t.core(id).status())]
      case 'peers':
        return this.#t
          .core(id)
          .status()
          .peers.map((peer) => `${describePeer(peer)} session ${peer.session}`)
      case 'settle':
        this.#t.settle()
        return []
      case 'run':
        this.#t.run(id)
        return []
      case 'cut':
        this.#t.cut(words.join(' ').replaceAll('/', '|'))
        return []
      case 'heal':
        this.#t.heal()
        return []
      default:
        this.#runOn(id, command, words.slice(1))
        return []
    }
  }

  #runOn(id: number, command: string, words: readonly string[]): void {
    const t = this.#t
    const first = Number(words[0])
    switch (command) {
      case 'elect':
        t.elect(id)
        return
      case 'campaign':
        t.core(id).step({ type: 'campaign' })
        return
      case 'tick':
        t.tick(id, Number.isNaN(first) ? 1 : first)
        return
      case 'propose':
        t.propose(id, ...words)
        return
      case 'change':
        t.proposeChange(id, change(words.join(' ')))
        return
      case 'read':
        t.read(id)
        return
      case 'compact':
        t.compact(id, first)
        return
      case 'crash':
        t.crash(id)
        return
      case 'restart':
        t.restart(id)
        return
      case 'flush':
        assert.ok(t.flush(id), 'there is nothing to flush')
        return
      case 'fetch':
        assert.ok(t.answerFetch(id), 'there is no fetch')
        return
      case 'fail-fetch': {
        const why = words[0] === 'compacted' ? 'compacted' : 'retry'
        const fetch = t.node(id).fetches.shift()!
        t.core(id).step({ type: 'entriesUnavailable', id: fetch.id, why })
        return
      }
      case 'peer-down':
        t.core(id).step({ type: 'peerDown', peer: first })
        return
      case 'unreachable':
        t.core(id).step({ type: 'unreachable', peer: first })
        return
      case 'clock-gap':
        t.core(id).step({ type: 'clockGap', ms: 5_000 })
        return
      default:
        assert.fail(`unknown command ${command}`)
    }
  }

  #move(words: readonly string[], move: (message: Message) => void): string[] {
    const wanted = new Map(words.map((word) => word.split('=') as [string, string]))
    const isWanted = (message: Message) =>
      [...wanted].every(([key, value]) => String(Reflect.get(message, key)) === value)
    const taken = this.#t.messages.filter(isWanted)
    this.#t.messages = this.#t.messages.filter((message) => !isWanted(message))
    for (const message of taken) move(message)
    return taken.map(describeMessage)
  }
}

function optionsOf(words: readonly string[]): Partial<CoreOptions> {
  return Object.fromEntries(
    words.map((word) => {
      const [key, value] = word.split('=') as [string, string]
      return [key, value === 'true' || value === 'false' ? value === 'true' : Number(value)]
    }),
  )
}

function describeReady(ready: Ready): string[] {
  const { soft, append, apply } = ready
  const lines: string[] = []
  if (soft !== undefined) lines.push(`soft ${soft.role} t${soft.term} leader ${soft.leader}`)
  if (append !== undefined) {
    const { hardState: hard, snapshot, entries, responses, mustSync } = append
    const parts = [`write ${append.id}${mustSync ? ' sync' : ''}`]
    if (hard !== undefined) parts.push(`t${hard.term} vote ${hard.vote} commit ${hard.commit}`)
    if (snapshot !== undefined) parts.push(`snapshot ${snapshot.term}/${snapshot.index}`)
    lines.push(parts.join(', '))
    lines.push(...entries.map((entry) => `  ${describeEntry(entry)}`))
    lines.push(...responses.map((message) => `  then ${describeMessage(message)}`))
  }
  if (apply !== undefined) lines.push(...apply.entries.map((one) => `apply ${describeEntry(one)}`))
  lines.push(...ready.messages.map((message) => `send ${describeMessage(message)}`))
  lines.push(...ready.reads.map(({ token, index }) => `read ${token} at ${index}`))
  lines.push(...ready.dropped.map(({ token, why }) => `dropped ${token} ${why}`))
  lines.push(
    ...ready.fetches.map(
      ({ id, peer, from, to }) => `fetch ${id} for ${peer} from ${from} to ${to}`,
    ),
  )
  lines.push(
    ...ready.snapshotsWanted.map(
      ({ peer, atLeast, session }) => `snapshot for ${peer} at least ${atLeast} session ${session}`,
    ),
  )
  return lines
}

/** The trace with the output that it gives now; comments and commands stay as they are. */
function replay(trace: string): string {
  const tracer = new Tracer()
  const out: string[] = []
  let isOutput = false
  for (const line of trace.trimEnd().split('\n')) {
    if (line === '') isOutput = false
    if (isOutput) continue
    out.push(line)
    if (line === '' || line.startsWith('#')) continue
    const lines = tracer.run(line)
    isOutput = true
    if (lines.length > 0) out.push(SEPARATOR, ...lines)
  }
  return `${out.join('\n')}\n`
}

for (const file of readdirSync(TRACES).filter((name) => name.endsWith('.txt'))) {
  test(`the core goes the way of the trace ${file}`, () => {
    const path = join(TRACES, file)
    const trace = readFileSync(path, 'utf8')
    const now = replay(trace)
    if (process.env.UPDATE_TRACES === '1') writeFileSync(path, now)
    else assert.equal(now, trace)
  })
}
