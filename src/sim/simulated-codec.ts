/** How shards are computed in simulations: at once, by plain JavaScript. Threads and addons are of the real world. */
import type { ErasureOptions, OpenOptions } from '../store/open-options.js'

const SIMULATED: ErasureOptions = {
  codec: 'javascript',
  inlineBytesMax: Number.POSITIVE_INFINITY,
}

/** The options for large values of a simulated store, on top of what was asked for. */
export function simulatedErasure(given: OpenOptions['erasure']): ErasureOptions | false {
  return given === false ? false : { ...given, ...SIMULATED }
}
