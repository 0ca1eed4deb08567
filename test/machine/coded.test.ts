/** Large values in the replicated state: what lets a manifest in, and what is known of it afterwards. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import type { AppliedEntry, StateMachine } from '../../src/machine/state-machine.js'
import { makeStoredValue, readStoredValue } from '../../src/machine/stored-value.js'
import { planChange } from '../../src/member/change-plan.js'
import {
  changeConfiguration,
  firstConfiguration,
  openDirectory,
} from '../../src/member/directory.js'
import { encodeConfChange, LEAVE_JOINT } from '../../src/raft/conf-change.js'
import type { ConfChangeV2, Entry } from '../../src/raft/types.js'
import { Image } from '../../src/snapshot/image.js'
import type { Command, Expiry, Operation } from '../../src/wire/command.js'
import { chunkEntries } from '../../src/wire/image-chunk.js'
import { blobName, decodeManifest } from '../../src/wire/manifest.js'
import type { MemberChange } from '../../src/wire/membership.js'
import { OWN_CLIENT, packEntry, RequestWriter } from '../../src/wire/request.js'
import { type ManifestWish, manifestOf, putCoded } from '../wire/manifest-fixture.js'
import { clientId, OPTIONS, TestHost } from './machine-fixture.js'

const [NO, YES, UNCOVERED] = [0, 1, 5]
const LEASE = Buffer.from('lease  1')
const K = Buffer.from('k')

/** Three members, a to c, and what is applied on one of them. */
class Lab {
  readonly host = new TestHost(1)
  machine!: StateMachine
  #index = 0
  #seq = 0
  term = 1

  static async open(): Promise<Lab> {
    const lab = new Lab()
    const initial = firstConfiguration(
      ['a', 'b', 'c'].map((id, i) => ({ id, nodeId: i + 1, address: `${id}:1` })),
    )
    lab.machine = await lab.host.open({ ...OPTIONS, initial, confChange: changeConfiguration })
    return lab
  }

  get index(): number {
    return this.#index
  }

  /** Applies the commands as one request; an own one is the leader's. */
  async apply(
    commands: readonly Command[],
    client: Uint8Array = clientId('c'),
  ): Promise<AppliedEntry> {
    const writer = new RequestWriter(64)
    for (const command of commands) writer.add(command)
    const seq = client === OWN_CLIENT ? 1 : ++this.#seq
    const data = packEntry([writer.finish(client, seq, seq, 0)])
    return this.#applyEntry({ kind: 'normal', data })
  }

  own(...commands: readonly Command[]): Promise<AppliedEntry> {
    return this.apply(commands, OWN_CLIENT)
  }

  /** The result byte of a write. */
  async write(...operations: Operation[]): Promise<number | undefined> {
    const { outcomes } = await this.apply([{ type: 'write', operations }])
    return outcomes[0]!.results[0]
  }

  async change(...changes: readonly MemberChange[]): Promise<void> {
    const { conf } = this.machine
    await this.reconfigure(planChange(openDirectory(this.machine), conf, changes, []).change)
  }

  async reconfigure(change: ConfChangeV2): Promise<void> {
    await this.#applyEntry({ kind: 'confChangeV2', data: encodeConfChange(change) })
  }

  /** Of the blob under `key`. */
  blob(key: string): string | undefined {
    const stored = this.machine.get(Buffer.from(key))
    return stored?.isCoded && blobName(decodeManifest(stored.value).id)
  }

  /** Keys of large values, and those that are listed without need in brackets. */
  async listed(): Promise<string[]> {
    const { values, stale } = await this.host.run(this.machine.codedKeys(undefined, 100))
    return [...values.map(({ key }) => `${key}`), ...stale.map((key) => `(${key})`)]
  }

  close(): Promise<void> {
    return this.host.run(this.machine.close())
  }

  async #applyEntry(entry: Pick<Entry, 'kind' | 'data'>): Promise<AppliedEntry> {
    const index = ++this.#index
    const applying = this.machine.apply([{ index, term: this.term, ...entry }])
    return (await this.host.run(applying))[0]!
  }
}

function shown({ coded }: AppliedEntry): string[] {
  return coded.map(({ key, manifest }) => `${key} ${blobName(manifest.id)}`)
}

function respread(key: string, expected: number, wish: ManifestWish, term = 1): Command {
  return {
    type: 'respread',
    expected: { term, proposer: 1, seq: expected },
    put: putCoded(key, wish),
  }
}

