/** Node 2 in a process of its own, to be killed: tells its parent where it listens and greets node 1. */
import { NodeNetwork } from '../../src/env/node-network.js'
import { NodeRandom } from '../../src/env/node-random.js'
import { NodeTime } from '../../src/env/node-time.js'
import { onlyCalls } from '../../src/transport/served-client.js'
import { Transport } from '../../src/transport/transport.js'
import { optionsOf, peerAt } from './lab.js'

const [parent] = process.argv.slice(2)
const peers = [peerAt(1, parent ?? '')]
const transport: Transport = await Transport.start(
  new NodeNetwork(),
  new NodeTime(),
  new NodeRandom(),
  { ...optionsOf(2, 1), listen: '127.0.0.1:0', peers },
  {
    frame: () => {},
    peerUp: () => transport.send(1, 1, [Buffer.from('here I am')]),
    peerDown: () => process.exit(),
    peerSilent: () => {},
    client: onlyCalls(() => {}),
  },
)
process.send?.(transport.address)
