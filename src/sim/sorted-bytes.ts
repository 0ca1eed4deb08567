/**
 * An immutable sorted map from bytes to bytes: a treap that copies the path to what changes.
 *
 * Every version lives on as long as it is held, so a snapshot, the state of a flush or the state before a crash is
 * just a reference. The priority of a node is a hash of its key: the shape depends on the contents alone, and the
 * depth is logarithmic unless keys are chosen against it.
 */
import { crc32 } from 'node:zlib'
import { compareBytes } from '../base/bytes.js'

/** A version of the map; `undefined` is the empty one. */
export type SortedBytes = SortedNode | undefined

interface SortedNode {
  readonly key: Uint8Array
  readonly value: Uint8Array
  readonly priority: number
  readonly left: SortedBytes
  readonly right: SortedBytes
}

/** The value under `key`. */
export function find(map: SortedBytes, key: Uint8Array): Uint8Array | undefined {
  let node = map
  while (node !== undefined) {
    const order = compareBytes(key, node.key)
    if (order === 0) return node.value
    node = order < 0 ? node.left : node.right
  }
  return undefined
}

/** All entries, in the order of their keys. */
export function* entriesOf(map: SortedBytes): Generator<readonly [Uint8Array, Uint8Array]> {
  if (map === undefined) return
  yield* entriesOf(map.left)
  yield [map.key, map.value]
  yield* entriesOf(map.right)
}

/** The map with `value` under `key`; neither may change afterwards. */
export function inserted(map: SortedBytes, key: Uint8Array, value: Uint8Array): SortedNode {
  if (map === undefined) {
    // A second round of mixing: the CRCs of consecutive keys are themselves in order.
    const priority = Math.imul(crc32(key) ^ 0x5bd1e995, 0x9e3779b1) >>> 0
    return { key, value, priority, left: undefined, right: undefined }
  }
  const order = compareBytes(key, map.key)
  if (order === 0) return { ...map, value }
  if (order < 0) {
    const left = inserted(map.left, key, value)
    if (left.priority <= map.priority) return { ...map, left }
    return { ...left, right: { ...map, left: left.right } }
  }
  const right = inserted(map.right, key, value)
  if (right.priority <= map.priority) return { ...map, right }
  return { ...right, left: { ...map, right: right.left } }
}

/** The map without `key`. */
export function removed(map: SortedBytes, key: Uint8Array): SortedBytes {
  if (map === undefined) return undefined
  const order = compareBytes(key, map.key)
  if (order === 0) return joined(map.left, map.right)
  if (order < 0) {
    const left = removed(map.left, key)
    return left === map.left ? map : { ...map, left }
  }
  const right = removed(map.right, key)
  return right === map.right ? map : { ...map, right }
}

function joined(left: SortedBytes, right: SortedBytes): SortedBytes {
  if (left === undefined) return right
  if (right === undefined) return left
  return left.priority > right.priority
    ? { ...left, right: joined(left.right, right) }
    : { ...right, left: joined(left, right.left) }
}

/** The entry with the lowest key for which `isPast` holds; `isPast` must not turn false again as keys rise. */
export function lowest(
  map: SortedBytes,
  isPast: (key: Uint8Array) => boolean,
): readonly [key: Uint8Array, value: Uint8Array] | undefined {
  let best: SortedBytes
  let node = map
  while (node !== undefined) {
    if (isPast(node.key)) {
      best = node
      node = node.left
    } else node = node.right
  }
  return best === undefined ? undefined : [best.key, best.value]
}

/** The entry with the highest key for which `isBefore` holds; `isBefore` must not turn true again as keys rise. */
export function highest(
  map: SortedBytes,
  isBefore: (key: Uint8Array) => boolean,
): readonly [key: Uint8Array, value: Uint8Array] | undefined {
  let best: SortedBytes
  let node = map
  while (node !== undefined) {
    if (isBefore(node.key)) {
      best = node
      node = node.right
    } else node = node.left
  }
  return best === undefined ? undefined : [best.key, best.value]
}
