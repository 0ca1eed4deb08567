/**
 * The bytes of a configuration change inside an entry, and what a change asks for.
 *
 *   change   u8 version = 1 | u8 transition | u16 stepCount | step* | context (the rest)
 *   step     u8 kind | u64 node
 *
 * Integers are little-endian. Empty data is the change that leaves a joint configuration. On disk and on the
 * wire: never change the meaning of a number here, add new ones.
 */
import { asBuffer, EMPTY, readU64, writeU64 } from '../base/bytes.js'
import type { ConfChangeStep, ConfChangeV2, ConfTransition } from './types.js'

const VERSION = 1
const HEADER_BYTES = 4
const STEP_BYTES = 9
const TRANSITIONS: readonly ConfTransition[] = ['auto', 'jointImplicit', 'jointExplicit']
const KINDS: readonly ConfChangeStep['kind'][] = ['addVoter', 'addLearner', 'remove', 'update']

/** The change that leaves a joint configuration. */
export const LEAVE_JOINT: ConfChangeV2 = { transition: 'auto', steps: [], context: EMPTY }

/** The data of an entry that carries `change`. At most 65,535 steps. */
export function encodeConfChange(change: ConfChangeV2): Uint8Array {
  const { steps, context } = change
  if (leavesJoint(change) && context.length === 0) return EMPTY
  const data = Buffer.alloc(HEADER_BYTES + steps.length * STEP_BYTES + context.length)
  data[0] = VERSION
  data[1] = TRANSITIONS.indexOf(change.transition)
  data.writeUInt16LE(steps.length, 2)
  let offset = HEADER_BYTES
  for (const step of steps) {
    data[offset] = KINDS.indexOf(step.kind)
    writeU64(data, step.node, offset + 1)
    offset += STEP_BYTES
  }
  data.set(context, offset)
  return data
}

/** Reads the data of a configuration change entry; undefined when it cannot be one. `context` views `bytes`. */
export function decodeConfChange(bytes: Uint8Array): ConfChangeV2 | undefined {
  if (bytes.length === 0) return LEAVE_JOINT
  const data = asBuffer(bytes)
  const transition = TRANSITIONS[data[1] ?? -1]
  if (data[0] !== VERSION || data.length < HEADER_BYTES || transition === undefined)
    return undefined
  const stepCount = data.readUInt16LE(2)
  const contextStart = HEADER_BYTES + stepCount * STEP_BYTES
  if (contextStart > data.length) return undefined
  const steps: ConfChangeStep[] = []
  for (let offset = HEADER_BYTES; offset < contextStart; offset += STEP_BYTES) {
    const kind = KINDS[data[offset]!]
    const node = readU64(data, offset + 1)
    if (kind === undefined || node === undefined) return undefined
    steps.push({ kind, node })
  }
  return { transition, steps, context: data.subarray(contextStart) }
}

/** Whether `change` is the one that leaves a joint configuration. */
export function leavesJoint(change: ConfChangeV2): boolean {
  return change.transition === 'auto' && change.steps.length === 0
}

/** Whether `change` goes through a joint configuration, and whether that one is left without being asked. */
export function jointKind(change: ConfChangeV2): 'none' | 'autoLeave' | 'explicitLeave' {
  if (change.transition === 'jointExplicit') return 'explicitLeave'
  if (change.transition === 'jointImplicit' || change.steps.length > 1) return 'autoLeave'
  return 'none'
}
