/** In which pieces ranges of large values are fetched, and how manifests are cut for it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { piecesOf, sliceOf } from '../../../src/store/large-value.js'
import { decodeManifest, encodeManifest, type Manifest } from '../../../src/wire/manifest.js'

/** A manifest whose parts have these lengths; the number of a part tells which it is. */
function manifestOf(lengths: readonly number[]): Manifest {
  const parts = lengths.map((bytes, i) => ({
    number: 3 * i,
    bytes,
    dataShards: 2,
    digest: Buffer.alloc(8),
    durable: [true],
    digests: [Buffer.alloc(16)],
  }))
  const bytes = lengths.reduce((sum, each) => sum + each, 0)
  const members = [{ node: 1, slot: 0 }]
  return { id: { term: 1, proposer: 1, seq: 1 }, bytes, isStream: false, members, parts }
}

const lengths = fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 8 })
const bounds = fc.tuple(fc.nat(400), fc.nat(400)).map(([a, b]) => ({
  start: Math.min(a, b),
  end: Math.max(a, b),
}))

/** Of every byte of the value the part that it lies in. */
const ownersOf = ({ parts }: Manifest): number[] =>
  parts.flatMap(({ number, bytes }) => Array.from({ length: bytes }, () => number))

test('pieces are the range, in order, none longer than allowed or in two parts', () => {
  const property = fc.property(
    lengths,
    bounds,
    fc.integer({ min: 1, max: 60 }),
    (all, range, most) => {
      const manifest = manifestOf(all)
      const owners = ownersOf(manifest)
      const pieces = [...piecesOf(manifest, range, most)]
      const places = pieces.flatMap(({ start, end }) => {
        assert.ok(end > start && end - start <= most)
        assert.equal(new Set(owners.slice(start, end)).size, 1)
        return Array.from({ length: end - start }, (_, i) => start + i)
      })
      assert.deepEqual(places, [...owners.keys()].slice(range.start, range.end))
    },
  )
  fc.assert(property)
})

test('a slice of a manifest is a manifest, and its range the same bytes of the same parts', () => {
  const property = fc.property(lengths, bounds, (all, range) => {
    const manifest = manifestOf(all)
    const end = Math.min(range.end, manifest.bytes)
    const start = Math.min(range.start, end)
    const slice = sliceOf(manifest, { start, end })
    assert.equal(decodeManifest(encodeManifest(slice.manifest)).bytes, slice.manifest.bytes)
    assert.deepEqual(
      ownersOf(slice.manifest).slice(slice.start, slice.end),
      ownersOf(manifest).slice(start, end),
    )
    const needed = new Set(ownersOf(manifest).slice(start, end))
    assert.equal(slice.manifest.parts.length, needed.size)
  })
  fc.assert(property)
})
