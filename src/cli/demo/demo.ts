/**
 * `quorate demo`: three members as processes of this machine store the dependency tree this package was
 * installed with, its large files as shards; the leader is killed half way; then everything is read back and
 * compared, the large files once more while a member is down.
 *
 * Exit code 1 when anything acknowledged is lost or wrong. Whatever happens, no process is left behind, and
 * the data folder goes unless it was asked for.
 */
import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseFlags, UsageError } from '../command-line.js'
import { EXIT_INTERRUPTED, untilInterrupted } from '../interrupt.js'
import type { MemberOperations } from '../processes/operations.js'
import { type LivingSeat, MEMBER_SCRIPT, ProcessCluster } from '../processes/process-cluster.js'
import { bytes, count, milliseconds, Progress, paint, print, table } from '../terminal.js'
import { dependencyTree, type Input, type InputFile, listInput } from './input.js'
import { isLarge, readWithOneDown, storeLarge } from './large.js'
import { Load } from './load.js'
import { LEVELS, type Verification, verify } from './verify.js'

const MIB = 1024 * 1024
const VALUE_LIMIT_BYTES = 32 * MIB
const TOTAL_LIMIT_BYTES = 96 * MIB
const WRITES_IN_FLIGHT = 64
const LEADER_WITHIN_MS = 30_000
const CATCH_UP_WITHIN_MS = 60_000
const FAULTS_SHOWN = 10

/** What `quorate demo --help` prints. */
export const DEMO_HELP: string = `quorate demo [--dir DIR] [--keep]

Starts three members as processes of this machine and stores the installed dependency tree, up to
${TOTAL_LIMIT_BYTES / MIB} MiB of files: the large ones as shards first, then the others with ${WRITES_IN_FLIGHT} writes
in flight. Half way it kills the leader with kill -9 and later restarts it; then it reads every file back from
every member at every level, and the large ones again with a member down.

  --dir DIR  keep the data there (an empty or new folder) instead of in a temporary folder
  --keep     do not remove the temporary folder

Exit code 1 when anything acknowledged is lost or wrong.`

type Cluster = ProcessCluster<MemberOperations>

/** Runs the command; resolves with its exit code. */
export async function demo(args: readonly string[]): Promise<number> {
  const flags = parseFlags(args, { dir: { type: 'string' }, keep: { type: 'boolean' } })
  const root = await dataFolder(flags.dir)
  const isKept = flags.keep === true || flags.dir !== undefined
  const cluster: Cluster = await ProcessCluster.create({
    script: MEMBER_SCRIPT,
    root,
    memberIds: ['a', 'b', 'c'],
    store: { valueEncoding: 'binary' },
  })
  try {
    const end = await untilInterrupted(perform(cluster))
    return end === 'interrupted' ? EXIT_INTERRUPTED : end
  } finally {
    await cluster.kill()
    if (isKept) print(`The data is in ${root}`)
    else await rm(root, { recursive: true, force: true })
  }
}

async function perform(cluster: Cluster): Promise<number> {
  const input = await listInput(await dependencyTree(), {
    valueBytes: VALUE_LIMIT_BYTES,
    totalBytes: TOTAL_LIMIT_BYTES,
  })
  describeInput(input)
  await cluster.start()
  const leader = await cluster.leader(LEADER_WITHIN_MS)
  const addresses = cluster.seats.map(({ id, address }) => `${id} ${address}`).join(', ')
  print(`Members: ${addresses}; ${leader.id} leads`)
  const large = await storeLarge(cluster, input.files.filter(isLarge))
  const small = input.files.filter((file) => !isLarge(file))
  const { load, victim } = await storeAndKill(cluster, small)
  await bringBack(cluster, victim, load.position.index)
  const acknowledged = new Map([...large.acknowledged, ...load.acknowledged])
  const verification = await readBack(cluster, load, acknowledged)
  const { faults } = await readWithOneDown(cluster, large)
  await cluster.close()
  const all = { ...verification, faults: [...verification.faults, ...faults] }
  return summarise(cluster, input, load, acknowledged.size, all)
}

function describeInput(input: Input): void {
  print(`Input: ${count(input.files.length)} files, ${bytes(input.bytes)}, in ${input.root}`)
  if (input.tooLarge.length > 0) {
    const named = input.tooLarge.map(({ key, bytes: size }) => `${key} (${bytes(size)})`)
    print(`Left out, over the limit of ${bytes(VALUE_LIMIT_BYTES)} per value: ${named.join(', ')}`)
  }
  if (input.beyondTotal.length > 0) {
    const limit = bytes(TOTAL_LIMIT_BYTES)
    print(`Left out, over the demo's total of ${limit}: ${count(input.beyondTotal.length)} files`)
  }
}

