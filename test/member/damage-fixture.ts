/** Damage to the database of a member that is down. */
import type { SimCluster } from '../../src/sim/sim-cluster.js'
import { entriesOf, inserted, type SortedBytes } from '../../src/sim/sorted-bytes.js'

/** Closes the member in good order: what it has applied is then in its database, and not applied again. */
export async function closeMember(cluster: SimCluster, name: string): Promise<void> {
  await cluster.run(cluster.store(name).close())
  cluster.kill(name)
}

/** Puts what `change` returns in the place of each record; undefined leaves it as it is. */
export function tamper(
  cluster: SimCluster,
  name: string,
  change: (key: Buffer, value: Buffer) => Uint8Array | undefined,
): number {
  const { databases } = cluster.host(name)
  let changed = 0
  const image = new Map<string, SortedBytes>()
  for (const [dir, state] of databases.image()) {
    let after = state
    for (const [key, value] of entriesOf(state)) {
      const other = change(Buffer.from(key), Buffer.from(value))
      if (other === undefined) continue
      after = inserted(after, key, other)
      changed++
    }
    image.set(dir, after)
  }
  databases.restore(image)
  return changed
}

/** Flips a bit of the value stored under the user's `key`. */
export function damageValue(cluster: SimCluster, name: string, key: string): void {
  const stored = Buffer.concat([Buffer.of(1), Buffer.from(key)])
  const changed = tamper(cluster, name, (record, value) => {
    if (!record.equals(stored)) return undefined
    value[value.length - 1]! ^= 1
    return value
  })
  if (changed !== 1) throw new Error(`${changed} records under ${key}`)
}
