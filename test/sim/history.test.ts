/** Histories: what is written is read back, what breaks the format is refused with its line, and calls are paired. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { HistoryError, type HistoryEvent, pairCalls } from '../../src/sim/history.js'
import { formatHistory, parseHistory } from '../../src/sim/history-text.js'
import { Recorder } from '../../src/sim/recorder.js'

const HEADER = '{"type":"history","version":1}'

/** One event of every kind. */
function everything(): readonly HistoryEvent[] {
  let now = 0
  const recorder = new Recorder(() => now++)
  const strong = { level: 'strong' } as const
  const quorum = { ack: 'quorum' } as const
  const at = { index: 7, term: 2, node: 'n1' }
  recorder.invoke({ f: 'put', key: 'k', value: 'v', ...quorum }, { session: 's', node: 'n1' }).ok({
    f: 'put',
    ...at,
  })
  recorder.invoke({ f: 'get', key: 'k', ...strong, maxStalenessMs: 5 }, {}).ok({
    f: 'get',
    value: null,
    revision: 0,
    ...at,
  })
  recorder.invoke({ f: 'getMany', keys: ['k', 'ключ'], ...strong }, {}).ok({
    f: 'getMany',
    values: ['v', null],
  })
  recorder.invoke({ f: 'scan', gte: 'a', lt: 'z', ...strong }, {}).ok({
    f: 'scan',
    entries: [['k', true]],
  })
  recorder.invoke({ f: 'scan', ...strong }, {}).fail('no leader')
  recorder.invoke({ f: 'del', key: 'k', ...quorum }, {}).info('timed out')
  const changes = [{ type: 'put', key: 'k', value: 1 } as const, { type: 'del', key: 'j' } as const]
  recorder.invoke({ f: 'batch', changes, ...quorum }, {}).ok({ f: 'batch' })
  recorder.nemesis('partition', [['n1'], ['n2', 'n3']])
  recorder.nemesis('heal', undefined)
  recorder.token('export', 's', 'T')
  recorder.token('import', 'r', 'T')
  recorder.invoke({ f: 'put', key: 'k', value: 'never answered', ...quorum }, {})
  return recorder.finish()
}

test('every kind of event comes back from its text as it was', () => {
  const events = everything()
  // As JSON: a field that is undefined is the same as none.
  assert.deepEqual(parseHistory(formatHistory(events)), JSON.parse(JSON.stringify(events)))
})

test('a line that breaks the format is refused, with its number', () => {
  const get = '{"i":0,"t":0,"process":0,"type":"invoke","f":"get","key":"k","level":"strong"}'
  const cases: readonly [message: RegExp, text: string][] = [
    [/line 1: the header is missing/, ''],
    [/line 1: this is not the header/, get],
    [/line 1: unknown version 2/, '{"type":"history","version":2}'],
    [/line 2: .*JSON/, `${HEADER}\n{"i":`],
    [/line 2: not an object/, `${HEADER}\n[]`],
    [/line 3: unknown type done/, `${HEADER}\n${get}\n${get.replace('invoke', 'done')}`],
    [/line 2: f is none of get, /, `${HEADER}\n${get.replace('"get"', '"read"')}`],
    [/line 2: level is none of strong, /, `${HEADER}\n${get.replace('strong', 'linear')}`],
    [/line 2: key is no string/, `${HEADER}\n${get.replace('"k"', '7')}`],
    [/line 2: i is no number/, `${HEADER}\n${get.replace('"i":0', '"i":"0"')}`],
  ]
  for (const [message, text] of cases) {
    assert.throws(() => parseHistory(text), { name: 'HistoryError', message }, text)
  }
})

test('no text makes the reader fail in another way than by saying so', () => {
  const lines = formatHistory(everything()).split('\n').slice(1, -1)
  const mutated = fc
    .tuple(fc.constantFrom(...lines), fc.nat(), fc.jsonValue())
    .map(([line, which, value]) => {
      const fields = Object.entries(JSON.parse(line) as Record<string, unknown>)
      fields[which % fields.length]![1] = value
      return JSON.stringify(Object.fromEntries(fields))
    })
  fc.assert(
    fc.property(mutated, (line) => {
      try {
        parseHistory(`${HEADER}\n${line}\n`)
      } catch (error) {
        assert.ok(error instanceof HistoryError, `${error}`)
      }
    }),
    { numRuns: 2000 },
  )
})

