/** The program of a member of the level torture. */
import { hostMember } from '../../../src/cli/processes/host.js'
import { levelOperations } from './operations.js'

hostMember(levelOperations())
