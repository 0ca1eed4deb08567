/** Commands of every kind, for properties about their bytes. */
import fc from 'fast-check'
import type { KeyRange } from '../../src/env/database.js'
import type { Command, Compare, Operation } from '../../src/wire/command.js'
import { putCoded } from './manifest-fixture.js'

export const LEASE: Buffer = Buffer.from('lease  8')

const bytes = (minLength: number, maxLength: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ minLength, maxLength }).map((each) => Buffer.from(each))
const key = bytes(1, 40)
const value = bytes(0, 200)
const lease = bytes(8, 8)
const ttlMs = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })
const range: fc.Arbitrary<KeyRange> = fc
  .tuple(fc.constantFrom('gt', 'gte'), key, fc.constantFrom('lt', 'lte', undefined), key)
  .map(([lower, from, upper, to]) => ({
    [lower]: from,
    ...(upper === undefined ? {} : { [upper]: to }),
  }))

const plain: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({ type: fc.constant('put' as const), key, value }),
  fc.record({ type: fc.constant('del' as const), key }),
  fc.record({
    type: fc.constant('put' as const),
    key,
    value,
    expiry: fc.record({ type: fc.constant('ttl' as const), ttlMs }),
  }),
)
const coded: fc.Arbitrary<Operation> = fc
  .tuple(
    fc.stringMatching(/^[a-z]{1,9}$/),
    fc.nat(9),
    fc.array(fc.record({ bytes: fc.integer({ min: 1, max: 99 }) }), { maxLength: 2 }),
    fc.option(
      fc.oneof(
        fc.record({ type: fc.constant('ttl' as const), ttlMs }),
        fc.record({ type: fc.constant('lease' as const), lease }),
      ),
      { nil: undefined },
    ),
  )
  .map(([name, seq, parts, expiry]) => ({
    ...putCoded(name, { seq, parts }),
    ...(expiry && { expiry }),
  }))
const operation: fc.Arbitrary<Operation> = fc.oneof(
  { weight: 3, arbitrary: plain },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('put' as const),
      key,
      value,
      expiry: fc.record({ type: fc.constant('lease' as const), lease }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('clear' as const),
      range,
      reverse: fc.boolean(),
      limit: fc.constantFrom(1, 1000, Number.POSITIVE_INFINITY),
    }),
  },
  { weight: 1, arbitrary: coded },
)
const operations = fc.array(operation, { maxLength: 5 })
const compare: fc.Arbitrary<Compare> = fc.oneof(
  fc.record({ type: fc.constant('revision' as const), key, revision: fc.maxSafeNat() }),
  fc.record({ type: fc.constantFrom('exists' as const, 'absent' as const), key }),
  fc.record({ type: fc.constant('value' as const), key, value }),
  fc.record({ type: fc.constant('empty' as const), range }),
)

/** A command whose effects do not depend on the state. */
export const plainCommand: fc.Arbitrary<Command> = fc.record({
  type: fc.constant('write' as const),
  operations: fc.array(plain, { maxLength: 5 }),
})

/** A command that a client may send. */
export const anyCommand: fc.Arbitrary<Command> = fc.oneof(
  { weight: 2, arbitrary: plainCommand },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('write' as const), operations }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('txn' as const),
      compares: fc.array(compare, { maxLength: 3 }),
      then: operations,
      else: operations,
    }),
  },
  fc.record({ type: fc.constant('grant' as const), lease, ttlMs }),
  fc.record({ type: fc.constantFrom('keepAlive' as const, 'revoke' as const), lease }),
)
