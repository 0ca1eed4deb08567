/** What every Disk promises: a suite for disks of your own, which quorate's own two run, too. Needs fast-check. */
import assert from 'node:assert/strict'
import type { Disk } from '../../env/disk.js'
import { loadFastCheck } from './fast-check.js'
import { registerCases, type SuiteCase, type SuiteOptions } from './suite.js'

/** One implementation, with a folder of its own per fixture. */
export interface DiskFixture {
  readonly disk: Disk
  /** An existing folder; a path in it is `dir/name`. */
  readonly dir: string
  /** Awaits, while time passes. */
  run<T>(promise: Promise<T>): Promise<T>
  close(): Promise<void>
}

function bytes(text: string): Buffer {
  return Buffer.from(text)
}

async function contentOf(f: DiskFixture, path: string): Promise<string> {
  const file = await f.run(f.disk.open(path, 'read'))
  const content = Buffer.alloc(await f.run(file.size()))
  await f.run(file.read(content, 0))
  await f.run(file.close())
  return content.toString()
}

async function put(f: DiskFixture, path: string, text: string): Promise<void> {
  const file = await f.run(f.disk.open(path, 'create'))
  await f.run(file.write([bytes(text)], 0))
  await f.run(file.sync())
  await f.run(file.close())
}

/** Runs the suite. */
export function diskSuite(options: SuiteOptions<DiskFixture>): void {
  registerCases(options, CASES, async (fixture, check) => {
    try {
      await check(fixture)
    } finally {
      await fixture.close()
    }
  })
}

