/**
 * What do recovery and maintenance cost: opening after a close and after kill -9, checkpoints, snapshots, backups?
 *
 * Opening must not depend on how much there is; everything that copies the state is compared with `cp -r` of the same
 * folder, in the same run and just before.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { parseFlags, wholeNumber } from '../src/cli/command-line.js'
import { MemberChild } from '../src/cli/processes/member-child.js'
import { freePorts } from '../src/cli/processes/process-cluster.js'
import { bytes, count, milliseconds, paint, print, table } from '../src/cli/terminal.js'
import { type OpenOptions, Store } from '../src/index.js'
import { describeMachine, thisMachine } from './machine.js'
import { median } from './measure.js'
import type { Beside, RecoveryOperations } from './recovery-operations.js'
import { figure, type Row, resultsNow, writeResults } from './results.js'

const HELP = `npm run bench -- recovery [flags]

  --quick      small sizes, one opening each: whether it works, not what it does
  --opens N    how often each folder is opened (3)
  --part P     only this: opening, or maintenance (checkpoint, snapshot, backup beside a load)
  --json FILE  write all figures there as well`

const VALUE_BYTES = 128
/** Written behind the last checkpoint before each kill -9: what has to be replayed. */
const CHURN = 20_000
const SNAPSHOT_VALUE_BYTES = 1024
/** What may be measured alone. */
const PARTS: readonly string[] = ['opening', 'maintenance']
const QUIET_MS = 3000
const OPTIONS = { valueEncoding: 'binary' } as const
/** So that a newcomer gets a snapshot rather than the log. */
const SHORT_LOG = { storage: { keepLogBytes: 1 << 20 } }

interface Plan {
  readonly keyCounts: readonly number[]
  /** Of 1 KiB each. */
  readonly snapshotKeys: number
  readonly opens: number
}

const FULL: Plan = { keyCounts: [100_000, 1_000_000, 5_000_000], snapshotKeys: 1 << 20, opens: 3 }
const QUICK: Plan = { keyCounts: [10_000, 50_000], snapshotKeys: 20_000, opens: 1 }

interface Opening {
  readonly keys: number
  readonly folderBytes: number
  readonly afterCloseMs: number
  readonly afterKillMs: number
  readonly copyMs: number
}

/** Something that copies all data, beside `cp -r`. */
interface Copying {
  readonly what: string
  readonly bytes: number
  readonly ms: number
  readonly copyMs: number
}

interface Maintenance {
  readonly stalls: readonly { readonly what: string; readonly beside: Beside }[]
  readonly copying: readonly Copying[]
  readonly receiverBytes: number
}

const run = promisify(execFile)
/** All that were started and not ended in good order. */
const children = new Set<MemberChild<RecoveryOperations>>()

/** Runs the benchmark and prints its tables. */
export async function recovery(args: readonly string[]): Promise<void> {
  const flags = parseFlags(args, {
    quick: { type: 'boolean', default: false },
    opens: { type: 'string', default: String(FULL.opens) },
    part: { type: 'string' },
    json: { type: 'string' },
    help: { type: 'boolean', default: false },
  })
  if (flags.help) return print(HELP)
  const { part } = flags
  if (part !== undefined && !PARTS.includes(part)) {
    throw new RangeError(`--part is one of ${PARTS.join(', ')}`)
  }
  const plan = flags.quick ? QUICK : { ...FULL, opens: wholeNumber('opens', flags.opens, 1) }
  const machine = thisMachine('recovery', args)
  print(describeMachine(machine))
  const root = await mkdtemp(join(tmpdir(), 'quorate-recovery-'))
  try {
    const openings: Opening[] = []
    if (part !== 'maintenance') {
      for (const keys of plan.keyCounts) openings.push(await measureOpening(root, keys, plan.opens))
      print(`\n${describeOpenings(openings)}`)
    }
    let maintenance: Maintenance | undefined
    if (part !== 'opening') {
      maintenance = await measureMaintenance(root, plan.snapshotKeys)
      print(`\n${describeMaintenance(maintenance)}`)
    }
    if (flags.json === undefined) return
    const rows = [...openings.map(openingRow), ...maintenanceRows(maintenance)]
    await writeResults(flags.json, resultsNow('recovery', machine, { ...plan }, rows))
  } finally {
    // After a failure they would go on writing into what is removed.
    await Promise.all([...children].map((child) => child.kill()))
    await rm(root, { recursive: true, force: true })
  }
}

