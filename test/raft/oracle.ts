/**
 * What must hold across the nodes of a cluster, checked from outside after every action:
 *
 *   R1  at most one leader per term
 *   R2  a leader only appends to its log
 *   R3  logs that share an entry share everything before it
 *   R4  a new leader has every entry that was ever committed
 *   R5  no two nodes apply different entries at one index
 *   R6  an entry is durable on a quorum of voters at the moment it is committed
 *   R7  what is committed never changes
 *   R8  previous <= applied <= commit <= last on every node (the cores check themselves)
 *   R9  term, vote within a term and commit never go back, also across restarts for what is durable
 */
import assert from 'node:assert/strict'
import type { Entry, LogIndex, NodeId, Term } from '../../src/raft/types.js'
import type { Cluster, Node } from './harness.js'

interface Seen {
  readonly starts: number
  readonly term: Term
  readonly vote: NodeId
  readonly commit: LogIndex
  readonly lastIndex: LogIndex
  readonly role: string
}

/** Remembers what was seen of a cluster and compares. */
export class Oracle {
  readonly #leaders: Map<Term, NodeId> = new Map()
  /** What stands before each entry that was ever seen: `index/term` -> the entry and its predecessor. */
  readonly #chain: Map<string, string> = new Map()
  readonly #committed: Map<LogIndex, string> = new Map()
  readonly #applied: Map<LogIndex, string> = new Map()
  readonly #seen: Map<NodeId, Seen> = new Map()
  /** How many commits were checked: a test that commits nothing proves nothing. */
  commits = 0
  /** The highest index committed on any node. */
  commitIndex: LogIndex = 0

  check(cluster: Cluster): void {
    for (const node of cluster.up) {
      node.core.checkInvariants()
      this.#checkNode(cluster, node)
    }
  }

  applied(entry: Entry): void {
    const name = nameOf(entry)
    const known = this.#applied.get(entry.index)
    assert.ok(known === undefined || known === name, `R5: ${known} and ${name} at ${entry.index}`)
    this.#applied.set(entry.index, name)
    this.#commit(entry)
  }

  #checkNode(cluster: Cluster, node: Node): void {
    const { core, id } = node
    const before = this.#seen.get(id)
    const { role, term, vote, commitIndex: commit, lastIndex, conf } = core.status()
    if (before?.starts === node.starts && before.commit === commit && before.role === role) {
      if (before.term === term && before.vote === vote && before.lastIndex === lastIndex) return
    }
    this.#seen.set(id, { starts: node.starts, term, vote, commit, lastIndex, role })
    if (before !== undefined) this.#checkProgress(node, before)
    if (role === 'leader') {
      const known = this.#leaders.get(term) ?? id
      assert.equal(known, id, `R1: ${known} and ${id} lead term ${term}`)
      this.#leaders.set(term, id)
      if (before?.role !== 'leader' || before.term !== term) this.#checkCompleteness(node)
    }
    this.#checkChain(node)
    this.#noteCommitted(node, commit)
    // Followers hear of it later, when they may have another configuration already.
    if (role !== 'leader' || before?.term !== term || before.role !== 'leader') return
    for (let index = before.commit + 1; index <= commit; index++) {
      const voters = [conf.voters, conf.votersOutgoing]
      for (const half of voters) checkDurable(cluster, node, half, index)
    }
  }

  #checkProgress({ id, core, starts }: Node, before: Seen): void {
    const { term, vote, commitIndex, lastIndex, role } = core.status()
    assert.ok(term >= before.term || starts !== before.starts, `R9: term of ${id} fell`)
    if (starts !== before.starts) return
    assert.ok(commitIndex >= before.commit, `R9: commit of ${id} fell`)
    if (term === before.term && before.vote !== 0) assert.equal(vote, before.vote, 'R9: vote')
    if (role === 'leader' && before.role === 'leader' && term === before.term) {
      assert.ok(lastIndex >= before.lastIndex, `R2: leader ${id} cut its log`)
    }
  }

  #checkCompleteness({ id, core, disk }: Node): void {
    for (const [index, name] of this.#committed) {
      if (index <= disk.previous.index) continue
      const term = core.termAt(index)
      assert.ok(name.startsWith(`${term}:`), `R4: leader ${id} lacks ${name} at ${index}`)
    }
  }

  /** Only what is durable can be seen from outside; what is not yet will be. */
  #checkChain({ disk }: Node): void {
    let before = disk.entries[0] === undefined ? '' : `${disk.previous.index}/${disk.previous.term}`
    for (const entry of disk.entries) {
      const key = `${entry.index}/${entry.term}`
      const link = `${before} ${nameOf(entry)}`
      const known = this.#chain.get(key)
      assert.ok(known === undefined || known === link, `R3: ${known} and ${link} at ${key}`)
      this.#chain.set(key, link)
      before = key
    }
  }

  #noteCommitted(node: Node, commit: LogIndex): void {
    for (let index = node.disk.previous.index + 1; index <= commit; index++) {
      const entry = node.entryAt(index)
      // Committed by others before it is durable here, or about to be replaced: then it is not yet ours.
      if (entry === undefined || entry.term !== node.core.termAt(index)) return
      this.#commit(entry)
    }
  }

  #commit(entry: Entry): void {
    const known = this.#committed.get(entry.index)
    const name = nameOf(entry)
    assert.ok(known === undefined || known === name, `R7: ${known} and ${name} at ${entry.index}`)
    if (known !== undefined) return
    this.#committed.set(entry.index, name)
    this.commits++
    this.commitIndex = Math.max(this.commitIndex, entry.index)
  }
}

/** R6, on the disks and not on what the cores believe of them. */
function checkDurable(
  cluster: Cluster,
  leader: Node,
  voters: readonly NodeId[],
  index: LogIndex,
): void {
  const term = leader.core.termAt(index)
  if (term === undefined || voters.length === 0) return
  // Peers that a test plays itself have no disk to look at.
  if (voters.some((id) => !cluster.nodes.has(id))) return
  const holders = voters.filter((id) => {
    const node = cluster.node(id)
    return node.disk.previous.index >= index || node.entryAt(index)?.term === term
  })
  const message = `R6: ${term}/${index} committed by ${leader.id} on ${holders} of ${voters}`
  assert.ok(holders.length * 2 > voters.length, message)
}

function nameOf(entry: Entry): string {
  return `${entry.term}:${entry.kind}:${Buffer.from(entry.data).toString('latin1')}`
}
