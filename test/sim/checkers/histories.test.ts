/** Histories of other projects, with published verdicts. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { isRight, judgeAll } from '../../conformance/histories/suite.js'
import { defaultDirectory } from '../../conformance/run.js'

test('the checker agrees with every published verdict', (t) => {
  const folder = defaultDirectory('histories')
  if (!existsSync(folder)) {
    t.skip(`there is no ${folder}`)
    return
  }
  const judged = [...judgeAll(folder)]
  assert.ok(judged.length > 0)
  assert.deepEqual(
    judged.filter((one) => !isRight(one)),
    [],
  )
})
