import assert from 'node:assert/strict'
import { test } from 'node:test'
import { COMBINATIONS, runCombinations } from '../../conformance/level/suite.js'
import { defaultDirectory } from '../../conformance/run.js'

test("abstract-level's own suite passes on a follower (all of it: npm run conformance -- level)", async () => {
  const some = COMBINATIONS.filter(({ name }) => name === 'follower, session')
  const lines: string[] = []
  const isPassed = await runCombinations(defaultDirectory('level'), some, (line) =>
    lines.push(line),
  )
  assert.ok(isPassed, lines.join('\n'))
  assert.equal(lines.length, 1)
})
