import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Store } from '../../src/index.js'
import { storeSuite, TestCluster } from '../../src/testing.js'

storeSuite({
  test,
  name: 'one member on real disk',
  factory: async () => {
    const dir = await mkdtemp(join(tmpdir(), 'quorate-suite-'))
    const store = await Store.open({ dir })
    return { store, end: () => rm(dir, { recursive: true }) }
  },
})

storeSuite({
  test,
  name: 'a follower of a simulated cluster',
  factory: async () => {
    const cluster = await TestCluster.start()
    const [follower] = cluster.members.filter((member) => member !== cluster.leader)
    return {
      store: cluster.store(follower!),
      run: (promise) => cluster.run(promise),
    }
  },
})
