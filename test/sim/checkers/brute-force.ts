/** Linearizability by trying every order: short enough to be believed, and too slow for more than a few operations. */
import type { Model, ModelState, TimedOperation } from '../../../src/sim/checkers/model.js'

/** Whether some order of `operations` is right under `model`; those without a return may be left out of it. */
export function isLinearizable<Operation, State extends ModelState>(
  model: Model<Operation, State>,
  operations: readonly TimedOperation<Operation>[],
): boolean {
  const isOrderable = (state: State, left: readonly TimedOperation<Operation>[]): boolean => {
    if (left.every(({ returned }) => returned === undefined)) return true
    return left.some((first) => {
      const others = left.filter((other) => other !== first)
      if (others.some(({ returned }) => returned !== undefined && returned < first.called))
        return false
      const next = model.step(state, first.operation)
      return next !== undefined && isOrderable(next, others)
    })
  }
  return isOrderable(model.initial, operations)
}
