/** The program of a child process that is one member of a SpawnedCluster; started by it, never by hand. */
import { hostMember } from './host.js'
import { storeOperations } from './store-operations.js'

hostMember(storeOperations)
