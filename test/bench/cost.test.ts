import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CostRow, countCosts } from '../../bench/cost-operations.js'

/**
 * What operations cost: round trips until the answer, messages, fsyncs, and the most bytes that the messages may have.
 * A change that makes one dearer is a decision: it belongs here, with its reason in the commit. So does a cheaper one.
 */
const COSTS = `
members, caller, operation                          RT msg fs   bytes
1 leader   put                                         0   0  1       0
1 leader   put, ack applied                            0   0  1       0
1 leader   put, ack all                                0   0  1       0
1 leader   64 puts of one turn                         0   0  1       0
1 leader   8 puts, one after another                   0   0  8       0
1 leader   batch of 64 puts                            0   0  1       0
1 leader   txn, compare and swap                       0   0  1       0
1 leader   get, strong                                 0   0  0       0
1 leader   64 gets of one turn, strong                 0   0  0       0
1 leader   get, session, nothing seen yet              0   0  0       0
1 leader   put, then get, session                      0   0  1       0
1 leader   get, eventual, bounded, last proof too old  0   0  0       0
1 leader   get, eventual                               0   0  0       0
1 leader   scan of 64 keys, strong                     0   0  0       0
1 leader   scan of 64 keys, eventual                   0   0  0       0
3 leader   put                                         1   8  3    1032
3 follower put                                         2  10  3    1297
3 client   put                                         2  10  3    1297
3 leader   put, ack applied                            1   8  3    1032
3 follower put, ack applied                            2  10  3    1297
3 client   put, ack applied                            3  12  3    1360
3 leader   put, ack all                                2  12  3    1128
3 follower put, ack all                                3  14  3    1393
3 client   put, ack all                                4  16  3    1456
3 leader   64 puts of one turn                         1   8  3   20814
3 follower 64 puts of one turn                         2  10  3   30970
3 client   64 puts of one turn                         2  10  3   30970
3 leader   8 puts, one after another                   8  36 24    6128
3 follower 8 puts, one after another                  16  80 24   10376
3 client   8 puts, one after another                  16  80 24   10376
3 leader   batch of 64 puts                            1   8  3   20824
3 follower batch of 64 puts                            2  10  3   30985
3 client   batch of 64 puts                            2  10  3   30985
3 leader   txn, compare and swap                       1   8  3    1100
3 follower txn, compare and swap                       2  10  3    1400
3 client   txn, compare and swap                       2  10  3    1400
3 leader   get, strong                                 1   4  0     216
3 follower get, strong                                 2   6  0     324
3 client   get, strong                                 2   6  0     487
3 leader   64 gets of one turn, strong                 1   4  0     216
3 follower 64 gets of one turn, strong                 2   6  0     324
3 client   64 gets of one turn, strong                 2   6  0   15544
3 leader   get, session, nothing seen yet              0   0  0       0
3 follower get, session, nothing seen yet              0   0  0       0
3 client   get, session, nothing seen yet              1   2  0     271
3 leader   put, then get, session                      1   8  3    1032
3 follower put, then get, session                      2  10  3    1297
3 client   put, then get, session                      3  12  3    1568
3 leader   get, eventual, bounded, last proof too old  1   4  0     216
3 follower get, eventual, bounded, last proof too old  2   6  0     324
3 client   get, eventual, bounded, last proof too old  2   6  0     487
3 leader   get, eventual                               0   0  0       0
3 follower get, eventual                               0   0  0       0
3 client   get, eventual                               1   2  0     271
3 leader   scan of 64 keys, strong                     1   4  0     216
3 follower scan of 64 keys, strong                     2   6  0     324
3 client   scan of 64 keys, strong                     4  11  0   10826
3 leader   scan of 64 keys, eventual                   0   0  0       0
3 follower scan of 64 keys, eventual                   0   0  0       0
3 client   scan of 64 keys, eventual                   3   7  0   10610
3 leader   get, strong, by lease                       0   0  0       0
3 follower get, strong, by lease                       1   2  0     108
3 client   get, strong, by lease                       1   2  0     271
1 leader   put of 1 MiB, as shards                     0   0  2       0
3 leader   put of 1 MiB, as shards                     2  12  6 1050050
3 follower put of 1 MiB, as shards                     3  20  6 1050656
3 client   put of 1 MiB, as shards                     5  22  6 2099280
`

interface Line {
  readonly counts: string
  readonly bytes: number
}

/** By `members caller operation`. */
function written(): Map<string, Line> {
  const lines = COSTS.trim().split('\n').slice(1)
  return new Map(
    lines.map((line) => {
      const found = /^(\d \w+) +(.+?) +([\d.]+) +(\d+) +(\d+) +(\d+)$/.exec(line)
      assert.ok(found !== null, `a line of COSTS does not read: ${line}`)
      const [, who, operation, roundTrips, messages, fsyncs, bytes] = found
      return [
        `${who} ${operation}`,
        { counts: describe(roundTrips!, messages!, fsyncs!), bytes: Number(bytes) },
      ]
    }),
  )
}

function describe(
  roundTrips: string | number,
  messages: string | number,
  fsyncs: string | number,
): string {
  return `${roundTrips} round trips, ${messages} messages, ${fsyncs} fsyncs`
}

function check(rows: readonly CostRow[]): void {
  const expected = written()
  for (const { members, caller, operation, cost } of rows) {
    const name = `${members} ${caller} ${operation}`
    const line = expected.get(name)
    assert.ok(line !== undefined, `${name} has no line in COSTS`)
    const { roundTrips, messages, fsyncs, bytes } = cost
    assert.equal(describe(roundTrips, messages, fsyncs), line.counts, name)
    assert.ok(bytes <= line.bytes, `${name}: ${bytes} bytes, at most ${line.bytes}`)
  }
}

for (const members of [1, 3]) {
  test(`with ${members} member(s), no operation costs more than is written down`, async () => {
    const rows = await countCosts(members)
    check(rows)
    const lines = [...written().keys()].filter((name) => name.startsWith(`${members} `))
    assert.equal(rows.length, lines.length, 'every line was counted')
  })
}
