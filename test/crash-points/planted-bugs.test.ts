/**
 * Planted bugs: a power cut, or a test of the log, must find each of them, or their passing says nothing.
 *
 * A bug is a change of text in a copy of the compiled files; the text must occur there exactly once.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import type { losePower } from './power-loss.js'
import type { WORKLOADS } from './workloads.js'

const DIST = join(import.meta.dirname, '../..')
const SEED = 3
/** A step that is odd meets all ways in which a boundary may be cut. */
const EVERY = 7

const root = mkdtempSync(join(tmpdir(), 'quorate-planted-'))
after(() => rmSync(root, { recursive: true, force: true }))

interface Bug {
  readonly title: string
  /** In compiled files below src/. */
  readonly edits: readonly (readonly [file: string, from: string, to: string])[]
  /** A workload of crash-points, or a test file below test/. */
  readonly foundBy: string
  /** Of a test file only the tests whose titles have this. */
  readonly only?: string
}

/** Puts what the present state has, and the one to come has not, into the one to come. */
const KEEP_OLD = `async function keepOld(machine, database) {
  const old = await machine.pin(machine.appliedIndex);
  const cursor = old.cursor({ range: { gte: Uint8Array.of(1), lt: Uint8Array.of(2) }, reverse: false });
  const batch = database.batch();
  for (const [key, value] of await cursor.next(1000, 1e9)) {
    if (database.get(key) === undefined) batch.put(key, value);
  }
  await batch.write();
  await old.close();
}`

const BUGS: readonly Bug[] = [
  {
    title: 'a segment gets its name without a sync of the folder',
    edits: [
      [
        'log/segment-chain.js',
        'await disk.rename(sparePath(dir, number), path);\n    await disk.syncDir(dir);',
        'await disk.rename(sparePath(dir, number), path);',
      ],
    ],
    foundBy: 'rotation',
  },
  {
    title: 'the identity gets its name without a sync of the folder',
    edits: [['member/small-file.js', 'await disk.syncDir(dir);', '']],
    foundBy: 'rotation',
  },
  {
    title: 'a write is acknowledged before its fsync',
    edits: [
      [
        'log/segment-chain.js',
        'await this.#file.writeDurable(encoded.parts, end);',
        'await this.#file.write(encoded.parts, end);',
      ],
    ],
    foundBy: 'rotation',
  },
  {
    title: 'the log is shortened beyond the checkpoint',
    edits: [
      ['member/checkpoints.js', 'await this.#machine.checkpoint()', 'this.#machine.appliedIndex'],
    ],
    foundBy: 'checkpoint',
  },
  {
    title: 'segments go before the compaction point is durable',
    edits: [
      [
        'log/raft-log.js',
        'await this.#chain.write(this.#stateBefore(), { hardState, previous, lastIndex }, [], 0);',
        'void hardState;',
      ],
    ],
    foundBy: 'checkpoint',
  },
  {
    title: 'recovery does not make durable what it found in the cache',
    edits: [['log/recovery.js', 'await file.writeDurable([last], from);', '']],
    foundBy: 'log/raft-log.test.js',
  },
  {
    title: 'torn bytes are left where the next write goes',
    edits: [['log/recovery.js', 'await overwriteWithZeros(file, end, dirtyEnd);', '']],
    foundBy: 'log/recovery.test.js',
  },
  {
    title: 'damage before a later batch is cut off as if it were torn',
    edits: [['log/recovery.js', 'if (later === undefined)\n        return;', 'return;']],
    foundBy: 'log/recovery.test.js',
  },
  {
    title: 'the log goes on after a failed fsync',
    edits: [
      [
        'log/raft-log.js',
        'task.reject(failed);\n            }\n        }',
        'task.resolve();\n                this.#failed = undefined;\n            }\n        }',
      ],
    ],
    foundBy: 'log/raft-log.test.js',
  },
  {
    title: 'the installation of a snapshot keeps old keys',
    edits: [
      [
        'member/snapshot-intake.js',
        'const { closed } = await machine.replace(database);',
        'await keepOld(machine, database);\nconst { closed } = await machine.replace(database);',
      ],
      [
        'member/snapshot-intake.js',
        'function overtaken() {',
        `${KEEP_OLD}\nfunction overtaken() {`,
      ],
    ],
    foundBy: 'member/installation.test.js',
  },
  {
    title: 'the plan of an installation is not written',
    edits: [['member/generations.js', 'await this.#write(PLAN, plan);', '']],
    foundBy: 'member/installation.test.js',
  },
  {
    title: 'the log goes while a snapshot is under way that it continues (trap T-61)',
    edits: [['member/snapshots.js', 'return this.#sender.floor;', 'return Infinity;']],
    foundBy: 'member/transfer.test.js',
    only: 'T-61',
  },
  {
    title: 'a shard is acknowledged before its fsync',
    edits: [
      [
        'blob/shard-writer.js',
        'await file.writeDurable(parts, start);',
        'await file.write(parts, start);',
      ],
    ],
    foundBy: 'blob/shard-power-cut.test.js',
    only: 'seed 3',
  },
  {
    title: 'a file of shards gets its name without a sync of the folder',
    edits: [['blob/shard-writer.js', 'await this.#disk.syncDir(this.#dir);', '']],
    foundBy: 'blob/shard-power-cut.test.js',
    only: 'seed 3',
  },
  {
    title: 'recovery trusts the footer of a shard and does not look at its body',
    edits: [
      [
        'blob/shard-scan.js',
        'openShard(bytes);',
        'openProof(bytes.subarray(0, shardLayout(decodeShardHead(bytes)).headBytes),\n' +
          'bytes.subarray(shardLayout(decodeShardHead(bytes)).footerAt));',
      ],
      ['blob/shard-scan.js', 'openShard }', 'openProof, shardLayout }'],
    ],
    foundBy: 'blob/shard-store.test.js',
    only: 'I9',
  },
  {
    title: 'recovery does not make shards durable that it found in the cache',
    edits: [['blob/shard-recovery.js', 'await file.writeDurable([bytes], at);', '']],
    foundBy: 'blob/shard-store.test.js',
    only: 'what a start has found',
  },
  {
    title: 'a file of shards goes before what it held is durable elsewhere',
    edits: [
      [
        'blob/shard-reclaim.js',
        'while (segment.entries.size > 0',
        'await ports.remove(segment);\nwhile (segment.entries.size > 0',
      ],
    ],
    foundBy: 'blob/shard-power-cut.test.js',
    only: 'seed 3',
  },
]

