/** One stable rendering of what cores are given, for traces. */
import type { Input, Message } from '../../raft/types.js'

/** `input` in words; undefined for those that happen all the time and mean nothing by themselves. */
export function describeInput(input: Input): string | undefined {
  switch (input.type) {
    case 'tick':
      return undefined
    case 'receive':
      return describeMessage(input.message)
    case 'propose':
      return `propose ${input.entries.map(({ data }) => data.length).join('+')} bytes`
    case 'appendDone':
      return `write ${input.id} is durable`
    case 'applyDone':
      return `applied ${input.index}`
    case 'compacted':
      return `log begins after ${input.index}`
    case 'clockGap':
      return `stood still for ${input.ms.toFixed(0)} ms`
    case 'readIndex':
      return `read ${input.token} asks for an index`
    case 'entriesFetched':
      return `fetched ${input.entries.length} entries from ${input.entries[0]?.index}`
    case 'unreachable':
    case 'peerDown':
      return `${input.type} ${input.peer}`
    default:
      return input.type
  }
}

function describeMessage(message: Message): string {
  const head = `${message.from}>${message.to} ${message.type} t${message.term}`
  switch (message.type) {
    case 'append': {
      const { prevIndex, prevTerm, entries, commit } = message
      return `${head} after ${prevIndex}/${prevTerm} +${entries.length} commit ${commit}`
    }
    case 'appendResponse':
      return `${head} ${message.reject ? `no, hint ${message.hintIndex}/${message.hintTerm}` : 'ok'} ${message.index}`
    case 'vote':
    case 'preVote':
      return `${head} last ${message.lastIndex}/${message.lastTerm}`
    case 'voteResponse':
    case 'preVoteResponse':
      return `${head} ${message.reject ? 'no' : 'yes'}`
    case 'heartbeat':
      return `${head} commit ${message.commit} context ${message.context}`
    case 'heartbeatResponse':
    case 'readIndex':
      return `${head} context ${message.context}`
    case 'readIndexResponse':
      return `${head} context ${message.context} index ${message.index}`
    default:
      return head
  }
}
