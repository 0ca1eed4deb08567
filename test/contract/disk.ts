/** The suite of every Disk, under node:test. */
import { test } from 'node:test'
import { type DiskFixture, diskSuite } from '../../src/sim/kit/disk-suite.js'

export type { DiskFixture }

/** Registers the suite; `factory` is called once per test. */
export function diskContract(name: string, factory: () => Promise<DiskFixture>): void {
  diskSuite({ test, name, factory })
}
