/** Entries, keys and frames in words. */
import { asBuffer } from '../../base/bytes.js'
import type { ScannedFrame } from '../../log/scan.js'
import { decodeConfChange } from '../../raft/conf-change.js'
import type { Entry } from '../../raft/types.js'
import { DecodeError } from '../../wire/command.js'
import { decodeRecords } from '../../wire/directory.js'
import { isOwnRequest, readCommands, visitRequests } from '../../wire/request.js'
import { bytes, count } from '../terminal.js'
import { describeCommand } from './describe-command.js'

/** One frame in a line. */
export function describeFrame(frame: ScannedFrame): string {
  if (frame.type === 'entry') {
    const { id, kind, position } = frame
    return `entry ${id.index} of term ${id.term}, ${kind}, ${bytes(frame.bytes)} at ${position}`
  }
  const { hardState, previous, lastIndex } = frame.state
  return (
    `state: term ${hardState.term}, vote ${hardState.vote}, commit ${hardState.commit}, ` +
    `log after ${previous.index} of term ${previous.term}, up to ${lastIndex}`
  )
}

/** What an entry asks for, in lines. */
export function describeEntry(entry: Entry): string[] {
  const head = `${entry.index}  term ${entry.term}  ${entry.kind}  ${bytes(entry.data.length)}`
  try {
    return [head, ...(entry.kind === 'normal' ? requestsOf(entry) : [changeOf(entry)])]
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error
    return [head, `  cannot be decoded: ${error.message}`]
  }
}

function requestsOf({ data: bytesOfEntry }: Entry): string[] {
  const data = asBuffer(bytesOfEntry)
  const lines: string[] = []
  visitRequests(data, (request, offset) => {
    const client = request.clientId.toString('hex')
    lines.push(
      isOwnRequest(request)
        ? '  the leader itself'
        : `  client ${client}  request ${count(request.seq)}`,
    )
    for (const command of readCommands(data, offset, request)) {
      lines.push(...describeCommand(command).map((line) => `    ${line}`))
    }
  })
  return lines.length === 0 ? ['  nothing: the first entry of a leader'] : lines
}

function changeOf({ data }: Entry): string {
  const change = decodeConfChange(data)
  if (change === undefined) return '  cannot be decoded'
  const steps = change.steps.map(({ kind, node }) => `${kind} ${node}`)
  const names = change.context.length === 0 ? [] : decodeRecords(change.context).map(({ id }) => id)
  const who = names.length === 0 ? '' : ` (${names.join(', ')})`
  return `  ${steps.length === 0 ? 'leaves the joint configuration' : steps.join(', ')}${who}`
}
