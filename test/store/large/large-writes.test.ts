/** What becomes of uploads when their write has ended: dropped only when it never can happen. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StoreError } from '../../../src/base/errors.js'
import { largeCommandOf } from '../../../src/store/large-command.js'
import { type Decided, writeLarge } from '../../../src/store/large-writes.js'
import type { Source, Uploaded } from '../../../src/store/uploads.js'
import {
  type Command,
  type Put,
  RESULT_NO,
  RESULT_UNCOVERED,
  RESULT_YES,
} from '../../../src/wire/command.js'

const SPEC = { timeoutMs: 1, signal: undefined, onProgress: undefined }

const put = (key: string, bytes: number): Put => ({
  type: 'put',
  key: Buffer.from(key),
  value: Buffer.alloc(bytes),
})

/** Uploads that are numbered, and what was dropped of them. */
class Recorder {
  readonly dropped: string[] = []
  #count = 0

  async all(sources: ReadonlyMap<Put, Source>): Promise<ReadonlyMap<Put, Uploaded>> {
    const uploads = [...sources.keys()].map((source): [Put, Uploaded] => {
      const name = `${source.key.toString()}${this.#count++}`
      return [source, { manifest: Buffer.from(name), drop: () => this.dropped.push(name) }]
    })
    return new Map(uploads)
  }
}

const write: Command = { type: 'write', operations: [put('a', 9), put('s', 1), put('b', 9)] }
const txn: Command = { type: 'txn', compares: [], then: [put('t', 9)], else: [put('e', 9)] }

/** Writes `command`, whose decisions are `codes`, one after the other; gives what was sent. */
async function run(
  uploads: Recorder,
  command: Command,
  ...decisions: (number | StoreError)[]
): Promise<Command[]> {
  const sent: Command[] = []
  const decide = async (of: Command): Promise<Decided> => {
    sent.push(of)
    const decision = decisions.shift()
    if (typeof decision === 'number')
      return { result: undefined as never, code: decision, deadline: 0 }
    throw decision!
  }
  await writeLarge(uploads, largeCommandOf(command, 5, 'store'), SPEC, decide)
  return sent
}

test('what happened keeps its shards, and its large values are manifests', async () => {
  const uploads = new Recorder()
  const [sent] = await run(uploads, write, -1)
  assert.ok(sent?.type === 'write')
  const puts = sent.operations.map(
    (each) => each.type === 'put' && [each.value.toString(), each.coded],
  )
  assert.deepEqual(puts, [
    ['a0', true],
    ['\0', undefined],
    ['b1', true],
  ])
  assert.deepEqual(uploads.dropped, [])
})

test('what certainly did not happen is dropped, what may happen is not', async () => {
  const outcomes = { none: ['a0', 'b1'], unknown: [], committed: [] } as const
  for (const [outcome, dropped] of Object.entries(outcomes)) {
    const uploads = new Recorder()
    const error = new StoreError('QUORATE_TIMEOUT', 'late', { outcome: outcome as 'none' })
    await assert.rejects(run(uploads, write, error), error)
    assert.deepEqual(uploads.dropped, dropped, outcome)
  }
})

test('of a transaction the branch that was not taken is dropped', async () => {
  for (const [code, dropped] of [
    [RESULT_YES, 'e1'],
    [RESULT_NO, 't0'],
  ] as const) {
    const uploads = new Recorder()
    await run(uploads, txn, code)
    assert.deepEqual(uploads.dropped, [dropped])
  }
})

test('when the term or the members have changed all is stored anew, a bounded number of times', async () => {
  const uploads = new Recorder()
  const sent = await run(uploads, write, RESULT_UNCOVERED, RESULT_UNCOVERED, -1)
  assert.equal(sent.length, 3)
  assert.deepEqual(uploads.dropped, ['a0', 'b1', 'a2', 'b3'])
  const often = Array.from({ length: 10 }, () => RESULT_UNCOVERED)
  const failure = { code: 'QUORATE_UNDERCOVERED', outcome: 'none', retryable: true }
  await assert.rejects(run(new Recorder(), write, ...often), failure)
})
