/** The testing kit: property-test your own data and its recovery under crashes, partitions and power loss. */
export { hostMember } from './cli/processes/host.js'
export type { Operations } from './cli/processes/operations.js'
export { SpawnedCluster, type SpawnOptions } from './cli/processes/spawned-cluster.js'
export type { StoreOperations } from './cli/processes/store-operations.js'
export type { Verdict } from './sim/checkers/verdict.js'
export type { WatchedItem, WatchedRange, WatchRun } from './sim/checkers/watches.js'
export type { History, HistoryEvent } from './sim/history.js'
export { arbitraries } from './sim/kit/arbitraries.js'
export { checkers } from './sim/kit/checkers.js'
export { type DatabaseFixture, databaseSuite } from './sim/kit/database-suite.js'
export { type DiskFixture, diskSuite } from './sim/kit/disk-suite.js'
export { history, type RecordedStore } from './sim/kit/history.js'
export { type NetworkLab, networkSuite } from './sim/kit/network-suite.js'
export {
  type Clients,
  type RunContext,
  type SimulateOptions,
  SimulationFailure,
  simulate,
  type UserWorkload,
} from './sim/kit/simulate.js'
export { type Sometimes, sometimes } from './sim/kit/sometimes.js'
export { type StoreFixture, storeSuite, type TestedStore } from './sim/kit/store-suite.js'
export type { SuiteOptions } from './sim/kit/suite.js'
export { TestCluster, type TestClusterOptions } from './sim/kit/test-cluster.js'
export { Recorder } from './sim/recorder.js'
export type {
  ClientEvent,
  FaultClass,
  FaultEvent,
  Knobs,
  Schedule,
} from './sim/schedule/schedule.js'
export { type DiskOperation, type PowerCutMode, SimDisk } from './sim/sim-disk.js'
export { SimWorld } from './sim/world.js'
