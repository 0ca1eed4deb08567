import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StoreError } from '../../src/base/errors.js'
import { readSurveyed, surveyLog } from '../../src/log/survey.js'
import { DIR, entries, LogHost } from './log-fixture.js'

const BODY = Buffer.alloc(700, 'x')

/** A log of several segments, shortened at its beginning, with an overwritten tail. */
async function someLog(): Promise<LogHost> {
  const host = await LogHost.start({})
  for (let index = 1; index <= 20; index++) await host.append(entries(index, '1', BODY))
  await host.append(entries(18, '2 2'), { term: 2, vote: 3, commit: 17 })
  await host.run(host.log.compactTo(9, 1))
  host.disk.powerCut('none')
  return host
}

test('a survey tells what recovery finds, gives the entries, and changes nothing', async () => {
  const host = await someLog()
  const before = host.disk.image('none', 0).files
  let batches = 0
  const survey = await host.run(surveyLog(host.disk, DIR, () => batches++))
  assert.ok(survey !== undefined)
  for (let at = survey.previous.index + 1; at <= survey.lastIndex; at++) {
    assert.equal((await host.run(readSurveyed(host.disk, survey, at)))?.index, at)
  }
  assert.equal(await host.run(readSurveyed(host.disk, survey, survey.lastIndex + 1)), undefined)
  assert.equal(
    batches,
    survey.segments.reduce((sum, segment) => sum + segment.batches, 0),
  )
  assert.deepEqual(host.disk.image('none', 0).files, before)
  const { hardState, previous, lastIndex } = (await host.open()).recovered
  const { findings } = survey
  assert.deepEqual(
    { hardState: survey.hardState, previous: survey.previous, lastIndex: survey.lastIndex },
    { hardState, previous, lastIndex },
  )
  assert.deepEqual(findings, [])
})

test('a survey finds damage exactly where recovery refuses, and torn bytes where it cuts', async () => {
  const clean = await someLog()
  const image = clean.disk.image('none', 0)
  const counts = { fine: 0, torn: 0, damaged: 0 }
  for (const path of await clean.files('.wal')) {
    const size = clean.disk.bytesOf(path).length
    for (let at = 0; at < size; at += 37) {
      const host = new LogHost(1, {})
      host.disk.restore(image)
      host.disk.corrupt(path, at, 1 << (at % 8))
      const survey = await host.run(surveyLog(host.disk, DIR))
      const kinds = new Set(survey?.findings.map(({ kind }) => kind))
      const opened = await host.open().then(
        ({ recovered }) => (recovered.tornBytes > 0 ? 'torn' : 'fine'),
        (error) => {
          assert.ok(error instanceof StoreError)
          return 'damaged' as const
        },
      )
      counts[opened]++
      const isRefused = kinds.has('damaged') || kinds.has('foreign')
      const told = isRefused ? 'damaged' : kinds.has('torn') ? 'torn' : 'fine'
      assert.equal(told, opened, `${path}, offset ${at}`)
    }
  }
  assert.ok(counts.fine > 0 && counts.torn > 0 && counts.damaged > 0, JSON.stringify(counts))
})

test('what stands before the damage can still be read, and where it is is said', async () => {
  const host = await someLog()
  const paths = await host.files('.wal')
  host.disk.corrupt(paths.at(-1)!, 20, 1)
  const survey = await host.run(surveyLog(host.disk, DIR))
  assert.ok(survey !== undefined)
  assert.equal(survey.findings[0]?.path, paths.at(-1))
  assert.ok(survey.lastIndex > 9)
  assert.ok(await host.run(readSurveyed(host.disk, survey, survey.lastIndex)))
})

test('an empty folder has no log', async () => {
  const host = new LogHost(1, {})
  assert.equal(await host.run(surveyLog(host.disk, DIR)), undefined)
})