const CASES: readonly SuiteCase<DiskFixture>[] = [
  [
    'the parts of a write follow each other',
    async (f) => {
      const path = `${f.dir}/parts`
      const file = await f.run(f.disk.open(path, 'create'))
      await f.run(file.write([bytes('ab'), bytes(''), bytes('cde')], 0))
      await f.run(file.writeDurable([bytes('X'), bytes('Y')], 1))
      await f.run(file.write([], 0))
      await f.run(file.close())
      assert.equal(await contentOf(f, path), 'aXYde')
    },
  ],

  [
    'a hole before a write reads as zeros',
    async (f) => {
      const path = `${f.dir}/hole`
      const file = await f.run(f.disk.open(path, 'create'))
      await f.run(file.writeDurable([bytes('end')], 3))
      await f.run(file.close())
      assert.equal(await contentOf(f, path), '\0\0\0end')
    },
  ],

  [
    'a read at the end returns what there is',
    async (f) => {
      await put(f, `${f.dir}/short`, 'abc')
      const file = await f.run(f.disk.open(`${f.dir}/short`, 'read'))
      const target = bytes('......')
      assert.equal(await f.run(file.read(target, 1)), 2)
      assert.equal(target.toString(), 'bc....')
      assert.equal(await f.run(file.read(target, 9)), 0)
      await f.run(file.close())
    },
  ],

  [
    'truncate cuts, and extends with zeros',
    async (f) => {
      await put(f, `${f.dir}/cut`, 'abcdef')
      const file = await f.run(f.disk.open(`${f.dir}/cut`, 'write'))
      await f.run(file.truncate(2))
      await f.run(file.truncate(4))
      assert.equal(await f.run(file.size()), 4)
      await f.run(file.close())
      assert.equal(await contentOf(f, `${f.dir}/cut`), 'ab\0\0')
    },
  ],

  [
    'create refuses an existing file, read and write a missing one',
    async (f) => {
      await put(f, `${f.dir}/there`, '')
      await assert.rejects(f.run(f.disk.open(`${f.dir}/there`, 'create')), { code: 'EEXIST' })
      await assert.rejects(f.run(f.disk.open(`${f.dir}/gone`, 'read')), { code: 'ENOENT' })
      await assert.rejects(f.run(f.disk.open(`${f.dir}/gone`, 'write')), { code: 'ENOENT' })
      await assert.rejects(f.run(f.disk.open(`${f.dir}/no/folder`, 'create')), { code: 'ENOENT' })
    },
  ],

  [
    'list gives files and folders in order, and undefined for no folder',
    async (f) => {
      await put(f, `${f.dir}/b`, '')
      await put(f, `${f.dir}/a`, '')
      await f.run(f.disk.makeDir(`${f.dir}/c/d`))
      assert.deepEqual(await f.run(f.disk.list(f.dir)), ['a', 'b', 'c'])
      assert.deepEqual(await f.run(f.disk.list(`${f.dir}/c/d`)), [])
      assert.equal(await f.run(f.disk.list(`${f.dir}/none`)), undefined)
    },
  ],

  [
    'makeDir leaves an existing folder alone',
    async (f) => {
      await put(f, `${f.dir}/a`, 'kept')
      await f.run(f.disk.makeDir(f.dir))
      assert.equal(await contentOf(f, `${f.dir}/a`), 'kept')
    },
  ],

  [
    'rename replaces what was there, and an open file goes with its name',
    async (f) => {
      await put(f, `${f.dir}/old`, 'old')
      const file = await f.run(f.disk.open(`${f.dir}/new`, 'create'))
      await f.run(f.disk.rename(`${f.dir}/new`, `${f.dir}/old`))
      await put(f, `${f.dir}/new`, 'other')
      await f.run(file.writeDurable([bytes('renamed')], 0))
      await f.run(f.disk.syncDir(f.dir))
      await f.run(file.close())
      assert.equal(await contentOf(f, `${f.dir}/old`), 'renamed')
      assert.equal(await contentOf(f, `${f.dir}/new`), 'other')
      await assert.rejects(f.run(f.disk.rename(`${f.dir}/none`, `${f.dir}/x`)), { code: 'ENOENT' })
    },
  ],

  [
    'a linked file has two names, and is there until both are removed',
    async (f) => {
      await put(f, `${f.dir}/a`, 'bytes')
      await f.run(f.disk.link(`${f.dir}/a`, `${f.dir}/b`))
      await assert.rejects(f.run(f.disk.link(`${f.dir}/a`, `${f.dir}/b`)), { code: 'EEXIST' })
      await assert.rejects(f.run(f.disk.link(`${f.dir}/none`, `${f.dir}/c`)), { code: 'ENOENT' })
      await f.run(f.disk.remove(`${f.dir}/a`))
      await f.run(f.disk.syncDir(f.dir))
      assert.deepEqual(await f.run(f.disk.list(f.dir)), ['b'])
      assert.equal(await contentOf(f, `${f.dir}/b`), 'bytes')
    },
  ],

  [
    'remove needs a file, removeDir does not mind',
    async (f) => {
      await f.run(f.disk.makeDir(`${f.dir}/d/e`))
      await put(f, `${f.dir}/d/e/file`, '')
      await f.run(f.disk.removeDir(`${f.dir}/d`))
      await f.run(f.disk.removeDir(`${f.dir}/d`))
      assert.deepEqual(await f.run(f.disk.list(f.dir)), [])
      await assert.rejects(f.run(f.disk.remove(`${f.dir}/d/e/file`)), { code: 'ENOENT' })
    },
  ],

  [
    'a removed file can be read by who has it open',
    async (f) => {
      await put(f, `${f.dir}/a`, 'still here')
      const file = await f.run(f.disk.open(`${f.dir}/a`, 'read'))
      await f.run(f.disk.remove(`${f.dir}/a`))
      const target = Buffer.alloc(10)
      await f.run(file.read(target, 0))
      assert.equal(target.toString(), 'still here')
      await f.run(file.close())
    },
  ],

  [
    'close waits for the calls under way and refuses later ones',
    async (f) => {
      const file = await f.run(f.disk.open(`${f.dir}/a`, 'create'))
      const write = file.write([Buffer.alloc(100_000, 'w')], 0)
      await f.run(file.close())
      assert.equal(await contentOf(f, `${f.dir}/a`), 'w'.repeat(100_000))
      await f.run(write)
      await assert.rejects(f.run(file.size()), { code: 'EBADF' })
      await assert.rejects(f.run(file.write([bytes('x')], 0)), { code: 'EBADF' })
    },
  ],

  [
    'there is some free space',
    async (f) => {
      assert.ok((await f.run(f.disk.freeBytes(f.dir))) > 0)
    },
  ],

  [
    'a lock is held by one, who is named, until it is closed',
    async (f) => {
      const first = await f.run(f.disk.lock(`${f.dir}/lock`))
      await assert.rejects(f.run(f.disk.lock(`${f.dir}/lock`)), {
        code: 'QUORATE_LOCKED',
        message: /process/,
      })
      await f.run(first.close())
      const second = await f.run(f.disk.lock(`${f.dir}/lock`))
      await f.run(second.close())
    },
  ],

  [
    'a file behaves as an array of bytes',
    async (f) => {
      const fc = await loadFastCheck()
      const at = fc.nat(5_000)
      const part = fc.uint8Array({ maxLength: 3_000 })
      const action = fc.oneof(
        fc.record({
          do: fc.constant('write' as const),
          at,
          parts: fc.array(part, { maxLength: 3 }),
        }),
        fc.record({ do: fc.constant('durable' as const), at, parts: fc.array(part) }),
        fc.record({ do: fc.constant('truncate' as const), at }),
      )
      let count = 0
      const check = fc.asyncProperty(fc.array(action, { maxLength: 8 }), async (actions) => {
        const file = await f.run(f.disk.open(`${f.dir}/model${count++}`, 'create'))
        let model = Buffer.alloc(0)
        const grow = (length: number) => Buffer.concat([model, Buffer.alloc(length)], length)
        for (const step of actions) {
          if (step.do === 'truncate') {
            await f.run(file.truncate(step.at))
            model = grow(step.at)
            continue
          }
          const written = Buffer.concat(step.parts)
          if (written.length > 0) {
            model = grow(Math.max(model.length, step.at + written.length))
            model.set(written, step.at)
          }
          if (step.do === 'write') await f.run(file.write(step.parts, step.at))
          else await f.run(file.writeDurable(step.parts, step.at))
        }
        const content = Buffer.alloc(model.length + 10)
        assert.equal(await f.run(file.read(content, 0)), model.length)
        assert.deepEqual(content.subarray(0, model.length), model)
        await f.run(file.close())
      })
      await fc.assert(check, { numRuns: 50 })
    },
  ],
]
