/**
 * Histories and logs in a few words, for the tests of the checkers.
 *
 *   a put k v1 @1          session a puts and is answered at index 1; `@1` may be left out
 *   a put k v1 @1 leader   with another ack: leader, applied, all, members=2
 *   a get k v1 @1 on=m     at the member m
 *   a get k v1 @1          a strong read; `-` is nothing; `session` or `eventual` may follow, and `max=50`
 *   a getMany k,j v1,- @1   a scan k..z k=v1,l=v2 @1   a batch k=v1,j=- @1   a del k @1
 *   a> put k v1   a< @1     the beginning and the end of a call by themselves; of a read, `a< v1 @1`
 *   a! put k v1   a? ...    a call that fails; whose outcome nobody knows
 *   a export T   b import T   +100 (milliseconds pass)
 */

import type { AppliedRequest, CommittedLog } from '../../../src/sim/checkers/committed-log.js'
import {
  type Change,
  type Found,
  type History,
  type Operation,
  pairCalls,
  type ReadLevel,
  type Result,
  type Value,
  type WriteAck,
} from '../../../src/sim/history.js'
import { type RecordedCall, Recorder } from '../../../src/sim/recorder.js'

interface Begun {
  readonly operation: Operation
  readonly call: RecordedCall
}

/** The history that `text` tells, a step a line. */
export function history(text: string): History {
  let now = 0
  const recorder = new Recorder(() => now)
  const open = new Map<string, Begun>()
  for (const step of text.split('\n').map((line) => line.trim())) {
    if (step === '') continue
    const [head, ...words] = step.split(/\s+/) as [string, ...string[]]
    const session = head.replace(/[<>!?]$/, '')
    if (head.startsWith('+')) now += Number(head)
    else if (words[0] === 'export' || words[0] === 'import') {
      recorder.token(words[0], session, words[1]!)
    } else if (head.endsWith('<')) {
      const { operation, call } = open.get(session)!
      call.ok(resultOf(operation, words))
    } else {
      const operation = operationOf(words)
      const node = nodeOf(words)
      const call = recorder.invoke(operation, { session, ...(node !== undefined && { node }) })
      if (head.endsWith('>')) open.set(session, { operation, call })
      else if (head.endsWith('!')) call.fail('refused')
      else if (head.endsWith('?')) call.info('timed out')
      else call.ok(resultOf(operation, words.slice(2)))
    }
  }
  return pairCalls(recorder.finish())
}

/** The log that `text` tells: `1 c/1: k=v1; k=v2` is a request of two commands, `3 -` that it ends at 3. */
export function log(text: string): CommittedLog {
  const requests: AppliedRequest[] = []
  let lastIndex = 0
  for (const line of text.split('\n').map((one) => one.trim())) {
    if (line === '') continue
    const [, index, client, seq, commands] = /^(\d+) (?:-|(\w+)\/(\d+): (.*))$/.exec(line)!
    lastIndex = Number(index)
    if (client === undefined) continue
    const changes = commands!.split('; ').map(changesOf)
    requests.push({ index: lastIndex, client, seq: Number(seq), commands: changes })
  }
  return { requests, lastIndex }
}

function operationOf(words: readonly string[]): Operation {
  const [f, what, value] = words as [string, string, string]
  const level: ReadLevel =
    (['session', 'eventual'] as const).find((one) => words.includes(one)) ?? 'strong'
  const max = words.find((word) => word.startsWith('max='))
  const terms = max === undefined ? { level } : { level, maxStalenessMs: Number(max.slice(4)) }
  const ack = ackOf(words)
  switch (f) {
    case 'get':
      return { f, key: what, ...terms }
    case 'getMany':
      return { f, keys: what.split(','), ...terms }
    case 'scan': {
      const [gte, lt] = what.split('..') as [string, string]
      return { f, gte, lt, ...terms }
    }
    case 'put':
      return { f, key: what, value, ack }
    case 'del':
      return { f, key: what, ack }
    case 'batch':
      return { f, changes: changesOf(what), ack }
    default:
      throw new Error(`unknown step ${words.join(' ')}`)
  }
}

function ackOf(words: readonly string[]): WriteAck {
  const members = words.find((word) => word.startsWith('members='))
  if (members !== undefined) return { members: Number(members.slice('members='.length)) }
  return (['leader', 'applied', 'all'] as const).find((one) => words.includes(one)) ?? 'quorum'
}

function nodeOf(words: readonly string[]): string | undefined {
  return words.find((word) => word.startsWith('on='))?.slice('on='.length)
}

function resultOf(operation: Operation, words: readonly string[]): Result {
  const at = words.find((word) => word.startsWith('@'))
  const node = nodeOf(words)
  const place = {
    ...(at !== undefined && { index: Number(at.slice(1)) }),
    ...(node !== undefined && { node }),
  }
  const shown = words.find((word) => !word.startsWith('@')) ?? '-'
  switch (operation.f) {
    case 'get':
      return { f: operation.f, value: found(shown), ...place }
    case 'getMany':
      return { f: operation.f, values: shown.split(',').map(found), ...place }
    case 'scan':
      return { f: operation.f, entries: entriesOf(shown), ...place }
    case 'put':
    case 'del':
    case 'batch':
      return { f: operation.f, ...place }
  }
}

function found(word: string): Found {
  return word === '-' ? null : word
}

function entriesOf(text: string): [string, Value][] {
  if (text === '-') return []
  return text.split(',').map((entry) => entry.split('=') as [string, string])
}

function changesOf(text: string): Change[] {
  return text.split(',').map((change): Change => {
    const [key, value] = change.split('=') as [string, string]
    return value === '-' ? { type: 'del', key } : { type: 'put', key, value }
  })
}
