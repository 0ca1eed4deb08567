/**
 * Clients of a simulated cluster whose writes depend on the state: transactions, conditional writes, clears of ranges.
 * They have keys of their own, and are judged by checkers/decisions.ts.
 */
import { StoreError } from '../../base/errors.js'
import type { Store } from '../../store/store.js'
import type { Condition as StoreCondition, Transaction } from '../../store/transaction.js'
import type { CommittedLog } from '../checkers/committed-log.js'
import {
  type Branch,
  type Condition,
  checkDecisions,
  type Decision,
} from '../checkers/decisions.js'
import type { ClientEvent, Step } from '../schedule/schedule.js'
import type { Calls, Process } from './calls.js'
import type { Cluster } from './cluster.js'
import type { Seat } from './seat.js'
import { storedText } from './values.js'

type Decide = Step & ClientEvent & { readonly type: 'decide' }
type Clear = Step & ClientEvent & { readonly type: 'clear' }

const KEYS = 4
const PREFIX = 'd'
/** Where transactions leave their value, by branch. */
const MARKS: Readonly<Record<Branch, string>> = { then: `${PREFIX}+`, else: `${PREFIX}-` }
/** What ends the part of a stored value that tells it apart. */
const END = ':'

/** All of a run. */
export class Deciders {
  readonly #at: Cluster
  readonly #calls: Calls
  readonly #decisions: Decision[] = []
  #acknowledged = 0

  constructor(at: Cluster, calls: Calls) {
    this.#at = at
    this.#calls = calls
  }

  decide(event: Decide, seat: Seat): void {
    const { store } = seat
    if (store === undefined) return
    for (let i = 0; i < event.count; i++) {
      const value = `${event.id.toString(36)}.d${i}`
      this.#decide(event, { seat, store }, value).catch((error) => this.#calls.ended(error))
    }
  }

  clear(event: Clear, seat: Seat): void {
    const { store } = seat
    if (store === undefined) return
    const { timeoutMs, key, limit } = event
    const options = { timeoutMs, gte: keyOf(key), lt: MARKS.then, reverse: limit === 1 }
    const call = () => store.clear(limit === 0 ? options : { ...options, limit })
    this.#calls.make({ seat, store }, 'clear', timeoutMs, call).then(
      ({ index }) => {
        this.#at.tally.clears++
        this.#raise(index)
      },
      (error) => this.#calls.ended(error),
    )
  }

  judge(log: CommittedLog): void {
    const { findings } = this.#at
    const fault = checkDecisions(this.#decisions, log)
    findings.count(this.#decisions.length)
    if (fault !== undefined) {
      findings.report('C8 decisions are right', `${fault.rule}: ${fault.counterexample}`)
    }
  }

  async #decide(event: Decide, at: Process, value: string): Promise<void> {
    const { store } = at
    const key = keyOf(event.key)
    const condition = await this.#conditionOf(event, at, key)
    const isTxn = event.shape !== 'put'
    const mark = storedText(value, this.#at.knobs)
    const decision: Decision = {
      value,
      key,
      condition,
      elseKey: isTxn ? MARKS.else : undefined,
      floor: this.#acknowledged,
      outcome: { type: 'unknown' },
    }
    this.#decisions.push(decision)
    const { timeoutMs } = event
    const call = isTxn
      ? () => store.txn(transactionOf(event.shape, key, condition, value, mark), { timeoutMs })
      : () => putIf(store, key, condition, value, timeoutMs)
    try {
      const done = await this.#calls.make(at, `decide ${value}`, timeoutMs, call)
      const branch = done.succeeded ? 'then' : 'else'
      this.#at.tally.decisions[branch]++
      this.#raise(done.index)
      decision.outcome = { type: 'done', branch, index: done.index }
    } catch (error) {
      decision.outcome = this.#failure(error)
    }
  }

  #failure(error: unknown): Decision['outcome'] {
    if (!(error instanceof StoreError)) {
      this.#calls.ended(error)
      return { type: 'unknown' }
    }
    if (error.code === 'QUORATE_CONFLICT') {
      this.#at.tally.decisions.refused++
      return { type: 'refused', ceiling: this.#at.watch.committed.index }
    }
    return { type: error.outcome === 'none' ? 'failed' : 'unknown' }
  }

  /** What is expected of the key: what a read finds there, which may be old. */
  async #conditionOf(event: Decide, at: Process, key: string): Promise<Condition> {
    if (event.on === 'absent') return { type: 'absent' }
    const { timeoutMs, level } = event
    const { value, revision } = await this.#calls.make(at, `look at ${key}`, timeoutMs, () =>
      at.store.getWithMeta<string>(key, { consistency: level, timeoutMs }),
    )
    if (event.on === 'revision' || event.shape === 'put' || value === undefined) {
      return { type: 'revision', revision }
    }
    return { type: 'value', value: value.slice(0, value.indexOf(END)) }
  }

  #raise(index: number): void {
    this.#acknowledged = Math.max(this.#acknowledged, index)
  }
}

function keyOf(key: number): string {
  return `${PREFIX}${key % KEYS}`
}

async function putIf(
  store: Store,
  key: string,
  condition: Condition,
  value: string,
  timeoutMs: number,
): Promise<{ readonly succeeded: boolean; readonly index: number }> {
  const only =
    condition.type === 'revision' ? { ifRevision: condition.revision } : { ifAbsent: true as const }
  const { index } = await store.put(key, value + END, { timeoutMs, ...only })
  return { succeeded: true, index }
}

/** @param mark what is left at the mark, which may be large; values that are compared are not */
function transactionOf(
  shape: Decide['shape'],
  key: string,
  condition: Condition,
  value: string,
  mark: string,
): Transaction {
  const stored = value + END
  const change =
    shape === 'del'
      ? ({ type: 'del', key } as const)
      : ({ type: 'put', key, value: stored } as const)
  return {
    if: [storeCondition(key, condition)],
    // The mark goes first: by the state before it is judged.
    then: [{ type: 'put', key: MARKS.then, value: mark }, change],
    else: [{ type: 'put', key: MARKS.else, value: mark }],
  }
}

function storeCondition(key: string, condition: Condition): StoreCondition {
  switch (condition.type) {
    case 'absent':
      return { key, exists: false }
    case 'revision':
      return { key, revision: condition.revision }
    case 'value':
      return { key, value: condition.value + END }
  }
}
