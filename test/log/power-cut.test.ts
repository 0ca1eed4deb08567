/**
 * Every power cut of a workload: at each beginning and end of a disk operation, what could be left is opened.
 * Everything acknowledged must be there, and nothing that was never appended: the log found is the log as it
 * stood after one of the calls from the last acknowledged to the last begun. A lost vote, an entry without its
 * term, a torn batch taken for a whole one or a hole is no such log.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { keyedBelow } from '../../src/base/prng.js'
import type { LogOptions } from '../../src/log/raft-log.js'
import { powerCuts } from '../../src/sim/power-cuts.js'
import type { DiskImage } from '../../src/sim/sim-disk.js'
import { entries, LogHost } from './log-fixture.js'
import { appended, describeLog, EMPTY_LOG, isLog, type LogModel, lastIndexOf } from './log-model.js'
import { type Call, Workload } from './log-workload.js'

const OPTIONS: Partial<LogOptions> = { segmentBytes: 4_096, maxWriteBytes: 4_000 }

type Draw = (bound: number, purpose: string) => number

const SIZES = [10, 200, 700, 1_500, 200, 10, 40, 6_000]

/** Mostly appends; some entries larger than a sector, a few larger than a segment. */
function drawnCall(draw: Draw): Call {
  const sizes = Array.from({ length: 1 + draw(3, 'count') }, (_, i) => SIZES[draw(8, `size${i}`)]!)
  switch (draw(9, 'kind')) {
    case 0:
      return { kind: 'vote', vote: 1 + draw(3, 'vote') }
    case 1:
      return { kind: 'overwrite', sizes, back: draw(4, 'back') }
    case 2:
      return { kind: 'commit' }
    case 3:
      return { kind: 'compact', count: draw(6, 'compacted') }
    case 4:
      return draw(3, 'snapshot') === 0
        ? { kind: 'snapshot', ahead: 3 * draw(2, 'ahead') }
        : { kind: 'append', sizes, commits: true }
    default:
      return { kind: 'append', sizes, commits: draw(3, 'commits') === 0 }
  }
}

/** Several calls under way at a time. */
async function run(workload: Workload, seed: number, rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    const count = 1 + keyedBelow(seed, 3, round, 'calls')
    const calls = Array.from({ length: count }, (_, i) =>
      workload.start(drawnCall((bound, purpose) => keyedBelow(seed, bound, round, i, purpose))),
    )
    await Promise.all(calls)
  }
}

/** What a process finds that starts on `image`. */
async function opened(image: DiskImage): Promise<{ host: LogHost; found: LogModel }> {
  const host = new LogHost(1, OPTIONS)
  host.disk.restore(image)
  const { hardState, previous, tail } = (await host.open()).recovered
  return { host, found: { hardState, previous, entries: tail } }
}

/** The log must also be fit to go on, and what recovery has shown must not be lost by the next power cut. */
async function assertGoesOn(host: LogHost, found: LogModel): Promise<void> {
  const [next] = entries(lastIndexOf(found) + 1, String(found.hardState.term))
  await host.append([next!])
  host.disk.powerCut('none')
  const again = await opened(host.disk.image('none', 0))
  assert.ok(isLog(again.found, appended(found, [next!], undefined)), describeLog(again.found))
}

/** Recovery itself may be cut off at any point; the next one must find the same. */
async function assertRecoveryMayFail(image: DiskImage, found: LogModel): Promise<void> {
  const host = new LogHost(1, OPTIONS)
  host.disk.restore(image)
  let isOpen = false
  const opening = host.begin().then(() => {
    isOpen = true
  })
  const cuts = powerCuts(
    host.world,
    host.disk,
    () => undefined,
    () => isOpen,
  )
  for await (const cut of cuts) {
    const again = (await opened(cut.image)).found
    assert.ok(isLog(again, found) && isLog(found, again), describeLog(again))
  }
  await opening
}

for (const seed of [1, 2, 3]) {
  test(`T-4, T-5, T-36: every power cut leaves all that was acknowledged, and no more (seed ${seed})`, async (t) => {
    const host = new LogHost(seed, OPTIONS)
    const workload = new Workload(await host.open(), EMPTY_LOG)
    const observe = () => ({ from: workload.acknowledged, to: workload.states.length })
    let isDone = false
    const running = run(workload, seed, 25).then(() => {
      isDone = true
    })
    let count = 0
    for await (const cut of powerCuts(host.world, host.disk, observe, () => isDone)) {
      const { from, to } = cut.seen
      const { host: next, found } = await opened(cut.image)
      const isKnown = workload.states.slice(from, to).some((state) => isLog(found, state))
      const place = `boundary ${cut.boundary}, ${cut.mode}, calls ${from} to ${to}`
      assert.ok(isKnown, `${place}: found ${describeLog(found)}`)
      count++
      if (count % 7 === 0) await assertGoesOn(next, found)
      if (count % 211 === 0) await assertRecoveryMayFail(cut.image, found)
    }
    await running
    t.diagnostic(`${count} images`)
    assert.ok(count > 500)
  })
}