async function measureOpening(root: string, keys: number, opens: number): Promise<Opening> {
  const dir = join(root, `opening-${keys}`)
  const child = await openChild({ ...OPTIONS, dir })
  await child.call('fill', { from: 0, count: keys, valueBytes: VALUE_BYTES })
  await child.close()
  const afterClose: number[] = []
  for (let i = 0; i < opens; i++) afterClose.push(await timedOpen(dir, []))
  const afterKill: number[] = []
  for (let i = 0; i < opens; i++) {
    await timedOpen(dir, [String(CHURN)])
    afterKill.push(await timedOpen(dir, []))
  }
  const copyMs = await timedCopy(dir)
  const folderBytes = await sizeOf(dir)
  await rm(dir, { recursive: true })
  print(paint('dim', `${count(keys)} keys done`))
  const middle = { afterCloseMs: median(afterClose), afterKillMs: median(afterKill) }
  return { keys, folderBytes, ...middle, copyMs }
}

/** Opens `dir` in a new process; returns how long that took in there. */
async function timedOpen(dir: string, churn: readonly string[]): Promise<number> {
  const script = join(import.meta.dirname, 'recovery-open.js')
  const { stdout } = await run(process.execPath, [script, dir, ...churn]).catch(
    (error: unknown) => {
      // It kills itself after its writes.
      const ended = error as { readonly signal?: string; readonly stdout: string }
      if (ended.signal === 'SIGKILL') return ended
      throw error
    },
  )
  return Number(stdout)
}

async function measureMaintenance(root: string, keys: number): Promise<Maintenance> {
  const [dir, dest, restored] = ['member', 'backup', 'restored'].map((name) => join(root, name))
  const [portA, portB] = await freePorts(2)
  const addressOf = (port: number | undefined): string => `127.0.0.1:${port}`
  const options = { ...OPTIONS, ...SHORT_LOG, dir: dir!, id: 'a', listen: addressOf(portA) }
  const filler = await openChild(options)
  await filler.call('fill', { from: 0, count: keys, valueBytes: SNAPSHOT_VALUE_BYTES })
  // Measured and copied while nobody changes the files: LevelDB compacts for a while after it was filled.
  await filler.close()
  const size = await sizeOf(dir!)
  const copyMs = await timedCopy(dir!)
  const child = await openChild(options)
  const quiet = await child.call('beside', { action: { kind: 'nothing', ms: QUIET_MS } })
  const checkpoint = await child.call('beside', { action: { kind: 'checkpoint' } })
  const backup = await child.call('beside', { action: { kind: 'backup', dest: dest! } })
  const newcomer = startChild()
  const address = addressOf(portB)
  const member = { id: 'b', listen: address, join: [addressOf(portA)] }
  const opened = newcomer.open({ ...OPTIONS, ...SHORT_LOG, ...member, dir: join(root, 'newcomer') })
  const added = child.call('beside', { action: { kind: 'newcomer', id: 'b', address } })
  await opened
  await newcomer.call('watchMemory', undefined)
  const snapshot = await added
  const receiverBytes = await newcomer.call('memory', undefined)
  await newcomer.kill()
  await child.close()
  const verifyMs = await timed(() => Store.verify(dest!))
  const restoreMs = await timed(() => Store.restore(dest!, restored!))
  return {
    stalls: [
      { what: 'nothing else', beside: quiet },
      { what: 'checkpoint', beside: checkpoint },
      { what: 'backup', beside: backup },
      { what: 'snapshot to a newcomer', beside: snapshot },
    ],
    copying: [
      { what: 'backup, beside writes', bytes: size, ms: backup.ms, copyMs },
      { what: 'verify', bytes: size, ms: verifyMs, copyMs },
      { what: 'restore', bytes: size, ms: restoreMs, copyMs },
      { what: 'snapshot out and in', bytes: size, ms: snapshot.ms, copyMs },
    ],
    receiverBytes,
  }
}

function startChild(): MemberChild<RecoveryOperations> {
  const script = join(import.meta.dirname, 'recovery-process.js')
  const child = new MemberChild<RecoveryOperations>(script)
  children.add(child)
  return child
}

async function openChild(options: OpenOptions): Promise<MemberChild<RecoveryOperations>> {
  const child = startChild()
  await child.open(options)
  return child
}

