/**
 * Hostile messages by the million (T-70): mutated copies of real ones and ones made up from nothing, into nodes
 * that go on working meanwhile. A core may refuse them; it may not throw, and no node's invariants may break.
 */
import { keyedU32 } from '../../src/base/prng.js'
import type { Message } from '../../src/raft/types.js'
import { cluster } from '../raft/harness.js'
import { copyOf, mutate } from '../raft/mutation.js'
import { Draws } from './draws.js'

/** What a run came to. */
export interface FuzzResult {
  readonly messages: number
  readonly rounds: number
  /** Terms reached: a fuzz that never gets past an election has tested little. */
  readonly highestTerm: number
}

const MESSAGES_PER_ROUND = 2000
const SMALL_NUMBERS = 13
/** Rare: a term of 2^52 once taken for true leaves little to happen in the rest of a round. */
const ODD_NUMBERS = [-1, 0.5, Number.NaN, 2 ** 52, 2 ** 53, Number.POSITIVE_INFINITY]
const ODD_ONE_IN = 300
const TYPES = [
  ...['vote', 'preVote', 'voteResponse', 'preVoteResponse', 'append', 'appendResponse'],
  ...['heartbeat', 'heartbeatResponse', 'snapshot', 'timeoutNow', 'transferLeader'],
  ...['forgetLeader', 'propose', 'readIndex', 'readIndexResponse', 'unheardOf'],
]
const NUMBER_FIELDS = [
  ...['from', 'to', 'term', 'lastIndex', 'lastTerm', 'prevIndex', 'prevTerm', 'commit'],
  ...['session', 'index', 'hintIndex', 'hintTerm', 'context'],
]

function oddNumber(draws: Draws): number {
  if (draws.below(ODD_ONE_IN) > 0) return draws.below(SMALL_NUMBERS)
  return draws.oneOf(ODD_NUMBERS)
}

/** Steps at least `messages` hostile messages; throws what a core throws, with the round's seed in the message. */
export function fuzzRaft(messages: number, seed: number): FuzzResult {
  let stepped = 0
  let rounds = 0
  let highestTerm = 0
  while (stepped < messages) {
    const roundSeed = keyedU32(seed, rounds++)
    try {
      highestTerm = Math.max(highestTerm, playRound(new Draws(roundSeed)))
    } catch (error) {
      throw new Error(`round ${rounds} of seed ${seed} broke an invariant`, { cause: error })
    }
    stepped += MESSAGES_PER_ROUND
  }
  return { messages: stepped, rounds, highestTerm }
}

function playRound(draws: Draws): number {
  const isStrict = draws.below(2) === 0
  const t = cluster(3, { preVote: isStrict, checkQuorum: isStrict, entryCacheBytes: 200 })
  // Nothing is checked across nodes: a lie may make them disagree. Each must keep its own invariants.
  t.check = () => {
    for (const { core } of t.up) core.checkInvariants()
  }
  t.checkRead = () => undefined
  t.oracle.applied = () => undefined
  t.elect(1)
  for (let sent = 0; sent < MESSAGES_PER_ROUND; sent++) {
    if (sent % 4 === 0) goOn(t, draws)
    const lie = draws.below(3) === 0 ? madeUp(draws) : mutated(t.messages, draws)
    if (lie === undefined) continue
    const node = t.up[draws.below(t.up.length)]!
    node.core.step({ type: 'receive', message: lie })
    node.core.checkInvariants()
  }
  return Math.max(...t.up.map(({ core }) => core.term))
}

/** The honest life of the cluster between two lies. */
function goOn(t: ReturnType<typeof cluster>, draws: Draws): void {
  if (draws.below(4) === 0) t.propose(t.leaders[0] ?? 1, 'x')
  if (draws.below(4) === 0) t.read(1 + draws.below(3))
  for (const { id } of t.up) {
    if (draws.below(2) === 0) t.tick(id)
    t.pump(id)
    t.flush(id)
  }
  for (let i = 0; i < 8; i++) t.deliverNext()
  // What lies set going must not pile up: the network loses the oldest.
  if (t.messages.length > 500) t.messages.splice(0, t.messages.length - 100)
}

function mutated(messages: readonly Message[], draws: Draws): Message | undefined {
  const original = messages[draws.below(Math.max(1, messages.length))]
  if (original === undefined) return undefined
  const lie = copyOf(original)
  for (let i = draws.below(3); i >= 0; i--) mutate(lie, draws.below(40), oddNumber(draws))
  return lie
}

function madeUp(draws: Draws): Message {
  const message: Record<string, unknown> = { type: TYPES[draws.below(TYPES.length)] }
  for (const field of NUMBER_FIELDS) message[field] = oddNumber(draws)
  if (draws.below(2) === 0) {
    message.from = 1 + draws.below(3)
    message.to = 1 + draws.below(3)
  }
  message.reject = draws.below(2) === 0
  message.transfer = draws.below(2) === 0
  message.entries = Array.from({ length: draws.below(3) }, () => ({
    term: oddNumber(draws),
    index: oddNumber(draws),
    kind: ['normal', 'confChange', 'confChangeV2', 'other'][draws.below(4)],
    data: new Uint8Array(draws.below(4)),
  }))
  const ids = () => Array.from({ length: draws.below(3) }, () => oddNumber(draws))
  const conf = { voters: ids(), votersOutgoing: ids(), learners: ids(), learnersNext: ids() }
  const autoLeave = draws.below(2) === 0
  message.snapshot = {
    term: oddNumber(draws),
    index: oddNumber(draws),
    conf: { ...conf, autoLeave },
  }
  return message as unknown as Message
}
