/**
 * Seeks everywhere, in every range and direction, on a database that is empty, and on one with a key: on real LevelDB,
 * which may end this process. Prints how many seeks there were.
 */
import { Store } from '../../../src/index.js'
import type { StoreLevel } from '../../../src/level.js'

const [dir = ''] = process.argv.slice(2)
const TARGETS = ['', '\0', 'a', 'm', 'z', '\uffff', 'a'.repeat(70_000)]
const RANGES = [{}, { gt: 'm' }, { gte: 'm' }, { lt: 'm' }, { lte: 'm' }, { gt: 'z', lt: 'a' }]

async function seekEverywhere(db: StoreLevel): Promise<number> {
  let seeks = 0
  for (const range of RANGES) {
    for (const reverse of [false, true]) {
      for (const make of [
        () => db.iterator({ ...range, reverse }),
        () => db.keys({ ...range, reverse }),
      ]) {
        const iterator = make()
        for (const target of TARGETS) {
          iterator.seek(target)
          await iterator.next()
          iterator.seek(target)
          await iterator.nextv(3)
          seeks += 2
        }
        await iterator.close()
      }
    }
  }
  return seeks
}

const store = await Store.open({ dir })
let seeks = 0
for (const prefix of ['', 'empty', '\uffff']) {
  seeks += await seekEverywhere(store.level({ prefix, consistency: 'session' }))
  seeks += await seekEverywhere(store.level({ prefix, consistency: 'strong' }))
}
await store.level().put('m', 'a key')
seeks += await seekEverywhere(store.level())
await store.close()
console.log(seeks)
