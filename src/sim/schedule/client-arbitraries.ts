/** What the simulator's own clients do, by kind, for fast-check; of each the harmless choice comes first. */
import type FastCheck from 'fast-check'
import type { Arbitrary } from 'fast-check'
import type { WriteAck } from '../history.js'
import { type ClientEvent, WHOEVER_LEADS } from './schedule.js'

type ByKind<T extends ClientEvent['type']> = Record<T, Arbitrary<ClientEvent>>

const ACKS: readonly WriteAck[] = [
  'quorum',
  'quorum',
  'quorum',
  'leader',
  'applied',
  'all',
  { members: 2 },
]
/** What may be stale is so seldom enough. */
const LEVELS = ['strong', 'session', 'eventual', 'eventual'] as const
const CLIENT_MAX = 5
const KEY_MAX = 63
const TIMEOUTS_MS: readonly number[] = [2000, 500, 10_000]

/** Those that have a weight are drawn; see profiles.ts. */
export function clientArbitraries(fc: typeof FastCheck): ByKind<ClientEvent['type']> {
  return { ...callArbitraries(fc), ...decisionArbitraries(fc), ...otherArbitraries(fc) }
}

/** As the `member` of a client's call: often whoever leads. */
function memberArbitrary(fc: typeof FastCheck): Arbitrary<number> {
  return fc.nat(WHOEVER_LEADS + 2)
}

/** What the history is made of. */
function callArbitraries(fc: typeof FastCheck): ByKind<'write' | 'read'> {
  const common = {
    client: fc.nat(CLIENT_MAX),
    member: memberArbitrary(fc),
    inSession: fc.boolean(),
    timeoutMs: fc.constantFrom(...TIMEOUTS_MS),
  }
  const key = fc.nat(KEY_MAX)
  const write = fc.record({
    ...common,
    type: fc.constant('write' as const),
    keys: fc.oneof(
      { weight: 4, arbitrary: fc.tuple(key) },
      { weight: 1, arbitrary: fc.uniqueArray(key, { minLength: 2, maxLength: 4 }) },
    ),
    deletes: fc.oneof(
      { weight: 9, arbitrary: fc.constant(false) },
      { weight: 1, arbitrary: fc.constant(true) },
    ),
    ack: fc.constantFrom<WriteAck>(...ACKS),
    count: fc.constantFrom(1, 1, 1, 4, 16),
  })
  const read = fc.record({
    ...common,
    type: fc.constant('read' as const),
    shape: fc.constantFrom(...(['get', 'get', 'getMany', 'scan', 'stream'] as const)),
    keys: fc.uniqueArray(key, { minLength: 1, maxLength: 4 }),
    level: fc.constantFrom(...LEVELS),
    maxStalenessMs: fc.constantFrom(0, 0, 0, 50, 1000),
    onBehind: fc.constantFrom(...(['wait', 'wait', 'forward', 'fail'] as const)),
  })
  return { write, read }
}

/** What depends on the state, or goes by itself. */
function decisionArbitraries(fc: typeof FastCheck): ByKind<'decide' | 'clear' | 'expiring'> {
  const common = {
    member: memberArbitrary(fc),
    key: fc.nat(KEY_MAX),
    timeoutMs: fc.constantFrom(...TIMEOUTS_MS),
  }
  const decide = fc.record({
    ...common,
    type: fc.constant('decide' as const),
    shape: fc.constantFrom(...(['put', 'txn', 'txn', 'del'] as const)),
    on: fc.constantFrom(...(['revision', 'value', 'absent'] as const)),
    level: fc.constantFrom(...LEVELS),
    count: fc.constantFrom(1, 1, 3),
  })
  const clear = fc.record({
    ...common,
    type: fc.constant('clear' as const),
    limit: fc.constantFrom(0, 1, 2),
  })
  const expiring = fc.record({
    ...common,
    type: fc.constant('expiring' as const),
    with: fc.constantFrom(...(['ttl', 'ttl', 'lease', 'keptLease', 'revokedLease'] as const)),
    ttlMs: fc.constantFrom(300, 1000, 4000),
  })
  return { decide, clear, expiring }
}

function otherArbitraries(fc: typeof FastCheck): ByKind<'handOver' | 'checkpoint' | 'watch'> {
  const client = fc.nat(CLIENT_MAX)
  const member = memberArbitrary(fc)
  const watch = fc.record({
    type: fc.constant('watch' as const),
    member,
    keys: fc.constantFrom([], [0, 2], [1, 40]),
    begins: fc.constantFrom(...(['now', 'state'] as const)),
    onCompacted: fc.constantFrom(...(['end', 'reset'] as const)),
    level: fc.constantFrom(...LEVELS),
    paceMs: fc.constantFrom(0, 0, 20, 400),
  })
  return {
    handOver: fc.record({ type: fc.constant('handOver' as const), client, to: client }),
    checkpoint: fc.record({ type: fc.constant('checkpoint' as const), member }),
    watch,
  }
}
