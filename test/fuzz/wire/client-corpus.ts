/** Valid bodies of what a proven client may send: calls, requests, reads, and asks about views, cursors and watches. */
import { ByteWriter } from '../../../src/wire/byte-stream.js'
import { type Ask, FRAME_ASKS, writeAsk } from '../../../src/wire/client-ask.js'
import { encodeCall } from '../../../src/wire/envelope.js'
import { FRAME_CALL } from '../../../src/wire/handshake.js'
import { encodeReadCalls, FRAME_READS, type ReadCall } from '../../../src/wire/read-call.js'
import type { Draws } from '../draws.js'
import { requestSpecimen, type Specimen, specimen } from './specimen.js'

const LEVELS = ['strong', 'session', 'eventual'] as const
const ON_BEHIND = ['wait', 'forward', 'fail'] as const
const READS_MAX = 8
const WAIT_MS_MAX = 50
const IDS = 2 ** 31

/** What a client says; mostly what costs a member little, since it is to see many of them. */
export function clientSpecimen(draws: Draws): Specimen {
  const drawn = draws.below(16)
  if (drawn < 9) return specimen(FRAME_CALL, [encodeCall(callOf(draws))])
  if (drawn < 11) return requestSpecimen(draws)
  return drawn < 13 ? specimen(FRAME_READS, [encodeReadCalls(readsOf(draws))]) : asksSpecimen(draws)
}

function callOf(draws: Draws): Parameters<typeof encodeCall>[0] {
  const id = draws.below(1000)
  switch (draws.below(9)) {
    case 0:
      return { id, method: 'status', params: undefined }
    case 1:
      return { id, method: 'members', params: { type: 'list', timeoutMs: 1 + draws.below(50) } }
    case 2:
      return { id, method: 'join', params: { id: 'x', incarnation: 'zz' } }
    case 3:
      return { id, method: 'backup', params: { type: 'no such thing' } }
    default:
      return { id, method: 'nothing of the kind', params: [{ a: [draws.below(9), 'b', null] }] }
  }
}

function readsOf(draws: Draws): ReadCall[] {
  return Array.from({ length: 1 + draws.below(READS_MAX) }, () => ({
    id: draws.below(IDS),
    ...demandOf(draws),
    keys: [Buffer.from(`fuzz${draws.below(100)}`)],
  }))
}

function demandOf(draws: Draws): Omit<ReadCall, 'id' | 'keys'> {
  return {
    level: draws.oneOf(LEVELS),
    onBehind: draws.oneOf(ON_BEHIND),
    minIndex: draws.below(4) === 0 ? draws.below(IDS) : 0,
    minTerm: 0,
    maxStalenessMs: draws.below(4) === 0 ? 1 + draws.below(WAIT_MS_MAX) : Number.POSITIVE_INFINITY,
    remainingMs: draws.below(WAIT_MS_MAX),
  }
}

/** A view with its cursor, and a watch: opened, used, and some of it ended. */
function asksSpecimen(draws: Draws): Specimen {
  const writer = new ByteWriter()
  const id = draws.below(IDS)
  const [view, cursor, watch] = [id, id + 1, id + 2]
  const range = { gte: Buffer.from('fuzz'), lt: Buffer.from('fuzz5') }
  const asks: readonly (readonly [id: number, ask: Ask])[] = [
    [view, { type: 'view', cut: draws.oneOf(['newest', 'exact']), demand: demandOf(draws) }],
    [id + 3, { type: 'values', view, keys: [Buffer.from('fuzz1'), Buffer.from('fuzz2')] }],
    [cursor, { type: 'cursor', view, range, reverse: draws.below(2) === 0 }],
    [id + 4, { type: 'entries', cursor, maxEntries: draws.below(IDS), maxBytes: draws.below(IDS) }],
    [watch, { type: 'watch', after: draws.below(1000), afterTerm: 0, range }],
    [id + 5, { type: 'changes', watch, maxBytes: draws.below(IDS) }],
    [id + 6, { type: 'applied', index: draws.below(IDS), where: 'all', remainingMs: WAIT_MS_MAX }],
    [id + 7, { type: 'end', id: draws.oneOf([view, cursor, watch]) }],
    [id + 8, { type: 'probe' }],
  ]
  for (const [askId, ask] of asks) if (draws.below(3) > 0) writeAsk(writer, askId, ask)
  return specimen(FRAME_ASKS, [writer.take()])
}