for (const [i, bug] of BUGS.entries()) {
  test(`${bug.foundBy} finds: ${bug.title}`, async () => {
    const dist = plant(join(root, String(i)), bug)
    const found = bug.foundBy.endsWith('.js')
      ? failsTest(dist, bug.foundBy, bug.only)
      : await losesSomething(dist, bug.foundBy)
    assert.ok(found, 'it was not found')
  })
}

const COPIED: readonly string[] = [
  'src',
  ...['blob', 'crash-points', 'log', 'machine', 'member'].map((folder) => `test/${folder}`),
]

function isCode(path: string): boolean {
  return !/\.(d\.ts|map)$/.test(path)
}

/** A copy of the compiled project with the bug in it. */
function plant(folder: string, { edits }: Bug): string {
  const dist = join(folder, 'dist')
  for (const part of COPIED) {
    cpSync(join(DIST, part), join(dist, part), { recursive: true, filter: isCode })
  }
  for (const name of ['package.json', 'node_modules']) {
    symlinkSync(join(DIST, '..', name), join(folder, name))
  }
  for (const [file, from, to] of edits) {
    const path = join(dist, 'src', file)
    const code = readFileSync(path, 'utf8')
    assert.equal(code.split(from).length, 2, `${file} has this once: ${from}`)
    writeFileSync(path, code.replace(from, to))
  }
  return dist
}

async function losesSomething(dist: string, name: string): Promise<boolean> {
  const module = await import(pathToFileURL(join(dist, 'test/crash-points/power-loss.js')).href)
  const workloads = await import(pathToFileURL(join(dist, 'test/crash-points/workloads.js')).href)
  const workload = (workloads.WORKLOADS as typeof WORKLOADS).find((each) => each.name === name)
  assert.ok(workload)
  const lose = module.losePower as typeof losePower
  const { failures } = await lose(workload, SEED, (number) => number % EVERY === 0)
  return failures.length > 0
}

function failsTest(dist: string, file: string, only: string | undefined): boolean {
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  const args = [...(only === undefined ? [] : ['--test-name-pattern', only])]
  const path = join(dist, 'test', file)
  const { status, stdout } = spawnSync(process.execPath, [...args, path], { encoding: 'utf8', env })
  assert.match(stdout, /^# fail \d|^ℹ fail \d/m, 'the tests did not even run')
  return status !== 0
}
