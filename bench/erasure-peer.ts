/** ISA-L beside the codec: a C program that is compiled for the benchmark where libisal-dev is installed. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Plan } from '../src/erasure/code.js'

const SOURCE = join(import.meta.dirname, '../../bench/erasure-peer.c')

/** A running ISA-L. */
export class Peer {
  readonly #folder: string
  readonly #child: ChildProcess
  readonly #answers: AsyncIterator<string>

  private constructor(folder: string) {
    this.#folder = folder
    this.#child = spawn(join(folder, 'peer'), { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#answers = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]()
  }

  /** Compiles and starts it; where that is not possible, the reason. */
  static start(): Peer | string {
    const folder = mkdtempSync(join(tmpdir(), 'quorate-isal-'))
    const out = join(folder, 'peer')
    const built = spawnSync('cc', ['-O2', SOURCE, '-o', out, '-lisal'], { encoding: 'utf8' })
    if (built.status === 0) return new Peer(folder)
    rmSync(folder, { recursive: true })
    const isMissing = built.stderr?.includes('isa-l/erasure_code.h')
    return isMissing ? 'libisal-dev is not installed' : (built.error?.message ?? built.stderr)
  }

  /** The source bytes per second that it codes by `plan`, for shards of `length` bytes. */
  async bytesPerSecond(plan: Plan, length: number, ms: number): Promise<number> {
    const coefficients = Buffer.from(plan.coefficients).toString('hex')
    const { sources, targets } = plan
    this.#child.stdin!.write(
      `${sources.length} ${targets.length} ${length} ${ms} ${coefficients}\n`,
    )
    const { value, done } = await this.#answers.next()
    if (done) throw new Error(`the program with ISA-L ended with ${this.#child.exitCode}`)
    return Number(value)
  }

  stop(): void {
    this.#child.stdin!.end()
    rmSync(this.#folder, { recursive: true })
  }
}