/** `cp -r`, and what it wrote made durable: the others end so, too. */
async function timedCopy(dir: string): Promise<number> {
  const copy = `${dir}.copy`
  const ms = await timed(() => run('sh', ['-c', 'cp -r "$0" "$1" && sync "$1"', dir, copy]))
  await rm(copy, { recursive: true })
  return ms
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now()
  await work()
  return performance.now() - begun
}

async function sizeOf(dir: string): Promise<number> {
  let total = 0
  for (const name of await readdir(dir, { recursive: true })) {
    const { size, blocks } = await stat(join(dir, name))
    // What is only preallocated takes no room.
    total += Math.min(size, blocks * 512)
  }
  return total
}

function openingRow({ keys, folderBytes, afterCloseMs, afterKillMs, copyMs }: Opening): Row {
  return {
    labels: { keys },
    figures: {
      folder: figure('bytes', [folderBytes]),
      'open after close': figure('ms', [afterCloseMs]),
      'open after kill -9': figure('ms', [afterKillMs]),
      'cp -r': figure('ms', [copyMs]),
    },
  }
}

function maintenanceRows(maintenance: Maintenance | undefined): readonly Row[] {
  if (maintenance === undefined) return []
  const { stalls, copying, receiverBytes } = maintenance
  return [
    ...stalls.map(({ what, beside }) => ({
      labels: { 'beside 64 puts in flight': what },
      figures: {
        took: figure('ms', [beside.ms]),
        'longest stall': figure('ms', [beside.longestStallMs]),
        puts: figure('per s', [(beside.puts * 1000) / beside.ms]),
        memory: figure('bytes', [Math.max(0, beside.memoryBytes)]),
      },
    })),
    ...copying.map(({ what, bytes: size, ms, copyMs }) => ({
      labels: { copying: what },
      figures: {
        data: figure('bytes', [size]),
        took: figure('ms', [ms]),
        'cp -r and sync': figure('ms', [copyMs]),
        '× cp -r': figure('x', [copyMs / ms]),
      },
    })),
    {
      labels: { receiver: 'of the snapshot' },
      figures: { memory: figure('bytes', [Math.max(0, receiverBytes)]) },
    },
  ]
}

function describeOpenings(openings: readonly Opening[]): string {
  const head = ['keys', 'folder', 'open after close', 'open after kill -9', 'cp -r']
  const rows = openings.map((opening) => [
    count(opening.keys),
    bytes(opening.folderBytes),
    milliseconds(opening.afterCloseMs),
    milliseconds(opening.afterKillMs),
    milliseconds(opening.copyMs),
  ])
  const ratio = (of: (opening: Opening) => number): string => {
    const all = openings.map(of)
    return (Math.max(...all) / Math.min(...all)).toFixed(2)
  }
  return (
    `${table(head, rows)}\n` +
    `${VALUE_BYTES} B values; ${count(CHURN)} writes behind the last checkpoint before each kill -9.\n` +
    `slowest / fastest: after close ${ratio(({ afterCloseMs }) => afterCloseMs)}, ` +
    `after kill -9 ${ratio(({ afterKillMs }) => afterKillMs)}`
  )
}

function describeMaintenance({ stalls, copying, receiverBytes }: Maintenance): string {
  const stallRows = stalls.map(({ what, beside }) => [
    what,
    milliseconds(beside.ms),
    milliseconds(beside.longestStallMs),
    count((beside.puts * 1000) / beside.ms),
    bytes(Math.max(0, beside.memoryBytes)),
  ])
  const perSecond = (size: number, ms: number): string =>
    `${((size / 1e6) * (1000 / ms)).toFixed(0)} MB/s`
  const copyRows = copying.map(({ what, bytes: size, ms, copyMs }) => [
    what,
    bytes(size),
    perSecond(size, ms),
    perSecond(size, copyMs),
    `${(copyMs / ms).toFixed(2)} ×`,
  ])
  return [
    table(['beside 64 puts in flight', 'took', 'longest stall', 'puts/s', 'memory'], stallRows),
    '',
    table(['', 'data', 'speed', 'cp -r and sync', 'ratio'], copyRows),
    `memory of the receiver of the snapshot: ${bytes(Math.max(0, receiverBytes))} above what it had before`,
  ].join('\n')
}
