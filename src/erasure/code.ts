/**
 * A Reed-Solomon code: how many data and parity shards, and by which coefficients shards follow from shards.
 *
 * Any k of the n = k + m shards determine all others: each is a sum of k products. A `Plan` holds the
 * coefficients that lead from k chosen shards to wanted ones; encoding is the plan from the data to the parity.
 */
import { generatorMatrix, invertMatrix, multiplyMatrices } from './matrix.js'

/** The field has 255 elements besides zero, and the generator matrix a row for each shard. */
export const SHARDS_MAX = 255

/** How `targets` follow from `sources`, which are k distinct shards; all are indexes from 0 to n - 1. */
export interface Plan {
  readonly dataShards: number
  readonly parityShards: number
  readonly sources: readonly number[]
  readonly targets: readonly number[]
  /** A row of k coefficients for each target, in the order of `targets` and `sources`. */
  readonly coefficients: Uint8Array
}

/** Plans kept per code. A member that is down makes one pattern of loss, each rebuilding member another. */
const PLANS_MAX = 64

/** A code of `dataShards` (k) and `parityShards` (m), with its plans. Immutable to its users. */
export class Code {
  readonly dataShards: number
  readonly parityShards: number
  /** From all data shards to all parity shards. */
  readonly encoding: Plan
  readonly #generator: Uint8Array
  readonly #plans = new Map<string, Plan>()

  /**
   * @throws {RangeError} unless k is at least 1, m at least 0 and k + m at most 255
   */
  constructor(dataShards: number, parityShards: number) {
    const n = dataShards + parityShards
    const areWhole = Number.isInteger(dataShards) && Number.isInteger(parityShards)
    if (!areWhole || dataShards < 1 || parityShards < 0 || n > SHARDS_MAX) {
      const given = `${dataShards} data and ${parityShards} parity shards`
      throw new RangeError(
        `a code has 1 or more data, 0 or more parity and at most ${SHARDS_MAX} shards: not ${given}`,
      )
    }
    this.dataShards = dataShards
    this.parityShards = parityShards
    this.#generator = generatorMatrix(n, dataShards)
    const indexes = Array.from({ length: n }, (_, i) => i)
    this.encoding = {
      dataShards,
      parityShards,
      sources: indexes.slice(0, dataShards),
      targets: indexes.slice(dataShards),
      coefficients: this.#generator.subarray(dataShards * dataShards),
    }
  }

  /** The number of shards, n. */
  get shards(): number {
    return this.dataShards + this.parityShards
  }

  /** The plan from `sources` (k distinct indexes) to `targets`; k^3 multiplications, kept for the next time. */
  plan(sources: readonly number[], targets: readonly number[]): Plan {
    const key = `${sources.join()}>${targets.join()}`
    const kept = this.#plans.get(key)
    if (kept !== undefined) return kept
    const k = this.dataShards
    const toData = invertMatrix(this.#rows(sources), k)
    const { dataShards, parityShards } = this
    const coefficients = multiplyMatrices(this.#rows(targets), toData, k)
    const plan = { dataShards, parityShards, sources, targets, coefficients }
    if (this.#plans.size === PLANS_MAX) this.#plans.delete(this.#plans.keys().next().value!)
    this.#plans.set(key, plan)
    return plan
  }

  #rows(indexes: readonly number[]): Uint8Array {
    const k = this.dataShards
    const rows = new Uint8Array(indexes.length * k)
    indexes.forEach((index, i) => {
      rows.set(this.#generator.subarray(index * k, index * k + k), i * k)
    })
    return rows
  }
}
