/** The suite of every Database, under node:test. */
import { test } from 'node:test'
import { type DatabaseFixture, databaseSuite } from '../../src/sim/kit/database-suite.js'

export type { DatabaseFixture }

/** Registers the suite; `factory` is called once per test. */
export function databaseContract(name: string, factory: () => Promise<DatabaseFixture>): void {
  databaseSuite({ test, name, factory })
}
