/**
 * How fast are values coded and rebuilt: by the native kernel and by WebAssembly, beside ISA-L?
 *
 * GB/s count the bytes of the value, not the parity; a value of the given size is k shards, each a k-th of it.
 * Rebuilding is the worst case: as many data shards are lost as the code bears. All run on one thread, in memory
 * as the system's allocator gives it, and seconds are those that the processor gave to them. They take turns within
 * each run, so that the load of the machine meets all of them; figures are medians over the runs, and ratios
 * medians of the ratios within a run.
 *
 * The second table is what decides when an operation leaves the event loop: what an encoding takes at the call,
 * what handing it over to another thread takes of the event loop's time, and when it is done there.
 */
import { parseFlags, wholeNumber } from '../src/cli/command-line.js'
import { print, table } from '../src/cli/terminal.js'
import type { Backend } from '../src/erasure/backend.js'
import { chooseBackend } from '../src/erasure/choose.js'
import { Code, type Plan } from '../src/erasure/code.js'
import type { Operation } from '../src/erasure/operation.js'
import { Peer } from './erasure-peer.js'
import { describeMachine, thisMachine } from './machine.js'
import { median } from './measure.js'
import { figure, type Row, resultsNow, writeResults } from './results.js'

const HELP = `npm run bench -- erasure [flags]

  --quick      one short run: whether it works, not what it does
  --runs N     runs (5)
  --ms N       milliseconds per measurement (100)
  --json FILE  write all figures there as well

QUORATE_ERASURE=native:ssse3 measures another instruction set.`

const CODES = [
  [2, 1],
  [3, 2],
  [4, 2],
  [10, 4],
] as const
const SIZES = [64 << 10, 1 << 20, 16 << 20]
const HAND_OVER_SIZES = [16, 64, 128, 256, 512, 1024, 4096].map((kib) => kib << 10)
const QUICK = { runs: 1, ms: 5 }

const SYSTEMS = ['native', 'wasm', 'ISA-L'] as const
type System = (typeof SYSTEMS)[number]

interface Case {
  readonly code: string
  readonly what: 'encode' | 'rebuild'
  readonly valueBytes: number
  readonly plan: Plan
}

interface Result {
  readonly code: string
  readonly what: Case['what']
  readonly valueBytes: number
  /** Per run, in bytes per second; only of the systems that are there. */
  readonly bytesPerSecond: Readonly<Partial<Record<System, readonly number[]>>>
}

interface Systems {
  readonly native: Backend | undefined
  readonly wasm: Backend
  readonly peer: Peer | undefined
}

function cases(): Case[] {
  return CODES.flatMap(([k, m]) => {
    const code = new Code(k, m)
    const indexes = Array.from({ length: k + m }, (_, i) => i)
    const lost = indexes.slice(0, Math.min(k, m))
    const left = indexes.slice(lost.length, lost.length + k)
    return SIZES.flatMap((valueBytes): Case[] => [
      { code: `${k}+${m}`, what: 'encode', valueBytes, plan: code.encoding },
      { code: `${k}+${m}`, what: 'rebuild', valueBytes, plan: code.plan(left, lost) },
    ])
  })
}

function operationOf({ plan, valueBytes }: Pick<Case, 'plan' | 'valueBytes'>): Operation {
  const shardBytes = Math.ceil(valueBytes / plan.dataShards)
  const shard = (fill: number): Buffer => Buffer.alloc(shardBytes, `quorate ${fill}`)
  return { plan, sources: plan.sources.map(shard), targets: plan.targets.map(shard) }
}

/** Doubles the batch until one takes long enough, as the peer does. */
function bytesPerSecond(backend: Backend, operation: Operation, ms: number): number {
  const bytes = operation.sources.length * operation.sources[0]!.length
  for (let batch = 1; ; batch *= 2) {
    const begun = process.cpuUsage()
    for (let i = 0; i < batch; i++) backend.run(operation)
    const { user, system } = process.cpuUsage(begun)
    const taken = (user + system) / 1000
    if (taken >= ms) return (batch * bytes * 1000) / taken
  }
}

async function measureCase(
  each: Case,
  systems: Systems,
  runs: number,
  ms: number,
): Promise<Result> {
  const { native, wasm, peer } = systems
  const operation = operationOf(each)
  const length = operation.sources[0]!.length
  const taken: Record<System, number[]> = { native: [], wasm: [], 'ISA-L': [] }
  for (let run = 0; run < runs; run++) {
    if (native !== undefined) taken.native.push(bytesPerSecond(native, operation, ms))
    if (peer !== undefined) taken['ISA-L'].push(await peer.bytesPerSecond(each.plan, length, ms))
    taken.wasm.push(bytesPerSecond(wasm, operation, ms))
  }
  const there = SYSTEMS.filter((system) => taken[system].length > 0)
  return {
    code: each.code,
    what: each.what,
    valueBytes: each.valueBytes,
    bytesPerSecond: Object.fromEntries(there.map((system) => [system, taken[system]])),
  }
}

function sizeOf(bytes: number): string {
  return bytes < 1 << 20 ? `${bytes >> 10} KiB` : `${bytes >> 20} MiB`
}