test('unknown fields and empty lines are passed over', () => {
  const line = '{"i":4,"t":9.5,"type":"export","session":"s","token":"T","colour":"red"}'
  assert.deepEqual(parseHistory(`${HEADER}\n\n${line}\n`), [
    { i: 4, t: 9.5, type: 'export', session: 's', token: 'T' },
  ])
})

test('calls are paired with their ends, in the order of their invocation', () => {
  const { calls, tokens } = pairCalls(everything())
  assert.deepEqual(
    calls.map(({ operation, outcome }) => `${operation.f} ${outcome.type}`),
    [
      'put ok',
      'get ok',
      'getMany ok',
      'scan ok',
      'scan fail',
      'del unknown',
      'batch ok',
      'put unknown',
    ],
  )
  assert.deepEqual(
    tokens.map(({ type, session }) => `${session} ${type}`),
    ['s export', 'r import'],
  )
  assert.deepEqual(calls[0], {
    process: 0,
    session: 's',
    node: 'n1',
    invoked: { i: 0, t: 0 },
    operation: { f: 'put', key: 'k', value: 'v', ack: 'quorum' },
    outcome: {
      type: 'ok',
      at: { i: 1, t: 1 },
      result: { f: 'put', index: 7, term: 2, node: 'n1' },
    },
  })
})

test('a history whose events do not go together is refused', () => {
  const call = { process: 0, type: 'invoke', f: 'get', key: 'k', level: 'strong' } as const
  const many = { ...call, f: 'getMany', keys: ['k', 'j'] } as const
  const ok = { process: 0, type: 'ok', f: 'get', value: null } as const
  const info = { process: 0, type: 'info', f: 'get', error: 'timed out' } as const
  const at = (i: number, t: number) => ({ i, t })
  const cases: readonly [message: RegExp, events: HistoryEvent[]][] = [
    [
      /event 0 after 0/,
      [
        { ...at(0, 0), ...call },
        { ...at(0, 0), ...ok },
      ],
    ],
    [
      /time goes back/,
      [
        { ...at(0, 5), ...call },
        { ...at(1, 4), ...ok },
      ],
    ],
    [/was not begun/, [{ ...at(0, 0), ...ok }]],
    [
      /was not begun/,
      [
        { ...at(0, 0), ...many },
        { ...at(1, 0), ...ok },
      ],
    ],
    [
      /has a call open/,
      [
        { ...at(0, 0), ...call },
        { ...at(1, 0), ...call },
      ],
    ],
    [
      /has a call open/,
      [
        { ...at(0, 0), ...call },
        { ...at(1, 0), ...info },
        { ...at(2, 0), ...call },
      ],
    ],
    [
      /another number of values/,
      [
        { ...at(0, 0), ...many },
        { ...at(1, 0), ...ok, f: 'getMany', values: [null] },
      ],
    ],
  ]
  for (const [message, events] of cases) {
    assert.throws(() => pairCalls(events), { name: 'HistoryError', message })
  }
})

test('the recorder gives a process no second call before it is sure of the first', () => {
  const recorder = new Recorder(() => 0)
  const put = () => recorder.invoke({ f: 'put', key: 'k', value: 'v', ack: 'quorum' }, {})
  const [a, b, c] = [put(), put(), put()]
  b.fail('refused')
  a.info('timed out')
  c.ok({ f: 'put' })
  put()
  put()
  put()
  const invoked = recorder.finish().flatMap((e) => (e.type === 'invoke' ? e.process : []))
  assert.deepEqual(invoked, [0, 1, 2, 1, 2, 3])
})

test('the recorder refuses to end a call twice, or by the result of another kind', () => {
  const recorder = new Recorder(() => 0)
  const call = recorder.invoke({ f: 'put', key: 'k', value: 'v', ack: 'quorum' }, {})
  assert.throws(() => call.ok({ f: 'get', value: null }), { name: 'InvariantError' })
  call.ok({ f: 'put' })
  assert.throws(() => call.fail('again'), { name: 'InvariantError' })
})

test('the example in the description of the format is a history', () => {
  const path = join(import.meta.dirname, '../../../docs/history-format.md')
  const [, example] = /```jsonl\n([\s\S]*?)```/.exec(readFileSync(path, 'utf8')) ?? []
  assert.ok(example !== undefined)
  assert.equal(pairCalls(parseHistory(example)).calls.length, 4)
})
