/** How many shards are to be enough to read what is written now: pure. */

/** The circumstances of a write. */
export interface Spread {
  /** The sets of voters in force: one, or two while the members change; each as its size and how many are reachable. */
  readonly voters: readonly { readonly count: number; readonly reachable: number }[]
  /** The bound that the options set. */
  readonly dataShardsMax: number
  /** So many that are reachable are not waited for; undefined: by the number of voters. */
  readonly slack: number | undefined
}

/** From so many voters on one that is reachable is not waited for. */
const SLACK_VOTERS = 5

/**
 * k: as many as can be covered (machine/coverage.ts) without those who cannot be reached and without `slack` of the
 * others; at least 1.
 */
export function chooseDataShards({ voters, dataShardsMax, slack }: Spread): number {
  const most = voters.map(({ count, reachable }) => {
    const spared = slack ?? (count >= SLACK_VOTERS ? 1 : 0)
    return reachable - Math.floor(count / 2) - spared
  })
  return Math.max(1, Math.min(dataShardsMax, ...most))
}
