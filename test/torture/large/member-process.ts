/** The program of a member that is tortured with large values. */
import { hostMember } from '../../../src/cli/processes/host.js'
import { largeOperations } from './operations.js'

hostMember(largeOperations())
