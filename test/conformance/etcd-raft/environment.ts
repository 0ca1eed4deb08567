/**
 * The environment of etcd-io/raft's interaction scripts: several cores, their storage, and the messages between
 * them, driven and shown command by command.
 *
 * The scripts know two ways to drive a core. With asynchronous storage writes every write and apply is a
 * message to a thread and back, as this core has it natively. Without, a Ready is written and applied at once,
 * and committed entries may be applied in the very Ready that writes them; this core never applies what is not
 * durable (design D2), so here the write is finished first and the entries that then become applicable are
 * shown as part of the same Ready.
 */
import { encodeConfChange } from '../../../src/raft/conf-change.js'
import type { ConfChangeV2, Message, NodeId, ProposedEntry } from '../../../src/raft/types.js'
import { type Directive, optionOf } from './datadriven.js'
import {
  entryText,
  lineOf,
  messageName,
  normalEntry,
  parseSteps,
  peerText,
  render,
  roleName,
} from './notation.js'
import { type Delivery, ScriptNode } from './script-node.js'

const TRANSITIONS: Readonly<Record<string, ConfChangeV2['transition']>> = {
  auto: 'auto',
  implicit: 'jointImplicit',
  explicit: 'jointExplicit',
}

/** What an error of the original says where a script shows it. */
const DROPPED = 'raft proposal dropped'
const UNKNOWN_PEER = 'raft: cannot step as peer not found'

/** Runs the commands of one interaction script. */
export class Environment {
  readonly #nodes: ScriptNode[] = []
  #deliveries: Delivery[] = []
  #lines: string[] = []
  #indent = ''
  #isQuiet = false

  /** Runs a command and gives its output, `ok` when there is none. */
  handle(directive: Directive): string {
    this.#lines = []
    const wasQuiet = this.#isQuiet
    if (optionOf(directive, 'log-level')[0] === 'none') this.#isQuiet = true
    const error = this.#run(directive)
    const isSilent = this.#isQuiet
    if (optionOf(directive, 'log-level').length > 0) this.#isQuiet = wasQuiet
    if (error !== undefined) this.#lines.push(error)
    if (isSilent && error === undefined) return 'ok'
    return this.#lines.length === 0 ? 'ok' : this.#lines.join('\n')
  }

  /** Does what a command says; returns the error that the original prints for it. */
  #run(directive: Directive): string | undefined {
    const { command, words } = directive
    const ids = words.map(Number)
    const first = this.#nodes[(ids[0] ?? 0) - 1]
    switch (command) {
      case 'log-level':
        this.#isQuiet = words[0] === 'none'
        return undefined
      case 'add-nodes':
        return this.#addNodes(Number(words[0]), directive)
      case 'deliver-msgs':
        return this.#deliverMessages(directive)
      case 'stabilize':
        return this.#stabilize(ids)
      case 'process-ready':
        return this.#forEach(ids, 'handling Ready', (node) => this.#processReady(node))
      case 'process-append-thread':
        return this.#forEach(ids, 'processing append thread', (node) => this.#processAppend(node))
      case 'process-apply-thread':
        return this.#forEach(ids, 'processing apply thread', (node) => this.#processApply(node))
      case 'raft-state':
        for (const node of this.#nodes) this.#print(stateText(node))
        return undefined
      case 'transfer-leadership': {
        const [from, to] = ['from', 'to'].map((key) => Number(optionOf(directive, key)[0]))
        this.#nodes[from! - 1]!.core.step({ type: 'transferLeader', to: to! })
        return undefined
      }
      default:
        return first === undefined ? `no such node` : this.#runOn(first, directive, ids)
    }
  }