test('a covered manifest comes into the state, and everybody who looks is told that it is one', async () => {
  const lab = await Lab.open()
  const applied = await lab.apply([{ type: 'write', operations: [putCoded('k')] }])
  assert.deepEqual([...applied.outcomes[0]!.results], [YES])
  assert.deepEqual(shown(applied), ['k 1-1-1'])
  const stored = { value: putCoded('k').value, revision: 1, isCoded: true }
  assert.deepEqual(lab.machine.get(K), stored)
  assert.deepEqual(await lab.host.run(lab.machine.getMany([K])), [stored])
  const history = lab.machine.history.read(0, {}, 1000)!
  assert.deepEqual(history.entries[0]!.changes, [
    { type: 'put', key: K, value: stored.value, isCoded: true },
  ])
  assert.equal(await lab.write({ type: 'put', key: K, value: K }), undefined)
  assert.deepEqual(lab.machine.get(K), { value: K, revision: 2 })
  await lab.close()
})

test('a manifest of another term than its entry does nothing: neither an older nor a newer one', async () => {
  const lab = await Lab.open()
  lab.term = 7
  for (const term of [6, 8]) assert.equal(await lab.write(putCoded('k', { term })), UNCOVERED)
  assert.equal(lab.blob('k'), undefined)
  assert.equal(await lab.write(putCoded('k', { term: 7 })), YES)
  await lab.close()
})

test('a manifest that too few members vouch for does nothing, nor does one whose slots are others by now', async () => {
  const lab = await Lab.open()
  const refused: ManifestWish[] = [
    { parts: [{ durable: [true, true, false] }] },
    { parts: [{}, { durable: [false, true, true] }, {}] },
    { parts: [{ durable: [true, false, false], dataShards: 1 }] },
    { members: [0, 1, 3].map((slot, i) => ({ node: i + 1, slot })) },
    { members: [1, 2, 3].map((slot) => ({ node: slot, slot })) },
    { members: [5, 6, 7].map((node) => ({ node, slot: node - 5 })) },
  ]
  for (const wish of refused) assert.equal(await lab.write(putCoded('k', wish)), UNCOVERED)
  assert.deepEqual([lab.blob('k'), await lab.listed()], [undefined, []])
  assert.equal(
    await lab.write(putCoded('k', { parts: [{ durable: [true, true, false], dataShards: 1 }] })),
    YES,
  )
  await lab.close()
})

test('the members count as they are at the entry: in a joint configuration those of both halves', async () => {
  const lab = await Lab.open()
  await lab.change({ kind: 'add', id: 'd', address: 'd:1' })
  const four = [1, 2, 3, 4].map((node) => ({ node, slot: node - 1 }))
  const without = (node: number) => ({
    members: four,
    parts: [{ durable: four.map((each) => each.node !== node) }],
  })
  assert.deepEqual(
    [await lab.write(putCoded('k', without(4))), await lab.write(putCoded('k', without(1)))],
    [YES, UNCOVERED],
    'd is a learner',
  )
  await lab.change({ kind: 'promote', id: 'd' }, { kind: 'remove', id: 'a' })
  assert.deepEqual(lab.machine.conf.votersOutgoing.length, 3)
  for (const node of [1, 4]) assert.equal(await lab.write(putCoded('k', without(node))), UNCOVERED)
  assert.equal(await lab.write(putCoded('k', { members: four })), YES)
  await lab.reconfigure(LEAVE_JOINT)
  assert.equal(await lab.write(putCoded('k', without(1))), YES, 'a has gone')
  assert.equal(await lab.write(putCoded('k', without(4))), UNCOVERED)
  await lab.close()
})

test('a command with a manifest happens as a whole or not at all; of a transaction its branch counts', async () => {
  const lab = await Lab.open()
  const plain = { type: 'put', key: Buffer.from('p'), value: K } as const
  const [good, bad] = [putCoded('k'), putCoded('l', { term: 2 })]
  assert.equal(await lab.write(plain, good, bad), UNCOVERED)
  assert.deepEqual(
    [lab.machine.get(plain.key), lab.blob('k'), await lab.listed()],
    [undefined, undefined, []],
  )
  const compares = [{ type: 'exists', key: K } as const]
  const txn = { type: 'txn', compares, then: [plain, bad], else: [good] } as const
  const applied = [await lab.apply([txn]), await lab.apply([txn])]
  assert.deepEqual(
    applied.map(({ outcomes }) => [...outcomes[0]!.results]),
    [[NO], [UNCOVERED]],
  )
  assert.deepEqual(applied.map(shown), [['k 1-1-1'], []])
  const digests = [lab.machine.digestAt(1), lab.machine.digestAt(3)]
  assert.notEqual(digests[0], digests[1])
  await lab.close()
})

