/**
 * As much of a tape-compatible test function as abstract-level's suite asks for: tests run one after the other in the
 * order in which they were declared, and every assertion is counted.
 */
import assert from 'node:assert/strict'

/** Declares a test; options between the two are not used by the suite. */
export type DeclareTest = (name: string, run: TestBody) => void

/** A test. It ends when its promise settles and as many assertions as planned were made, or at `end`. */
export type TestBody = (t: TestContext) => unknown

/** What became of a suite. */
export interface TapeResult {
  readonly tests: number
  readonly assertions: number
  readonly failures: readonly string[]
}

const TEST_TIMEOUT_MS = 30_000

/** What a test calls. */
export class TestContext {
  readonly failures: string[] = []
  assertions = 0
  #planned: number | undefined
  #isEnded = false
  #onChange: (() => void) | undefined

  plan(count: number): void {
    this.#planned = count
    this.#changed()
  }

  end(): void {
    this.#isEnded = true
    this.#changed()
  }

  pass(_message?: unknown): void {
    this.#check(() => undefined)
  }

  fail(message?: unknown): void {
    this.#check(() => assert.fail(String(message ?? 'failed')))
  }

  ok(value: unknown, message?: string): void {
    this.#check(() => assert.ok(value, message ?? `${String(value)} is not truthy`))
  }

  is(actual: unknown, expected: unknown, message?: string): void {
    this.#check(() => assert.strictEqual(actual, expected), message)
  }

  isNot(actual: unknown, expected: unknown, message?: string): void {
    this.#check(() => assert.notStrictEqual(actual, expected), message)
  }

  same(actual: unknown, expected: unknown, message?: string): void {
    this.#check(() => assert.deepStrictEqual(actual, expected), message)
  }

  throws(run: () => unknown, isExpected: (error: unknown) => boolean): void {
    this.#check(() => assert.throws(run, isExpected))
  }

  doesNotThrow(run: () => unknown): void {
    this.#check(() => assert.doesNotThrow(run))
  }

  /** Resolves when the test, whose body returned `returned`, is over. */
  async over(returned: unknown): Promise<void> {
    const isAsync = returned instanceof Promise
    if (isAsync) await returned
    const isOver = () => {
      if (this.#planned !== undefined) return this.assertions >= this.#planned
      return isAsync || this.#isEnded
    }
    while (!isOver()) {
      await new Promise<void>((resolve) => {
        this.#onChange = resolve
      })
    }
    if (this.#planned !== undefined && this.assertions !== this.#planned) {
      this.failures.push(`${this.#planned} assertions were planned, ${this.assertions} made`)
    }
  }

  #check(check: () => void, message?: string): void {
    this.assertions++
    try {
      check()
    } catch (error) {
      const words = error instanceof Error ? error.message : String(error)
      this.failures.push(message === undefined ? words : `${message}: ${words}`)
    }
    this.#changed()
  }

  #changed(): void {
    this.#onChange?.()
    this.#onChange = undefined
  }
}

/** Collects tests and runs them. */
export class Tape {
  readonly #tests: { readonly name: string; readonly run: TestBody }[] = []

  readonly test: DeclareTest = (name, run) => {
    this.#tests.push({ name, run })
  }

  /** Runs all tests, also those that are declared meanwhile. */
  async run(): Promise<TapeResult> {
    let assertions = 0
    const failures: string[] = []
    for (const { name, run } of this.#tests) {
      const context = new TestContext()
      await runOne(context, run)
      assertions += context.assertions
      failures.push(...context.failures.map((failure) => `${name}: ${failure}`))
    }
    return { tests: this.#tests.length, assertions, failures }
  }
}

async function runOne(context: TestContext, run: TestBody): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('did not end in time')), TEST_TIMEOUT_MS)
  })
  try {
    await Promise.race([context.over(run(context)), timeout])
  } catch (error) {
    context.failures.push(error instanceof Error ? (error.stack ?? error.message) : String(error))
  } finally {
    clearTimeout(timer)
  }
}
