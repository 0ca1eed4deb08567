/** The suite of every Network, under node:test. */
import { test } from 'node:test'
import { type NetworkLab, networkSuite } from '../../src/sim/kit/network-suite.js'

export type { NetworkLab }

/** Registers the suite for one kind of network. */
export function networkContract(name: string, open: () => NetworkLab): void {
  networkSuite({ test, name, factory: async () => open() })
}