test('what lies in shards is equal to no value, but exists and has its revision', async () => {
  const lab = await Lab.open()
  const put = putCoded('k')
  await lab.write(put)
  const asked = [
    { type: 'value', key: K, value: put.value },
    { type: 'exists', key: K },
    { type: 'revision', key: K, revision: 1 },
    { type: 'absent', key: K },
  ] as const
  const { outcomes } = await lab.apply(
    asked.map((compare) => ({ type: 'txn', compares: [compare], then: [], else: [] })),
  )
  assert.deepEqual([...outcomes[0]!.results], [NO, YES, YES, NO])
  await lab.close()
})

test('a coded value goes with its time and with its lease, as any other', async () => {
  const lab = await Lab.open()
  await lab.apply([{ type: 'grant', lease: LEASE, ttlMs: 1000 }])
  const expiries: Expiry[] = [
    { type: 'ttl', ttlMs: 500 },
    { type: 'lease', lease: LEASE },
  ]
  for (const [i, expiry] of expiries.entries()) {
    assert.equal(await lab.write({ ...putCoded(`k${i}`), expiry }), YES)
    assert.deepEqual(lab.machine.get(Buffer.from(`k${i}`))?.expiry, expiry)
  }
  const keys = [{ key: Buffer.from('k0'), revision: 2 }]
  await lab.own({ type: 'expire', keys, leases: [], detached: [] })
  await lab.apply([{ type: 'revoke', lease: LEASE }])
  assert.deepEqual([lab.blob('k0'), lab.blob('k1')], [undefined, undefined])
  assert.deepEqual(await lab.listed(), ['(k0)', '(k1)'])
  assert.equal(await lab.write({ ...putCoded('l'), expiry: expiries[1]! }), NO, 'no such lease')
  await lab.close()
})

test('respread puts other shards in the place of those expected, keeps the rest, and tells nobody', async () => {
  const lab = await Lab.open()
  const expiry = { type: 'ttl', ttlMs: 500 } as const
  await lab.write({ ...putCoded('k'), expiry })
  lab.term = 2
  const before = lab.machine.digestAt(1)
  const applied = await lab.own(respread('k', 1, { term: 2, seq: 5 }))
  assert.deepEqual(shown(applied), ['k 2-1-5'])
  const { revision, expiry: kept, isCoded } = lab.machine.get(K)!
  assert.deepEqual([revision, kept, isCoded], [1, expiry, true])
  assert.deepEqual(lab.machine.history.read(1, {}, 1000)!.entries, [])
  assert.notEqual(lab.machine.digestAt(2), before)
  // The time to live still belongs to the value.
  await lab.own({ type: 'expire', keys: [{ key: K, revision: 1 }], leases: [], detached: [] })
  assert.equal(lab.machine.get(K), undefined)
  await lab.close()
})

test('respread does nothing to another blob, a plain value or none, and not with too few shards', async () => {
  const lab = await Lab.open()
  await lab.write(putCoded('k', { seq: 7 }))
  await lab.write({ type: 'put', key: Buffer.from('p'), value: K })
  const useless: Command[] = [
    respread('k', 6, { seq: 9 }),
    respread('k', 7, { seq: 9 }, 2),
    respread('k', 7, { seq: 9, parts: [{ bytes: 11 }] }),
    respread('k', 7, { seq: 9, isStream: true }),
    respread('k', 7, { seq: 9, term: 2 }),
    respread('k', 7, { seq: 9, parts: [{ durable: [true, true, false] }] }),
    respread('p', 7, { seq: 9 }),
    respread('none', 7, { seq: 9 }),
  ]
  for (const command of useless) {
    assert.deepEqual((await lab.own(command)).coded, [])
    assert.equal(lab.blob('k'), '1-1-7')
  }
  assert.deepEqual(lab.machine.get(Buffer.from('p'))?.value, K)
  assert.deepEqual(await lab.listed(), ['k'])
  const twice = [
    await lab.own(respread('k', 7, { seq: 9 })),
    await lab.own(respread('k', 7, { seq: 9 })),
  ]
  assert.deepEqual(twice.map(shown), [['k 1-1-9'], ['k 1-1-9']])
  await lab.close()
})

