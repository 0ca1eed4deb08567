/** What the contract suites have in common: how they are run, under any runner whose `test` takes exceptions. */

/** How a suite is run. */
export interface SuiteOptions<Fixture> {
  /** Of node:test, vitest, jest, tape. */
  readonly test: (title: string, run: () => Promise<void>) => unknown
  /** Goes before each title. */
  readonly name: string
  /** A new fixture for each test. */
  factory(): Promise<Fixture>
}

/** One property of everything that keeps the contract. */
export type SuiteCase<Bench> = readonly [title: string, check: (bench: Bench) => Promise<void>]

/** Registers `cases`; `use` makes of a fixture what a case needs, and cleans up behind it. */
export function registerCases<Fixture, Bench>(
  { test, name, factory }: SuiteOptions<Fixture>,
  cases: readonly SuiteCase<Bench>[],
  use: (fixture: Fixture, check: (bench: Bench) => Promise<void>) => Promise<void>,
): void {
  for (const [title, check] of cases) {
    test(`${name}: ${title}`, async () => use(await factory(), check))
  }
}
