/**
 * Valid bodies of what a proven learner may send.
 *
 * What would change the cluster or take its leader away is left out: a member that forges messages of the core is
 * beyond what a member can withstand (`fuzz -- raft` is about the core itself). So messages carry an old term, which
 * mutations leave alone.
 */
import type { Message } from '../../../src/raft/types.js'
import {
  encodeAppliedIndex,
  FRAME_APPLIED,
  FRAME_AWAIT_APPLIED,
} from '../../../src/wire/applied-call.js'
import { encodeCall } from '../../../src/wire/envelope.js'
import {
  encodeAnswers,
  encodeRetained,
  encodeSpace,
  FRAME_ANSWERS,
  FRAME_MESSAGE,
  FRAME_QUESTION,
  FRAME_REPLY,
  FRAME_RETAINED,
  FRAME_SPACE,
} from '../../../src/wire/forward.js'
import { FRAME_COMPARE, FRAME_STORED } from '../../../src/wire/integrity.js'
import { encodeMessage } from '../../../src/wire/message.js'
import { encodeReadCalls, FRAME_READS, type ReadCall } from '../../../src/wire/read-call.js'
import {
  encodeAsk,
  encodeIndex,
  encodeOffer,
  encodePiece,
  encodeProgress,
  FRAME_ASK,
  FRAME_IMAGE_WANTED,
  FRAME_OFFER,
  FRAME_PIECE,
  FRAME_PIN,
  FRAME_PROGRESS,
  FRAME_UNPIN,
} from '../../../src/wire/snapshot-transfer.js'
import type { Draws } from '../draws.js'
import { requestSpecimen, type Specimen, specimen } from './specimen.js'

/** Nobody's term any more when the fuzz begins. */
const OLD_TERM = 1

/** What the member `from` says to the member `to`. */
export function memberSpecimen(draws: Draws, from: number, to: number): Specimen {
  const number = draws.below(100)
  switch (draws.below(15)) {
    case 0:
      return specimen(FRAME_ANSWERS, [encodeAnswers([answerOf(draws)])])
    case 1:
      return specimen(FRAME_RETAINED, [encodeRetained(0)])
    case 2:
      return specimen(FRAME_SPACE, [encodeSpace({ isLow: false, refuses: false })])
    case 3:
      return specimen(FRAME_QUESTION, [
        encodeCall({ id: number, method: 'members', params: { type: 'list', timeoutMs: 50 } }),
      ])
    case 4:
      return specimen(FRAME_REPLY, [encodeCall({ id: number, method: 'x', params: null })])
    case 5:
      return specimen(FRAME_COMPARE + draws.below(FRAME_STORED - FRAME_COMPARE + 1), [
        draws.bytes(8 + 8 * draws.below(3)),
      ])
    case 6:
      return specimen(draws.oneOf([FRAME_PIN, FRAME_UNPIN, FRAME_IMAGE_WANTED]), [
        encodeIndex(number),
      ])
    case 7:
      return imageSpecimen(draws, from)
    case 8:
      return requestSpecimen(draws)
    case 9:
      return specimen(FRAME_READS, [encodeReadCalls([readOf(draws)])])
    case 10:
      return specimen(draws.oneOf([FRAME_AWAIT_APPLIED, FRAME_APPLIED]), [
        encodeAppliedIndex(number),
      ])
    default: {
      const parts = encodeMessage(messageOf(draws, from, to))
      return { ...specimen(FRAME_MESSAGE, parts), fixed: [0, 26] }
    }
  }
}

function answerOf(draws: Draws): Parameters<typeof encodeAnswers>[0][number] {
  const [link, seq] = [2 ** 31 + draws.below(1000), draws.below(100)]
  return { link, status: 'refused', seq, index: 0, term: 0, results: new Uint8Array() }
}

function readOf(draws: Draws): ReadCall {
  return {
    id: draws.below(1000),
    level: 'strong',
    onBehind: 'wait',
    minIndex: 0,
    minTerm: 0,
    maxStalenessMs: Number.POSITIVE_INFINITY,
    remainingMs: draws.below(50),
    keys: [Buffer.from('fuzz1')],
  }
}

function imageSpecimen(draws: Draws, holder: number): Specimen {
  const index = draws.below(100)
  switch (draws.below(4)) {
    case 0:
      return specimen(FRAME_OFFER, [
        encodeOffer({
          index,
          term: OLD_TERM,
          leaderTerm: OLD_TERM,
          session: draws.below(9),
          root: '0123456789abcdef',
          manifestBytes: draws.below(2 ** 26),
          holders: [holder],
        }),
      ])
    case 1:
      return specimen(FRAME_ASK, [
        encodeAsk({ id: index, index, offset: 0, maxBytes: 65_536, firstKey: draws.bytes(4) }),
      ])
    case 2:
      return specimen(
        FRAME_PIECE,
        encodePiece({ id: index, status: 'ok', wholeBytes: 64, bytes: draws.bytes(64) }),
      )
    default:
      return specimen(FRAME_PROGRESS, [
        encodeProgress({ index, status: 'fetching', bytes: 1, totalBytes: 2 }),
      ])
  }
}

function messageOf(draws: Draws, from: number, to: number): Message {
  const envelope = { from, to, term: OLD_TERM }
  const [index, context] = [draws.below(50), draws.below(50)]
  switch (draws.below(6)) {
    case 0:
      return { ...envelope, type: 'heartbeat', commit: index, context }
    case 1:
      return { ...envelope, type: 'heartbeatResponse', context }
    case 2: {
      const hint = { hintIndex: 0, hintTerm: 0 }
      return {
        ...envelope,
        ...hint,
        type: 'appendResponse',
        index,
        reject: false,
        session: context,
      }
    }
    case 3:
      return { ...envelope, type: 'voteResponse', reject: true }
    case 4:
      return { ...envelope, type: 'vote', lastIndex: index, lastTerm: OLD_TERM, transfer: false }
    default: {
      const data = draws.bytes(16)
      const entries = [{ term: OLD_TERM, index: index + 1, kind: 'normal', data }] as const
      const before = { prevIndex: index, prevTerm: OLD_TERM }
      return { ...envelope, ...before, type: 'append', entries, commit: 0, session: context }
    }
  }
}