test('keys that were overwritten stay listed until they are forgotten, and only they are', async () => {
  const lab = await Lab.open()
  for (const key of ['a', 'b', 'c']) await lab.write(putCoded(key))
  await lab.write({ type: 'put', key: Buffer.from('a'), value: K })
  await lab.write({ type: 'del', key: Buffer.from('c') })
  assert.deepEqual(await lab.listed(), ['b', '(a)', '(c)'])
  const digest = lab.machine.digestAt(lab.index)
  await lab.own({ type: 'forget', keys: ['a', 'b', 'c'].map((key) => Buffer.from(key)) })
  assert.deepEqual(await lab.listed(), ['b'])
  assert.notEqual(lab.machine.digestAt(lab.index), digest)
  await lab.close()
})

test('the list of large values is walked in bounded parts', async () => {
  const lab = await Lab.open()
  const keys = Array.from({ length: 7 }, (_, i) => `k${i}`)
  await lab.apply([{ type: 'write', operations: keys.map((key) => putCoded(key)) }])
  const seen: string[][] = []
  for (let after: Buffer | undefined; ; ) {
    const { values, next } = await lab.host.run(lab.machine.codedKeys(after, 3))
    if (next === undefined) break
    seen.push(values.map(({ key }) => `${key}`))
    after = next
  }
  assert.deepEqual(seen, [['k0', 'k1', 'k2'], ['k3', 'k4', 'k5'], ['k6']])
  await lab.close()
})

test('an image has manifests and the list of them', async () => {
  const lab = await Lab.open()
  await lab.write(putCoded('k'))
  const image = new Image((await lab.host.run(lab.machine.pin(1)))!, '0123456789abcdef')
  const keys: string[] = []
  const scanning = image.scan(async (_, content) => {
    for (const [key] of chunkEntries(await content())) keys.push(key.toString('latin1'))
  })
  await lab.host.run(scanning)
  assert.deepEqual(
    keys.filter((key) => key.endsWith('k')),
    ['\x01k', '\x06k'],
  )
  await lab.host.run(image.close())
  await lab.close()
})

test('a coded value fails its checksum with any bit flipped, and is never taken for a plain one', () => {
  const expiries: (Expiry | undefined)[] = [
    undefined,
    { type: 'ttl', ttlMs: 500 },
    { type: 'lease', lease: LEASE },
  ]
  fc.assert(
    fc.property(fc.constantFrom(...expiries), fc.boolean(), (expiry, isCoded) => {
      const value = Buffer.from('abc')
      const put = { value, checksum: crc32(value, crc32(K)), ...(expiry && { expiry }) }
      const { stored } = makeStoredValue(isCoded ? { ...put, coded: true } : put, 9)
      const expected = { value, revision: 9, ...(expiry && { expiry }) }
      assert.deepEqual(readStoredValue(K, stored), isCoded ? { ...expected, isCoded } : expected)
      for (let bit = 0; bit < 8 * stored.length; bit++) {
        const damaged = Buffer.from(stored)
        damaged[bit >> 3]! ^= 1 << (bit & 7)
        assert.throws(() => readStoredValue(K, damaged), { code: 'QUORATE_CORRUPTION' })
      }
    }),
    { numRuns: 20 },
  )
})

test('a manifest of a newer version stops the member, rather than being left out', async () => {
  const lab = await Lab.open()
  const put = putCoded('k')
  put.value[0] = 9
  const applying = lab.apply([{ type: 'write', operations: [put] }])
  await assert.rejects(applying, { code: 'QUORATE_FORMAT' })
})

test('digests and states are the same however entries with manifests are cut into batches', async () => {
  const [whole, single] = [await Lab.open(), await Lab.open()]
  const entries = Array.from({ length: 6 }, (_, i): Entry => {
    const writer = new RequestWriter(64)
    writer.add({ type: 'write', operations: [putCoded('k', { seq: i + 1 })] })
    writer.add({ type: 'write', operations: [putCoded('l', { term: 1 + (i % 2) })] })
    const data = packEntry([writer.finish(clientId('c'), i + 1, i + 1, 0)])
    return { index: i + 1, term: 1, kind: 'normal', data }
  })
  const all = await whole.host.run(whole.machine.apply(entries))
  const each: AppliedEntry[] = []
  for (const entry of entries) each.push(...(await single.host.run(single.machine.apply([entry]))))
  assert.deepEqual(each, all)
  assert.equal(whole.machine.digestAt(6), single.machine.digestAt(6))
  await whole.close()
  await single.close()
  assert.deepEqual(await whole.host.dump(), await single.host.dump())
})

test('manifestOf makes what decodes', () => {
  const manifest = manifestOf({ parts: [{}, { bytes: 3 }] })
  assert.deepEqual(decodeManifest(putCoded('k', { parts: [{}, { bytes: 3 }] }).value), manifest)
})
