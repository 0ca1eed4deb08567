/**
 * Matrices over GF(2^8), row by row in one byte array, and the generator matrix of the code.
 *
 * The generator is systematic Vandermonde: V[r][c] = r^c for all n rows, times the inverse of its top k rows. Its
 * top is the identity, every k of its rows are independent, and it is the matrix of Backblaze's, klauspost's and
 * the Rust codecs, byte for byte (docs/erasure.md). On disk: never change.
 */
import { assert } from '../base/assert.js'
import { inverse, multiply, power } from './field.js'

/** The n rows of k coefficients that turn k data shards into n shards: first the identity, then the parity rows. */
export function generatorMatrix(n: number, k: number): Uint8Array {
  const vandermonde = new Uint8Array(n * k)
  for (let r = 0; r < n; r++) {
    for (let c = 0; c < k; c++) vandermonde[r * k + c] = power(r, c)
  }
  return multiplyMatrices(vandermonde, invertMatrix(vandermonde.subarray(0, k * k), k), k)
}

/** `left` (any number of rows of k) times the k by k matrix `right`. */
export function multiplyMatrices(left: Uint8Array, right: Uint8Array, k: number): Uint8Array {
  const product = new Uint8Array(left.length)
  for (let row = 0; row < left.length; row += k) {
    for (let i = 0; i < k; i++) {
      addScaledRow(product.subarray(row, row + k), right.subarray(i * k, i * k + k), left[row + i]!)
    }
  }
  return product
}

/** The inverse of a k by k matrix that has one, by Gauss-Jordan elimination; k^3 multiplications. */
export function invertMatrix(matrix: Uint8Array, k: number): Uint8Array {
  const left = Array.from({ length: k }, (_, r) => matrix.slice(r * k, r * k + k))
  const right = Array.from({ length: k }, (_, r) => new Uint8Array(k).fill(1, r, r + 1))
  for (let column = 0; column < k; column++) {
    const pivot = left.findIndex((row, r) => r >= column && row[column] !== 0)
    assert(pivot !== -1, 'a matrix of independent rows turned out singular', { k, column })
    swap(left, column, pivot)
    swap(right, column, pivot)
    const scale = inverse(left[column]![column]!)
    scaleRow(left[column]!, scale)
    scaleRow(right[column]!, scale)
    for (let r = 0; r < k; r++) {
      const factor = left[r]![column]!
      if (r === column || factor === 0) continue
      addScaledRow(left[r]!, left[column]!, factor)
      addScaledRow(right[r]!, right[column]!, factor)
    }
  }
  const inverted = new Uint8Array(k * k)
  right.forEach((row, r) => {
    inverted.set(row, r * k)
  })
  return inverted
}

function swap(rows: Uint8Array[], a: number, b: number): void {
  const kept = rows[a]!
  rows[a] = rows[b]!
  rows[b] = kept
}

function scaleRow(row: Uint8Array, factor: number): void {
  for (let c = 0; c < row.length; c++) row[c] = multiply(row[c]!, factor)
}

function addScaledRow(target: Uint8Array, row: Uint8Array, factor: number): void {
  for (let c = 0; c < row.length; c++) target[c]! ^= multiply(row[c]!, factor)
}
