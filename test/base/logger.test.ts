import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Log, type Logger } from '../../src/base/logger.js'

/** Writes `level message` and the facts to `lines`. */
function noting(lines: unknown[], bindings: object = {}): Logger {
  const at = (level: string) => (facts: object, message: string) => {
    lines.push([`${level} ${message}`, { ...bindings, ...facts }])
  }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

test('facts come first, then the sentence, as pino has it; bindings by child where there is one', () => {
  const lines: unknown[] = []
  new Log(noting(lines), { member: 'a' }).write('info', { event: 'x', n: 1 }, 'plain')
  const parent: Logger = { ...noting(lines), child: (bindings) => noting(lines, bindings) }
  new Log(parent, { member: 'a' }).write('warn', { event: 'y' }, 'bound')
  assert.deepEqual(lines, [
    ['info plain', { event: 'x', n: 1 }],
    ['warn bound', { member: 'a', event: 'y' }],
  ])
})

test('a logger keeps its `this`', () => {
  class Counting {
    count = 0
    debug(): void {}
    info(): void {
      this.count++
    }
    warn(): void {}
    error(): void {}
  }
  const logger = new Counting()
  new Log(logger, {}).write('info', { event: 'x' }, 'm')
  assert.equal(logger.count, 1)
})

test('a logger that throws or rejects is counted, and hurts nobody', async () => {
  const fail = () => {
    throw new Error('planted')
  }
  const thrower: Logger = { debug: fail, info: fail, warn: fail, error: fail, child: fail }
  const log = new Log(thrower, {})
  log.write('error', { event: 'x' }, 'm')
  assert.equal(log.failures, 2, 'child and error')
  const reject = async () => fail()
  const rejecter = new Log({ debug: reject, info: reject, warn: reject, error: reject }, {})
  rejecter.write('info', { event: 'x' }, 'm')
  await new Promise(setImmediate)
  assert.equal(rejecter.failures, 1)
})

test('without a logger nothing is said', () => {
  const log = new Log(undefined, {})
  log.write('error', { event: 'x' }, 'm')
  assert.equal(log.failures, 0)
})
