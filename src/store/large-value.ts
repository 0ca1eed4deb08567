/** Ranges of a large value: in which pieces they are fetched, and what of a manifest is about them. Pure. */
import { StoreError } from '../base/errors.js'
import { DecodeError } from '../wire/command.js'
import { decodeManifest, type Manifest, spansOf } from '../wire/manifest.js'

/** Bytes of a value, from `start` up to and without `end`. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/** What stands under a key in place of a large value. @throws {StoreError} QUORATE_FORMAT a newer version wrote it */
export function manifestOf(stored: Uint8Array): Manifest {
  try {
    return decodeManifest(stored)
  } catch (cause) {
    if (!(cause instanceof DecodeError)) throw cause
    throw new StoreError('QUORATE_FORMAT', `the manifest of a value: ${cause.message}`, { cause })
  }
}

/** `range` in pieces of at most `maxBytes`, in order; none reaches from one part into the next. */
export function* piecesOf(
  { parts }: Manifest,
  range: ByteRange,
  maxBytes: number,
): Generator<ByteRange, undefined> {
  for (const { from, to } of spansOf(parts, range)) {
    const last = Math.min(to, range.end)
    for (let start = Math.max(from, range.start); start < last; ) {
      const end = Math.min(start + maxBytes, last)
      yield { start, end }
      start = end
    }
  }
}

/** A manifest of those parts alone that `range` lies in, and where the range is in their bytes. */
export function sliceOf(manifest: Manifest, range: ByteRange): ByteRange & { manifest: Manifest } {
  const spans = [...spansOf(manifest.parts, range)]
  const from = spans[0]?.from ?? range.start
  const bytes = (spans.at(-1)?.to ?? from) - from
  const parts = spans.map(({ part }) => part)
  const { start, end } = range
  return { manifest: { ...manifest, bytes, parts }, start: start - from, end: end - from }
}
