/** Runs etcd-io/raft's data-driven scripts where they are at hand: one test per script. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { describeDifference, runScripts } from '../conformance/etcd-raft/run.js'
import { defaultDirectory } from '../conformance/run.js'

const directory = defaultDirectory('etcd-raft')

if (!existsSync(directory)) {
  test('the core behaves as in the scripts of etcd-io/raft', {
    skip: `there is no ${directory}`,
  }, () => {})
} else {
  for (const { folder, file, commands, difference } of runScripts(directory)) {
    test(`the core behaves as in ${folder}/${file} of etcd-io/raft`, () => {
      assert.ok(commands > 0, 'the script has commands')
      if (difference !== undefined) assert.fail(describeDifference(folder, file, difference))
    })
  }
}
