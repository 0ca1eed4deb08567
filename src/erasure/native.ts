/**
 * The codec as a native addon (native/), with one backend for each instruction set of this processor.
 *
 * The addon is not needed: it is looked for in native/prebuilds, where a published package has it, and then in
 * native/build, where `npm run prepare` leaves it in a checkout with a compiler.
 */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { StoreError } from '../base/errors.js'
import type { Backend } from './backend.js'
import type { Operation } from './operation.js'

/** What the addon exports. It checks every argument again: a wrong one would be a write past the end. */
export interface Binding {
  readonly version: number
  /** The instruction sets that this processor runs, the fastest first. */
  readonly levels: readonly string[]
  run: Call<void>
  /** As `run`, on a thread of libuv's pool. */
  runLater: Call<Promise<void>>
}

type Call<Result> = (
  level: number,
  coefficients: Uint8Array,
  sourcesPerStripe: number,
  sources: readonly Uint8Array[],
  targets: readonly Uint8Array[],
) => Result

/** Of the addon's interface: one that was built from other sources is refused. */
const VERSION = 1

const FOLDER = join(import.meta.dirname, '../../../native')

/** The addon is looked for here, in this order; musl's name comes second because glibc refuses its file. */
export const BINDING_PATHS: readonly string[] = [
  `prebuilds/${process.platform}-${process.arch}/erasure.node`,
  `prebuilds/${process.platform}-${process.arch}-musl/erasure.node`,
  'build/Release/erasure.node',
].map((path) => join(FOLDER, path))

/** Loads the first addon that is there and loads; throws an Error that says why none did. */
export function loadBinding(paths: readonly string[]): Binding {
  const failures: string[] = []
  const require = createRequire(import.meta.url)
  for (const path of paths.filter((each) => existsSync(each))) {
    try {
      const binding = require(path) as Binding
      if (binding.version === VERSION) return binding
      failures.push(`${path} has version ${binding.version}, not ${VERSION}`)
    } catch (error) {
      failures.push((error as Error).message)
    }
  }
  const platform = `${process.platform}-${process.arch}`
  throw new Error(failures.length > 0 ? failures.join('; ') : `not built for ${platform}`)
}

/** Of libuv's four threads, two stay free for the log's fsyncs and for files. */
const RUNNING_MAX = 2

const WAITING_MAX = 1024

/**
 * Up to here an operation takes about as much of the event loop's time as giving it to another thread, which is
 * 15-20 µs: 256 KiB took 9 µs by 2+1 and 25 µs by 10+4 with AVX2 (`npm run bench -- erasure`).
 */
const INLINE_BYTES_MAX = 256 * 1024

/** Of the kernel that every processor runs, which multiplies some 0.5-1 GB/s. */
const SCALAR_INLINE_BYTES_MAX = 16 * 1024

/** The addon with one of its instruction sets. */
export class NativeBackend implements Backend {
  readonly name = 'native'
  readonly instructions: string
  readonly inlineBytesMax: number
  readonly #binding: Binding
  readonly #level: number
  #running = 0
  readonly #waiting: (() => void)[] = []

  /** @param level an index of `binding.levels` */
  constructor(binding: Binding, level: number) {
    this.#binding = binding
    this.#level = level
    this.instructions = binding.levels[level]!
    const isScalar = this.instructions === 'scalar'
    this.inlineBytesMax = isScalar ? SCALAR_INLINE_BYTES_MAX : INLINE_BYTES_MAX
  }

  run({ plan, sources, targets }: Operation): void {
    this.#binding.run(this.#level, plan.coefficients, plan.sources.length, sources, targets)
  }

  async runLater({ plan, sources, targets }: Operation): Promise<void> {
    if (this.#running < RUNNING_MAX) this.#running++
    else await this.#turn()
    try {
      const k = plan.sources.length
      await this.#binding.runLater(this.#level, plan.coefficients, k, sources, targets)
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#running--
      else next()
    }
  }

  /** Waits until another operation ends and leaves its thread to this one. */
  #turn(): Promise<void> {
    if (this.#waiting.length >= WAITING_MAX) {
      const words = `${WAITING_MAX} erasure coding operations wait already`
      throw new StoreError('QUORATE_OVERLOADED', words, { retryable: true })
    }
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
    })
  }
}