  /** The commands about one node. */
  #runOn(node: ScriptNode, directive: Directive, ids: readonly NodeId[]): string | undefined {
    const { command, words } = directive
    switch (command) {
      case 'campaign':
        node.core.step({ type: 'campaign' })
        return undefined
      case 'propose':
        return this.#propose(node, normalEntry(words[1] ?? ''))
      case 'propose-conf-change':
        return this.#proposeChange(node, directive)
      case 'tick-election':
        return node.tick(node.options.electionTicks)
      case 'tick-heartbeat':
        return node.tick(node.options.heartbeatTicks)
      case 'set-randomized-election-timeout':
        node.core.setElectionTimeout(Number(optionOf(directive, 'timeout')[0]))
        return undefined
      case 'compact':
        node.compact(ids[1]!)
        return undefined
      case 'send-snapshot':
        return this.#sendSnapshot(node, ids[1]!)
      case 'forget-leader':
        node.core.step({ type: 'forgetLeader' })
        return undefined
      case 'report-unreachable':
        node.core.step({ type: 'unreachable', peer: ids[1]! })
        return undefined
      case 'status':
        for (const line of node.statusLines(peerText)) this.#print(line)
        return undefined
      case 'raft-log':
        for (const line of node.logLines(entryText)) this.#print(line)
        return undefined
      default:
        return `unknown command ${command}`
    }
  }

  #print(text: string): void {
    for (const line of text.split('\n')) this.#lines.push(`${this.#indent}${line}`)
  }

  /** One node is shown as it is, several under a heading each. */
  #forEach(
    ids: readonly NodeId[],
    heading: string,
    action: (node: ScriptNode) => void,
  ): string | undefined {
    for (const id of ids) {
      const node = this.#nodes[id - 1]!
      if (ids.length === 1) action(node)
      else this.#under(`> ${id} ${heading}`, () => action(node))
    }
    return undefined
  }

  #under(heading: string, action: () => void): void {
    this.#print(heading)
    const outer = this.#indent
    this.#indent = `${outer}  `
    action()
    this.#indent = outer
  }

  #addNodes(count: number, directive: Directive): string | undefined {
    for (let i = 0; i < count; i++) {
      this.#nodes.push(new ScriptNode(this.#nodes.length + 1, directive))
    }
    return undefined
  }

  #propose(node: ScriptNode, entry: ProposedEntry): string | undefined {
    if (!node.takesProposals) return DROPPED
    node.core.step({ type: 'propose', token: 0, entries: [entry] })
    return undefined
  }

  #proposeChange(node: ScriptNode, directive: Directive): string | undefined {
    const isFirstVersion = optionOf(directive, 'v1')[0] === 'true'
    const transition = TRANSITIONS[optionOf(directive, 'transition')[0] ?? 'auto']
    if (transition === undefined) return 'unknown transition'
    const steps = parseSteps(directive.input)
    if (isFirstVersion && (steps.length !== 1 || transition !== 'auto')) {
      return 'v1 conf change can only have one operation and no transition'
    }
    const data = encodeConfChange({ transition, steps, context: new Uint8Array(0) })
    return this.#propose(node, { kind: isFirstVersion ? 'confChange' : 'confChangeV2', data })
  }

  #sendSnapshot(node: ScriptNode, to: NodeId): undefined {
    const delivery = this.#deliveryOf(node.snapshotMessage(to))
    this.#print(delivery.text)
    this.#deliveries.push(delivery)
    return undefined
  }

  #deliverMessages(directive: Directive): string | undefined {
    const name = optionOf(directive, 'type')[0]
    const dropped = optionOf(directive, 'drop').map(Number)
    const received = directive.words.map(Number)
    let count = 0
    for (const id of received) count += this.#receive(id, name)
    for (const id of dropped) count += this.#drop(id, name)
    if (count === 0) this.#print('no messages')
    return undefined
  }

  #receive(id: NodeId, name: string | undefined): number {
    const taken = this.#take((one) => one.to === id && (name === undefined || one.name === name))
    for (const delivery of taken) {
      if (delivery.isShown) this.#print(delivery.text)
      const error = delivery.deliver()
      if (error !== undefined) this.#print(error)
    }
    return taken.filter((delivery) => delivery.isShown).length
  }

  #drop(id: NodeId, name: string | undefined): number {
    const taken = this.#take(
      (one) => one.to === id && !one.isLocal && (name === undefined || one.name === name),
    )
    for (const { text } of taken) this.#print(`dropped: ${text}`)
    return taken.length
  }

  #take(wanted: (delivery: Delivery) => boolean): Delivery[] {
    const taken = this.#deliveries.filter(wanted)
    this.#deliveries = this.#deliveries.filter((delivery) => !wanted(delivery))
    return taken
  }

  /** Lets the nodes work in rounds until nothing is left to do. */
  #stabilize(ids: readonly NodeId[]): undefined {
    const nodes = ids.length === 0 ? this.#nodes : ids.map((id) => this.#nodes[id - 1]!)
    for (let isDone = false; !isDone; ) {
      isDone = true
      const work = (node: ScriptNode, heading: string, action: () => void) => {
        isDone = false
        this.#under(`> ${node.id} ${heading}`, action)
      }
      for (const node of nodes) {
        if (node.hasReady) work(node, 'handling Ready', () => this.#processReady(node))
      }
      for (const node of nodes) {
        const hasMessages = this.#deliveries.some((one) => one.to === node.id && one.isShown)
        if (hasMessages) work(node, 'receiving messages', () => this.#receive(node.id, undefined))
      }
      for (const node of nodes) {
        if (!node.hasAppendWork) continue
        work(node, 'processing append thread', () => {
          while (node.hasAppendWork) this.#processAppend(node)
        })
      }
      for (const node of nodes) {
        if (!node.hasApplyWork) continue
        work(node, 'processing apply thread', () => {
          while (node.hasApplyWork) this.#processApply(node)
        })
      }
    }
    return undefined
  }

  #processReady(node: ScriptNode): void {
    const { shown, messages } = node.takeReady()
    this.#print(shown)
    for (const message of messages) this.#deliveries.push(this.#deliveryOf(message))
    node.finishReady()
  }

  #processAppend(node: ScriptNode): void {
    const work = node.processAppend()
    if (work === undefined) {
      this.#print('no append work to perform')
      return
    }
    this.#print('Processing:')
    this.#print(render(work.request))
    this.#print('Responses:')
    for (const response of work.responses) {
      const delivery = 'message' in response ? this.#deliveryOf(response.message) : response
      if (delivery.isShown) this.#print(delivery.text)
      this.#deliveries.push(delivery)
    }
  }

  #processApply(node: ScriptNode): void {
    const work = node.processApply()
    if (work === undefined) {
      this.#print('no apply work to perform')
      return
    }
    this.#print('Processing:')
    this.#print(render(work.request))
    this.#print('Responses:')
    this.#print(work.response.text)
    this.#deliveries.push(work.response)
  }

  #deliveryOf(message: Message): Delivery {
    return {
      to: message.to,
      name: messageName(message.type),
      text: render(lineOf(message)),
      isLocal: false,
      isShown: true,
      deliver: () => {
        const node = this.#nodes[message.to - 1]!
        if (!node.accepts(message)) return UNKNOWN_PEER
        node.core.step({ type: 'receive', message })
        return undefined
      },
    }
  }
}

function stateText({ id, core }: ScriptNode): string {
  const { role, conf, term, leader } = core.status()
  const isVoter = conf.voters.includes(id) || conf.votersOutgoing.includes(id)
  return `${id}: ${roleName(role)} (${isVoter ? 'Voter' : 'Non-Voter'}) Term:${term} Lead:${leader}`
}
