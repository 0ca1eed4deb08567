/** Runs klauspost/reedsolomon's vectors where they are at hand: one test per backend. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { describeVector, faultIn, readVectors } from '../conformance/erasure/vectors.js'
import { defaultDirectory } from '../conformance/run.js'
import { backends } from './shards.js'

const file = join(defaultDirectory('erasure'), 'erasure-vectors.json')
const skip = existsSync(file) ? false : `there is no ${file}`

for (const [name, backend] of backends) {
  test(`${name} gives the parity of klauspost/reedsolomon`, { skip }, () => {
    const vectors = readVectors(file)
    assert.equal(vectors.length, 120)
    for (const vector of vectors) {
      assert.equal(faultIn(vector, backend), undefined, describeVector(vector))
    }
  })
}
