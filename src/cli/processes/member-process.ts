/** The program of a child process that is one member; started by ProcessCluster, never by hand. */
import { hostMember } from './host.js'
import { memberOperations } from './member-operations.js'

hostMember(memberOperations)
