import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CircuitBreaker } from '../../src/member/circuit-breaker.js'

function broken(): CircuitBreaker {
  const breaker = new CircuitBreaker(3, 1000)
  for (let i = 0; i < 3; i++) {
    assert.equal(breaker.admit(0), true)
    breaker.failed(0)
  }
  return breaker
}

test('several failures in a row open it, and nothing is admitted until it has rested', () => {
  const breaker = broken()
  assert.equal(breaker.state, 'open')
  assert.equal(breaker.admit(999), false)
  assert.equal(breaker.admit(1000), true)
})

test('a success in between begins the count anew', () => {
  const breaker = new CircuitBreaker(2, 1000)
  breaker.failed(0)
  breaker.succeeded()
  breaker.failed(0)
  assert.equal(breaker.state, 'closed')
})

test('half-open admits one call: its success closes, its failure opens for another rest', () => {
  const breaker = broken()
  assert.equal(breaker.admit(1000), true)
  assert.equal(breaker.state, 'half-open')
  assert.equal(breaker.admit(1000), false)
  breaker.failed(1500)
  assert.equal(breaker.admit(2499), false)
  assert.equal(breaker.admit(2500), true)
  breaker.succeeded()
  assert.equal(breaker.state, 'closed')
  assert.equal(breaker.admit(2500), true)
})

test('a probe of which nothing can be told makes room for another one', () => {
  const breaker = broken()
  assert.equal(breaker.admit(1000), true)
  breaker.abandoned()
  assert.equal(breaker.admit(1000), true)
})
