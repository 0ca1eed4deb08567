/** The AbstractLevel facade: `store.level()` makes it, `quorate/level` names its types. */
export { StoreLevel } from './store/level/database.js'
export type { LevelEncoding, LevelOptions } from './store/level/options.js'
