/** The program of a torture test's member: what the demo's can, and values as bytes for the judge. */
import { hostMember } from '../../src/cli/processes/host.js'
import { memberOperations } from '../../src/cli/processes/member-operations.js'
import type { TortureOperations } from './operations.js'

const operations: TortureOperations = {
  ...memberOperations,
  getMany: (store, { keys, timeoutMs }) => store.getMany<Uint8Array>(keys, { timeoutMs }),
}

hostMember(operations)
