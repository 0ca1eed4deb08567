/**
 * The suite `erasure`: published vectors on every backend and instruction set of this machine, and 100,000 mixed
 * rounds on the WebAssembly codec, whose published wrapper fails in the second.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { allBackends, chooseBackend } from '../../../src/erasure/choose.js'
import { loadWasmBackend } from '../../../src/erasure/wasm.js'
import { mixedRounds } from '../../erasure/rounds.js'
import { describeVector, faultIn, readVectors } from './vectors.js'

const ROUNDS = 100_000
const SEED = 20_261_121

/** Runs the vectors in `folder` and the rounds; true when nothing was wrong. */
export function runErasure(folder: string, print: (line: string) => void): boolean {
  const file = join(folder, 'erasure-vectors.json')
  const vectorsPass = existsSync(file) ? runVectors(file, print) : skip(file, print)
  return runRounds(print) && vectorsPass
}

function skip(file: string, print: (line: string) => void): boolean {
  print(`SKIPPED the vectors: there is no ${file}`)
  return true
}

function runVectors(file: string, print: (line: string) => void): boolean {
  const vectors = readVectors(file)
  let failed = 0
  for (const { backend, reason } of chooseBackend(undefined).status.passedOver) {
    print(`not here  ${backend}: ${reason}`)
  }
  for (const backend of allBackends()) {
    const faults = vectors.flatMap((vector) => {
      const fault = faultIn(vector, backend)
      return fault === undefined ? [] : [`${describeVector(vector)}: ${fault}`]
    })
    failed += faults.length
    const name = `${backend.name}${backend.name === 'native' ? `:${backend.instructions}` : ''}`
    print(`${faults.length === 0 ? 'right' : 'WRONG'}  ${name}: ${vectors.length} vectors`)
    for (const fault of faults) print(`       ${fault}`)
  }
  return vectors.length > 0 && failed === 0
}

function runRounds(print: (line: string) => void): boolean {
  const backend = loadWasmBackend()
  const fault = mixedRounds(backend, ROUNDS, SEED)
  const memory = `${Math.round(backend.memoryBytes / 2 ** 20)} MiB of memory`
  print(
    fault === undefined
      ? `right  wasm: ${ROUNDS} mixed rounds, ${memory}`
      : `WRONG  wasm: ${fault} of seed ${SEED}, ${memory}`,
  )
  return fault === undefined
}
