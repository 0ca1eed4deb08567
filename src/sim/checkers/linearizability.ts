/**
 * Linearizability from the outside: only calls, returns, and results count, no log positions.
 *
 * Partitions are searched in turns (P-compositionality), a slice each, so that one hard key neither hides a
 * violation of another nor hangs the rest. The check has a budget of steps and memory; what it cannot decide
 * within it is `unknown`, and that never passes.
 */
import type { Model, ModelState, Partition } from './model.js'
import { type PartialLinearization, Search } from './search.js'
import type { Ok, Unknown } from './verdict.js'

/** What a check may use, over all partitions. */
export interface SearchBudget {
  readonly stepsMax: number
  /** Of what the searches remember; the stacks add a little to it. */
  readonly memoryBytesMax: number
}

/** Some seconds of one core, and memory that fits a default heap. */
export const DEFAULT_SEARCH_BUDGET: SearchBudget = {
  stepsMax: 50_000_000,
  memoryBytesMax: 512 * 1_048_576,
}

/** What was looked at. */
export interface LinearizabilityObserved {
  readonly partitions: number
  readonly operations: number
  /** Operations of unknown outcome. */
  readonly unknownOutcomes: number
  readonly steps: number
}

/** A partition that no order explains. */
export interface LinearizabilityViolation<Operation> {
  readonly verdict: 'violation'
  readonly rule: 'linearizability'
  readonly key: string
  readonly counterexample: string
  readonly partial: PartialLinearization<Operation>
  readonly observed: LinearizabilityObserved
}

/** A linearizability check's answer. */
export type LinearizabilityVerdict<Operation> =
  | Ok<LinearizabilityObserved>
  | LinearizabilityViolation<Operation>
  | Unknown<LinearizabilityObserved>

const SLICE_STEPS = 2000

interface Running<Operation, State extends ModelState> {
  readonly partition: Partition<Operation>
  readonly search: Search<Operation, State>
}

/** Whether each of `partitions` has a linearization under `model`. Exponential at worst, within `budget`. */
export function checkLinearizability<Operation, State extends ModelState>(
  model: Model<Operation, State>,
  partitions: readonly Partition<Operation>[],
  budget: SearchBudget,
): LinearizabilityVerdict<Operation> {
  let running = partitions.map(
    (partition): Running<Operation, State> => ({
      partition,
      search: new Search(model, partition.operations),
    }),
  )
  const abandoned: string[] = []
  let steps = 0
  while (running.length > 0 && steps <= budget.stepsMax) {
    const undecided: Running<Operation, State>[] = []
    for (const one of running) {
      const before = one.search.steps
      const result = one.search.run(SLICE_STEPS)
      steps += one.search.steps - before
      if (result === 'violation') return violation(model, one, observe(partitions, steps))
      if (result === 'running') undecided.push(one)
    }
    running = undecided
    abandoned.push(...leaveOut(running, budget.memoryBytesMax))
  }
  abandoned.push(...running.map(({ partition }) => partition.key))
  const observed = observe(partitions, steps)
  if (abandoned.length === 0) return { verdict: 'ok', observed }
  const keys = abandoned.map((key) => JSON.stringify(key)).join(', ')
  return { verdict: 'unknown', reason: `not decided within the budget: key ${keys}`, observed }
}

/** Takes out of `running` the searches that hold most memory, until the rest fits; returns their keys. */
function leaveOut<Operation, State extends ModelState>(
  running: Running<Operation, State>[],
  memoryBytesMax: number,
): string[] {
  let bytes = running.reduce((sum, { search }) => sum + search.memoBytes, 0)
  const keys: string[] = []
  if (bytes <= memoryBytesMax) return keys
  running.sort((a, b) => a.search.memoBytes - b.search.memoBytes)
  while (bytes > memoryBytesMax) {
    const { partition, search } = running.pop()!
    bytes -= search.memoBytes
    keys.push(partition.key)
  }
  return keys
}

function violation<Operation, State extends ModelState>(
  model: Model<Operation, State>,
  { partition, search }: Running<Operation, State>,
  observed: LinearizabilityObserved,
): LinearizabilityViolation<Operation> {
  const partial = search.best()
  const { misfit, linearized, state } = partial
  const counterexample =
    `key ${JSON.stringify(partition.key)}: ${model.describe(misfit.operation)} ` +
    `(called at ${misfit.called}, returned at ${misfit.returned}) fits no order; the longest one ` +
    `places ${linearized.length} of ${partition.operations.length} operations before it and ` +
    `leaves ${state}`
  return {
    verdict: 'violation',
    rule: 'linearizability',
    key: partition.key,
    counterexample,
    partial,
    observed,
  }
}

function observe<Operation>(
  partitions: readonly Partition<Operation>[],
  steps: number,
): LinearizabilityObserved {
  const operations = partitions.flatMap((partition) => partition.operations)
  return {
    partitions: partitions.length,
    operations: operations.length,
    unknownOutcomes: operations.filter(({ returned }) => returned === undefined).length,
    steps,
  }
}
