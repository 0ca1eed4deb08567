/** Frames that are valid, to make wrong ones of. */
import { encodeRequest, FRAME_REQUEST } from '../../../src/wire/forward.js'
import { RequestWriter } from '../../../src/wire/request.js'
import type { Draws } from '../draws.js'

/** One frame without its header. */
export interface Specimen {
  readonly kind: number
  readonly body: Buffer
  /** Bytes that a mutation leaves alone. */
  readonly fixed: readonly [from: number, to: number]
}

const MUTATIONS_MAX = 4
const NOTHING_FIXED = [0, 0] as const
/** Few, and not to be changed: each new one takes the place of somebody else's session. */
const CLIENT_IDS = 8
const REQUEST_ID_AT = 8

/** A frame all of whose bytes may change. */
export function specimen(kind: number, parts: readonly Uint8Array[]): Specimen {
  return { kind, body: Buffer.concat(parts), fixed: NOTHING_FIXED }
}

/** A request to write, as clients and members send it. */
export function requestSpecimen(draws: Draws): Specimen {
  const writer = new RequestWriter(256)
  writer.put(Buffer.from(`fuzz${draws.below(100)}`), draws.bytes(draws.below(32)))
  const clientId = Buffer.from(`fuzzer-${draws.below(CLIENT_IDS)}`)
  const request = writer.finish(clientId, 1 + draws.below(1000), 1, 0)
  const fixed = [REQUEST_ID_AT, REQUEST_ID_AT + 8] as const
  return { ...specimen(FRAME_REQUEST, encodeRequest(draws.below(4), request)), fixed }
}

/** `specimen` with some bytes changed, cut off or added. */
export function mutated({ kind, body, fixed }: Specimen, draws: Draws): Specimen {
  const changed = Buffer.from(body)
  for (let i = draws.below(MUTATIONS_MAX); i >= 0 && changed.length > 0; i--) {
    const at = draws.below(changed.length)
    if (at < fixed[0] || at >= fixed[1]) changed[at] = draws.below(256)
  }
  switch (draws.below(4)) {
    case 0:
      return { kind, body: changed.subarray(0, draws.below(changed.length + 1)), fixed }
    case 1:
      return { kind, body: Buffer.concat([changed, draws.bytes(draws.below(64))]), fixed }
    default:
      return { kind, body: changed, fixed }
  }
}
