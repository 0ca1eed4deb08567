/** The testing kit: property-test your own data and its recovery under crashes, partitions and power loss. */
export {
  type Clients,
  type RunContext,
  type SimulateOptions,
  SimulationFailure,
  simulate,
  type UserWorkload,
} from './sim/kit/simulate.js'
export { type Sometimes, sometimes } from './sim/kit/sometimes.js'
