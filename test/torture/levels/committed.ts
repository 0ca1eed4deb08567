/** The committed log of a cluster, read from the files of a member that is closed: the truth for the checkers. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { NodeDisk } from '../../../src/env/node-disk.js'
import { surveyLog } from '../../../src/log/survey.js'
import type { Entry, LogIndex } from '../../../src/raft/types.js'
import type { AppliedRequest, CommittedLog } from '../../../src/sim/checkers/committed-log.js'
import { type CodedJudge, ModelMachine } from '../../../src/sim/watch/model-machine.js'
import { readFrame } from '../../../src/wire/log-frame.js'

/** The values of these clients are small. */
const NO_LARGE_VALUES: CodedJudge = { isCovered: () => false, introduce: () => Buffer.alloc(0) }

/**
 * What the entries up to `lastIndex` in the log below `dir` did, by the plain model of the state machine. All of the
 * log must be there, and committed so far.
 *
 * @param maxClients as in the options of the stores
 */
export async function readCommitted(
  dir: string,
  lastIndex: LogIndex,
  maxClients: number,
): Promise<CommittedLog> {
  const model = new ModelMachine(maxClients, (bytes) => bytes.toString(), NO_LARGE_VALUES)
  for await (const entry of entriesOf(join(dir, 'log'), lastIndex)) model.apply(entry)
  return { requests: model.requests.filter(isOwn), lastIndex }
}

async function* entriesOf(dir: string, lastIndex: LogIndex): AsyncGenerator<Entry> {
  const survey = await surveyLog(new NodeDisk(), dir)
  if (survey === undefined || survey.previous.index > 0 || survey.lastIndex < lastIndex) {
    throw new Error(`the log in ${dir} does not hold all entries from 1 to ${lastIndex}`)
  }
  let open: { readonly number: number; readonly bytes: Buffer } | undefined
  for (let index = 1; index <= lastIndex; index++) {
    const { segment, position } = survey.index.placeOf(index)!
    if (open?.number !== segment) {
      const { path } = survey.segments.find(({ number }) => number === segment)!
      open = { number: segment, bytes: await readFile(path) }
    }
    const frame = readFrame(open.bytes, position, segment, position)
    if (frame?.type !== 'entry') throw new Error(`entry ${index} in ${dir} fails its check`)
    yield frame.entry
  }
}

/** Whether clients made the request: all their keys begin alike. */
function isOwn({ commands }: AppliedRequest): boolean {
  return commands.flat().every(({ key }) => key.startsWith('g'))
}
