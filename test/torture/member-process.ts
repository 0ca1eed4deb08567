/** The program of a torture test's member: what the demo's can, and values as bytes for the judge. */
import { unreachable } from '../../src/base/assert.js'
import { hostMember } from '../../src/cli/processes/host.js'
import { memberOperations } from '../../src/cli/processes/member-operations.js'
import type { Store } from '../../src/index.js'
import type { MembersRequest, TortureOperations } from './operations.js'

const operations: TortureOperations = {
  ...memberOperations,
  getMany: (store, { keys, timeoutMs }) => store.getMany<Uint8Array>(keys, { timeoutMs }),
  members: async (store, { wish, timeoutMs }) => {
    await carryOut(store, wish, timeoutMs)
    return store.members.list({ timeoutMs })
  },
}

async function carryOut(store: Store, wish: MembersRequest, timeoutMs: number): Promise<void> {
  const { members } = store
  switch (wish.type) {
    case 'list':
      return
    case 'add':
      await members.add(wish.id, wish.address, { timeoutMs })
      return
    case 'promote':
    case 'demote':
    case 'remove':
      await members[wish.type](wish.id, { timeoutMs })
      return
    case 'replace':
      await members.replace(wish.replacements, { timeoutMs })
      return
    case 'transfer':
      await members.transferLeadership(undefined, { timeoutMs })
      return
    default:
      unreachable(wish)
  }
}

hostMember(operations)