/** Loads the input; kills the leader when half of the files are acknowledged. */
async function storeAndKill(
  cluster: Cluster,
  files: readonly InputFile[],
): Promise<{ load: Load; victim: LivingSeat<MemberOperations> }> {
  const load = new Load(cluster, files)
  const total = files.length
  const progress = new Progress('store ', total)
  const begun = performance.now()
  let killing: Promise<LivingSeat<MemberOperations>> | undefined
  await load.run(WRITES_IN_FLIGHT, () => {
    const done = load.acknowledged.size
    const perSecond = (1000 * done) / (performance.now() - begun)
    progress.update(done, `${count(done)} files, ${count(perSecond)}/s`)
    if (done * 2 < total || killing !== undefined) return
    killing = killLeader(cluster, load, progress)
    // Awaited below, when the load has ended; a load that fails says more than a kill that fails with it.
    killing.catch(() => {})
  })
  progress.end()
  const victim = await (killing ?? killLeader(cluster, load, progress))
  const took = milliseconds(performance.now() - begun)
  print(
    `Stored ${count(total)} files in ${took}; after the kill nothing was acknowledged for ` +
      `${paint('yellow', milliseconds(load.stallMs))}; ${count(load.retries)} writes made again`,
  )
  return { load, victim }
}

async function killLeader(
  cluster: Cluster,
  load: Load,
  progress: Progress,
): Promise<LivingSeat<MemberOperations>> {
  const leader = await cluster.leader(LEADER_WITHIN_MS)
  load.watchStall()
  await leader.child.kill()
  progress.note(paint('red', `kill -9 ${leader.id}, the leader`))
  return leader
}

async function bringBack(
  cluster: Cluster,
  victim: LivingSeat<MemberOperations>,
  index: number,
): Promise<void> {
  const begun = performance.now()
  await cluster.restart(victim)
  await cluster.caughtUp(victim, index, CATCH_UP_WITHIN_MS)
  const took = milliseconds(performance.now() - begun)
  const leader = await cluster.leader(LEADER_WITHIN_MS)
  print(
    `Restarted ${victim.id}: caught up with entry ${count(index)} in ${took}; ${leader.id} leads`,
  )
}

async function readBack(
  cluster: Cluster,
  load: Load,
  acknowledged: ReadonlyMap<string, string>,
): Promise<Verification> {
  const { index, token } = load.position
  for (const seat of cluster.living) await cluster.caughtUp(seat, index, CATCH_UP_WITHIN_MS)
  const total = acknowledged.size * cluster.living.length * LEVELS.length
  const progress = new Progress('verify', total)
  let done = 0
  const verification = await verify(cluster, acknowledged, token, (reads) => {
    done += reads
    progress.update(done, `${count(done)} reads compared`)
  })
  progress.end()
  return verification
}

async function summarise(
  cluster: Cluster,
  input: Input,
  load: Load,
  acknowledged: number,
  { faults, latencies }: Verification,
): Promise<number> {
  const lost = new Set(faults.filter(({ kind }) => kind === 'lost').map(({ key }) => key)).size
  const wrong = new Set(faults.filter(({ kind }) => kind === 'wrong').map(({ key }) => key)).size
  const disk = await Promise.all(
    cluster.seats.map(async ({ id, dir }) => [id, bytes(await bytesOnDisk(dir))]),
  )
  const facts = [
    ['files', count(input.files.length)],
    ['bytes', bytes(input.bytes)],
    ['acknowledged', count(acknowledged)],
    ['lost', count(lost)],
    ['wrong', count(wrong)],
    ['write stall', milliseconds(load.stallMs)],
  ]
  const levels = [
    ['put', load.latencies] as const,
    ...LEVELS.map((level) => [`get ${level}`, latencies.get(level)!] as const),
  ].map(([name, all]) => {
    const sorted = [...all].sort((a, b) => a - b)
    return [name, count(all.length), milliseconds(at(sorted, 0.5)), milliseconds(at(sorted, 0.99))]
  })
  print(`\n${table(['', 'in all'], facts)}\n`)
  print(`${table(['operation', 'count', 'p50', 'p99'], levels)}\n`)
  print(`${table(['member', 'on disk'], disk)}\n`)
  for (const fault of faults.slice(0, FAULTS_SHOWN)) {
    print(paint('red', `${fault.kind}: ${fault.key} at ${fault.level} from ${fault.member}`))
  }
  const isSound = lost === 0 && wrong === 0
  print(
    isSound
      ? paint('green', 'Nothing acknowledged was lost, nothing read was wrong.')
      : paint('red', `${count(lost)} files lost, ${count(wrong)} wrong.`),
  )
  return isSound ? 0 : 1
}

/** The value below which a share of `quantile` of the sorted values lies. */
function at(sorted: readonly number[], quantile: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * quantile))] ?? 0
}

/** Bytes that the files below `dir` take up on the disk, space that was set aside included. */
async function bytesOnDisk(dir: string): Promise<number> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  const sizes = await Promise.all(files.map(({ parentPath, name }) => stat(join(parentPath, name))))
  return sizes.reduce((sum, { blocks }) => sum + 512 * blocks, 0)
}

async function dataFolder(dir: string | undefined): Promise<string> {
  if (dir === undefined) return mkdtemp(join(tmpdir(), 'quorate-demo-'))
  const path = resolve(dir)
  await mkdir(path, { recursive: true })
  if ((await readdir(path)).length > 0) throw new UsageError(`--dir: ${path} is not empty`)
  return path
}
