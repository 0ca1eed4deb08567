/**
 * Decisions: transactions and conditional writes, whose effect depends on the state where they stand in the log.
 *
 *   wrong-branch    what was applied is what its condition says of the state before it
 *   repeated        a decision takes effect once, however often it was sent
 *   lost, wrong-index, wrong-answer  its caller was told which branch, and where
 *   failed          one that failed with certainty has no effect, nor has one that was refused
 *   refused         one was refused only if its condition did not hold somewhere between its call and its answer
 *   real-time       it stands after everything that was acknowledged before it was called
 *
 * The states are those of a replay of the changes in the log; it knows nothing of how commands are interpreted. Every
 * decision writes a value of its own, in either branch, by which it is found.
 */
import type { CommittedLog } from './committed-log.js'

/** What is asked of one key. */
export type Condition =
  | { readonly type: 'absent' }
  | { readonly type: 'revision'; readonly revision: number }
  | { readonly type: 'value'; readonly value: string }

/** Which of its parts was done. */
export type Branch = 'then' | 'else'

/** One decision, and what its caller was told. */
export interface Decision {
  /** No other write has it. */
  readonly value: string
  readonly key: string
  readonly condition: Condition
  /** Where its value is put when the condition does not hold; undefined: then nothing happens. */
  readonly elseKey: string | undefined
  /** The highest index that was acknowledged to anybody before the call. */
  readonly floor: number
  outcome:
    | { readonly type: 'done'; readonly branch: Branch; readonly index: number }
    /** `ceiling`: the end of the committed log when the answer came. */
    | { readonly type: 'refused'; readonly ceiling: number }
    | { readonly type: 'failed' | 'unknown' }
}

/** A rule that was broken. */
export interface DecisionFault {
  readonly rule:
    | 'wrong-branch'
    | 'repeated'
    | 'lost'
    | 'wrong-index'
    | 'wrong-answer'
    | 'failed'
    | 'refused'
    | 'real-time'
  readonly counterexample: string
}

interface Version {
  readonly index: number
  /** Undefined: there is no such key. */
  readonly value: string | undefined
}

interface Applied {
  readonly branch: Branch
  readonly index: number
}

/** Whether every decision was right. O(changes + decisions log changes). */
export function checkDecisions(
  decisions: readonly Decision[],
  log: CommittedLog,
): DecisionFault | undefined {
  const replay = new DecisionReplay(decisions)
  for (const { index, commands } of log.requests) {
    for (const changes of commands) {
      const fault = replay.take(index, changes)
      if (fault !== undefined) return fault
    }
  }
  for (const decision of decisions) {
    const fault = replay.judge(decision)
    if (fault !== undefined) return fault
  }
  return undefined
}

type Changes = CommittedLog['requests'][number]['commands'][number]

class DecisionReplay {
  readonly #byValue: ReadonlyMap<unknown, Decision>
  readonly #versions = new Map<string, Version[]>()
  readonly #applied = new Map<Decision, Applied>()

  constructor(decisions: readonly Decision[]) {
    this.#byValue = new Map(decisions.map((decision) => [decision.value, decision]))
  }

  /** One command of the log. */
  take(index: number, changes: Changes): DecisionFault | undefined {
    const fault = this.#decide(index, changes)
    for (const change of changes) {
      const value = change.type === 'put' ? String(change.value) : undefined
      const versions = this.#versions.get(change.key)
      if (versions === undefined) this.#versions.set(change.key, [{ index, value }])
      else versions.push({ index, value })
    }
    return fault
  }

  #decide(index: number, changes: Changes): DecisionFault | undefined {
    const mark = changes.find((change) => change.type === 'put' && this.#byValue.has(change.value))
    const decision = mark?.type === 'put' ? this.#byValue.get(mark.value) : undefined
    if (mark === undefined || decision === undefined) return undefined
    const branch = mark.key === decision.elseKey ? 'else' : 'then'
    const before = this.#applied.get(decision)
    if (before !== undefined) {
      return told('repeated', decision, `it is applied at ${before.index} and at ${index}`)
    }
    this.#applied.set(decision, { branch, index })
    const version = this.#versions.get(decision.key)?.at(-1)
    if (holds(decision.condition, version) === (branch === 'then')) return undefined
    return told('wrong-branch', decision, `'${branch}' was done at ${index}, on ${said(version)}`)
  }

  judge(decision: Decision): DecisionFault | undefined {
    const { outcome, floor } = decision
    const applied = this.#applied.get(decision)
    if (applied !== undefined && applied.index <= floor) {
      return told('real-time', decision, `it stands at ${applied.index}`)
    }
    switch (outcome.type) {
      case 'unknown':
        return undefined
      case 'failed':
        return applied && told('failed', decision, `it failed, and is applied at ${applied.index}`)
      case 'refused':
        if (applied !== undefined) {
          return told('failed', decision, `it was refused, and is applied at ${applied.index}`)
        }
        return this.#mayBeRefused(decision, outcome.ceiling)
          ? undefined
          : told('refused', decision, `it was refused, and held up to ${outcome.ceiling}`)
      case 'done':
        return doneFault(decision, outcome, applied)
    }
  }

  /** Whether its condition did not hold at some index between its call and its answer. */
  #mayBeRefused({ key, condition, floor }: Decision, ceiling: number): boolean {
    const versions = this.#versions.get(key) ?? []
    const first = versions.filter(({ index }) => index <= floor).at(-1)
    const later = versions.filter(({ index }) => index > floor && index <= ceiling)
    return [first, ...later].some((version) => !holds(condition, version))
  }
}

function doneFault(
  decision: Decision,
  { branch, index }: { readonly branch: Branch; readonly index: number },
  applied: Applied | undefined,
): DecisionFault | undefined {
  // What is done without a mark leaves nothing to find it by.
  if (branch === 'else' && decision.elseKey === undefined) return undefined
  if (applied === undefined) return told('lost', decision, `'${branch}' was acknowledged`)
  if (applied.branch !== branch) {
    return told('wrong-answer', decision, `'${applied.branch}' was done, '${branch}' was said`)
  }
  if (applied.index === index) return undefined
  return told(
    'wrong-index',
    decision,
    `it was done at ${applied.index}, and said to be at ${index}`,
  )
}

function holds(condition: Condition, version: Version | undefined): boolean {
  const value = version?.value
  switch (condition.type) {
    case 'absent':
      return value === undefined
    case 'revision':
      return (value === undefined ? 0 : version!.index) === condition.revision
    case 'value':
      return value === condition.value
  }
}

function said(version: Version | undefined): string {
  if (version?.value === undefined) return 'nothing'
  return `'${version.value}' of revision ${version.index}`
}

function told(rule: DecisionFault['rule'], decision: Decision, words: string): DecisionFault {
  const { key, value, condition, floor } = decision
  return {
    rule,
    counterexample: `'${value}' at ${key} if ${JSON.stringify(condition)}, called after ${floor}: ${words}`,
  }
}
