import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, test } from 'node:test'
import { StoreError } from '../../src/base/errors.js'
import type { Backend } from '../../src/erasure/backend.js'
import { BACKEND_VARIABLE, chooseBackend } from '../../src/erasure/choose.js'
import { JavaScriptBackend } from '../../src/erasure/javascript.js'
import { loadBinding } from '../../src/erasure/native.js'
import type { Operation } from '../../src/erasure/operation.js'
import { faultOf } from '../../src/erasure/self-test.js'
import { backends } from './shards.js'

const given = process.env[BACKEND_VARIABLE]

function setVariable(value: string | undefined): void {
  if (value === undefined) delete process.env[BACKEND_VARIABLE]
  else process.env[BACKEND_VARIABLE] = value
}

afterEach(() => setVariable(given))

test('without a wish the fastest backend serves, and why is said', () => {
  setVariable(undefined)
  const { backend, status } = chooseBackend(undefined)
  assert.equal(backend.instructions, backends[0]![1].instructions)
  assert.equal(status.backend, backend.name)
  assert.equal(status.why, 'the fastest that passes its self-test')
  if (backend.name !== 'native') assert.match(status.passedOver[0]!.reason, /./)
})

for (const [name, backend] of backends) {
  test(`${name} passes the self-test`, () => {
    assert.equal(faultOf(backend), undefined)
  })

  test(`${name} serves when an option or the environment asks for it`, () => {
    setVariable(name)
    const byVariable = chooseBackend(undefined).status
    assert.match(byVariable.why, /environment variable QUORATE_ERASURE/)
    setVariable('wasm')
    const byOption = chooseBackend(name).status
    assert.equal(byOption.why, 'asked for by the options')
    const [kind, instructions = kind] = name.split(':')
    for (const status of [byVariable, byOption]) {
      assert.deepEqual([status.backend, status.instructions], [kind, instructions])
    }
  })
}

test('a backend that is asked for and not there is an error, not another backend', () => {
  assert.throws(
    () => chooseBackend('native:abacus'),
    (error) => error instanceof StoreError && error.code === 'QUORATE_NOT_READY',
  )
})

test('a name that no backend has is refused', () => {
  for (const name of ['rust', 'wasm:simd', 'natives', ':avx2']) {
    assert.throws(() => chooseBackend(name), RangeError)
  }
})

/** A backend with a bug, planted in what `run` leaves behind. */
function broken(spoil: (operation: Operation) => void): Backend {
  const backend = new JavaScriptBackend()
  const run = (operation: Operation): void => {
    backend.run(operation)
    spoil(operation)
  }
  return {
    name: 'native',
    instructions: 'broken',
    inlineBytesMax: 0,
    run,
    runLater: async () => {},
  }
}

test('the self-test finds a kernel that is wrong in its tail, in one row, or in rebuilding', () => {
  assert.equal(faultOf(broken(() => {})), undefined)
  const bugs: ((operation: Operation) => void)[] = [
    ({ targets }) => targets.at(-1)?.set([1], targets.at(-1)!.length - 1),
    ({ targets }) => targets[3]?.fill(7, 64, 65),
    ({ plan, targets }) => plan.targets[0] === 1 && targets[0]!.reverse(),
  ]
  for (const bug of bugs) assert.match(faultOf(broken(bug)) ?? '', /wrong/)
})

test('an addon that does not load is passed over with the reason', () => {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-erasure-'))
  try {
    const path = join(folder, 'erasure.node')
    writeFileSync(path, 'no program')
    assert.throws(() => loadBinding([join(folder, 'absent.node'), path]), /erasure\.node/)
    assert.throws(() => loadBinding([]), /not built for/)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
