import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { MUTANTS } from './program/mutants.js'

const LIBRARY = join(import.meta.dirname, '../../src')

test('every planted bug has exactly one place in the compiled library', () => {
  const misplaced = MUTANTS.flatMap(({ name, edits }) =>
    edits.flatMap(({ file, find }) => {
      const places = readFileSync(join(LIBRARY, file), 'utf8').split(find).length - 1
      return places === 1 ? [] : [`${name}: ${places} places in ${file}`]
    }),
  )
  assert.deepEqual(misplaced, [])
  assert.equal(new Set(MUTANTS.map(({ name }) => name)).size, MUTANTS.length)
})
