/** The short form of `npm run crash-points`: some images of every workload. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { countImages, losePower } from './power-loss.js'
import { WORKLOADS } from './workloads.js'

const IMAGES = 24
const SEED = 7

for (const workload of WORKLOADS) {
  test(`no power cut of "${workload.name}" loses or invents anything: ${workload.summary}`, async (t) => {
    const all = await countImages(workload, SEED)
    const every = Math.floor(all / IMAGES) | 1
    const { images, failures } = await losePower(workload, SEED, (number) => number % every === 0)
    t.diagnostic(`${images} of ${all} images`)
    assert.deepEqual(failures, [])
    assert.ok(images >= IMAGES, `only ${images} images`)
  })
}
