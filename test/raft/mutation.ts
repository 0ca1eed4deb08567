/** Lies made from true messages. */
import type { Message } from '../../src/raft/types.js'

/** Puts `value` into the `at`-th number of `message`, also inside lists; false when it has no number. */
export function mutate(message: object, at: number, value: number): boolean {
  const places: [object, string][] = []
  const visit = (node: object) => {
    for (const [key, field] of Object.entries(node)) {
      if (field instanceof Uint8Array) continue
      if (typeof field === 'number') places.push([node, key])
      else if (typeof field === 'object' && field !== null) visit(field)
    }
  }
  visit(message)
  const place = places[at % Math.max(1, places.length)]
  if (place === undefined) return false
  Reflect.set(place[0], place[1], value)
  return true
}

/** A deep copy that keeps bytes as bytes. */
export function copyOf(message: Message): Message {
  return structuredClone(message)
}