function rowOf({ code, what, valueBytes, bytesPerSecond: speeds }: Result): string[] {
  const speed = (system: System): string => {
    const all = speeds[system]
    return all === undefined ? '-' : (median(all) / 1e9).toFixed(2)
  }
  const ratio = (system: System): string => {
    const [mine, theirs] = [speeds.native, speeds[system]]
    if (mine === undefined || theirs === undefined) return '-'
    return `${median(mine.map((each, run) => each / theirs[run]!)).toFixed(2)}x`
  }
  return [
    `${code} ${what}, ${sizeOf(valueBytes)}`,
    ...SYSTEMS.map(speed),
    ratio('ISA-L'),
    ratio('wasm'),
  ]
}

/** Medians, in microseconds. */
interface HandOver {
  readonly valueBytes: number
  readonly atTheCallUs: number
  /** Until `runLater` returns. */
  readonly handingOverUs: number
  /** Until its promise is settled. */
  readonly onAThreadUs: number
}

/** One encoding at a time, by 2+1. */
async function measureHandOver(
  backend: Backend,
  valueBytes: number,
  ms: number,
): Promise<HandOver> {
  const operation = operationOf({ plan: new Code(2, 1).encoding, valueBytes })
  const [atTheCall, handingOver, onAThread] = [[], [], []] as [number[], number[], number[]]
  for (const end = performance.now() + ms; performance.now() < end; ) {
    const begun = performance.now()
    backend.run(operation)
    const called = performance.now()
    const done = backend.runLater(operation)
    handingOver.push(performance.now() - called)
    await done
    onAThread.push(performance.now() - called)
    atTheCall.push(called - begun)
  }
  return {
    valueBytes,
    atTheCallUs: median(atTheCall) * 1000,
    handingOverUs: median(handingOver) * 1000,
    onAThreadUs: median(onAThread) * 1000,
  }
}

function printResults(results: readonly Result[], native: Backend | undefined): void {
  const title = `GB/s${native === undefined ? '' : `, native is ${native.instructions}`}`
  print(table([title, ...SYSTEMS, 'native/ISA-L', 'native/wasm'], results.map(rowOf)))
}

function printHandOver(handOver: readonly HandOver[]): void {
  const rows = handOver.map(({ valueBytes, ...times }) => [
    sizeOf(valueBytes),
    ...[times.atTheCallUs, times.handingOverUs, times.onAThreadUs].map((us) => us.toFixed(1)),
  ])
  const title = '2+1 encode, microseconds'
  print(table([title, 'at the call', 'handing over', 'on a thread'], rows))
}

/** Says which of them are not there, and why. */
function startSystems(): Systems {
  const { backend, status } = chooseBackend(undefined)
  for (const { backend: label, reason } of status.passedOver) print(`not here  ${label}: ${reason}`)
  const peer = Peer.start()
  if (typeof peer === 'string') print(`not here  ISA-L: ${peer}`)
  return {
    native: backend.name === 'native' ? backend : undefined,
    wasm: chooseBackend('wasm').backend,
    peer: typeof peer === 'string' ? undefined : peer,
  }
}

interface Found {
  readonly results: readonly Result[]
  readonly handOver: readonly HandOver[]
}

async function measureAll(systems: Systems, runs: number, ms: number): Promise<Found> {
  const results: Result[] = []
  for (const each of cases()) results.push(await measureCase(each, systems, runs, ms))
  const { native } = systems
  printResults(results, native)
  const handOver: HandOver[] = []
  if (native === undefined) return { results, handOver }
  for (const bytes of HAND_OVER_SIZES) handOver.push(await measureHandOver(native, bytes, ms))
  printHandOver(handOver)
  return { results, handOver }
}

function rowsOf({ results, handOver }: Found): readonly Row[] {
  const codes = results.map(({ code, what, valueBytes, bytesPerSecond: speeds }): Row => {
    const there = Object.entries(speeds).map(([system, runs]) => [
      system,
      figure('bytes per s', runs),
    ])
    return { labels: { code, what, 'value bytes': valueBytes }, figures: Object.fromEntries(there) }
  })
  const ms = (us: number) => figure('ms', [us / 1000])
  const handed = handOver.map(({ valueBytes, ...times }): Row => {
    const { atTheCallUs, handingOverUs, onAThreadUs } = times
    return {
      labels: { code: '2+1', 'value bytes': valueBytes },
      figures: {
        'at the call': ms(atTheCallUs),
        'handing over': ms(handingOverUs),
        'on a thread': ms(onAThreadUs),
      },
    }
  })
  return [...codes, ...handed]
}

/** Runs the benchmark and prints its tables. */
export async function erasure(args: readonly string[]): Promise<void> {
  const flags = parseFlags(args, {
    quick: { type: 'boolean', default: false },
    runs: { type: 'string', default: '5' },
    ms: { type: 'string', default: '100' },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  })
  if (flags.help) {
    print(HELP)
    return
  }
  const { runs, ms } = flags.quick
    ? QUICK
    : { runs: wholeNumber('runs', flags.runs, 1), ms: wholeNumber('ms', flags.ms, 1) }
  const machine = thisMachine('erasure', args)
  print(describeMachine(machine))
  const systems = startSystems()
  try {
    const found = await measureAll(systems, runs, ms)
    if (flags.json === undefined) return
    const instructions = systems.native?.instructions ?? 'none'
    const plan = { runs, ms, instructions }
    await writeResults(flags.json, resultsNow('erasure', machine, plan, rowsOf(found)))
  } finally {
    systems.peer?.stop()
  }
}
