/** Keys and commands in words. */
import { unreachable } from '../../base/assert.js'
import { asBuffer } from '../../base/bytes.js'
import type { KeyRange } from '../../env/database.js'
import type { Command, Compare, Expiry, Operation } from '../../wire/command.js'
import { blobName, decodeManifest } from '../../wire/manifest.js'
import { bytes, count } from '../terminal.js'

const KEY_SHOWN = 60

/** A key as text in quotes if it is text, else in hexadecimal. */
export function describeKey(key: Uint8Array): string {
  const text = asBuffer(key).toString('utf8')
  const isText = asBuffer(key).equals(Buffer.from(text, 'utf8')) && !/\p{Cc}/u.test(text)
  const shown = isText ? JSON.stringify(text) : `0x${asBuffer(key).toString('hex')}`
  return shown.length > KEY_SHOWN ? `${shown.slice(0, KEY_SHOWN)}…` : shown
}

/** What a command asks for, in lines. */
export function describeCommand(command: Command): string[] {
  switch (command.type) {
    case 'write':
      return command.operations.map(describeOperation)
    case 'txn':
      return [
        ...command.compares.map((compare) => `if ${describeCompare(compare)}`),
        ...command.then.map((operation) => `then ${describeOperation(operation)}`),
        ...command.else.map((operation) => `else ${describeOperation(operation)}`),
      ]
    case 'grant':
      return [`grant lease ${hex(command.lease)} for ${count(command.ttlMs)} ms`]
    case 'keepAlive':
      return [`keep lease ${hex(command.lease)} alive`]
    case 'revoke':
      return [`revoke lease ${hex(command.lease)}`]
    case 'expire':
      return [
        ...command.keys.map(
          ({ key, revision }) => `expire ${describeKey(key)} of entry ${count(revision)}`,
        ),
        ...command.leases.map(
          ({ lease, generation }) => `expire lease ${hex(lease)} of entry ${count(generation)}`,
        ),
        ...command.detached.map(
          ({ lease, key }) => `detach ${describeKey(key)} from lease ${hex(lease)}`,
        ),
      ]
    case 'respread': {
      const { expected, put } = command
      const { id } = decodeManifest(put.value)
      return [`spread ${describeKey(put.key)} anew: ${blobName(id)} for ${blobName(expected)}`]
    }
    case 'forget':
      return command.keys.map((key) => `forget that ${describeKey(key)} was a large value`)
    case 'retain':
      return [`retain the state here, in ${count(command.dataShards)} data shards`]
    case 'retained':
      return [`the state retained at index ${count(command.index)} is durable`]
    default:
      return unreachable(command)
  }
}

function describeOperation(operation: Operation): string {
  switch (operation.type) {
    case 'put': {
      const { key, value, expiry, coded } = operation
      const what = coded ? describeCoded(value) : bytes(value.length)
      return `put ${describeKey(key)}, ${what}${describeExpiry(expiry)}`
    }
    case 'del':
      return `del ${describeKey(operation.key)}`
    case 'clear': {
      const { limit, reverse, range } = operation
      const most = limit === Number.POSITIVE_INFINITY ? 'all' : `up to ${count(limit)}`
      return `clear ${most}${reverse ? ', the last first,' : ''} of ${describeRange(range)}`
    }
    default:
      return unreachable(operation)
  }
}

/** A large value by its manifest. */
export function describeCoded(manifest: Uint8Array): string {
  const { id, bytes: size, parts } = decodeManifest(manifest)
  return `${bytes(size)} in shards, blob ${blobName(id)} of ${count(parts.length)} parts`
}

function describeExpiry(expiry: Expiry | undefined): string {
  if (expiry === undefined) return ''
  if (expiry.type === 'ttl') return `, for ${count(expiry.ttlMs)} ms`
  return `, with lease ${hex(expiry.lease)}`
}

function describeCompare(compare: Compare): string {
  switch (compare.type) {
    case 'revision':
      return `${describeKey(compare.key)} is of entry ${count(compare.revision)}`
    case 'exists':
    case 'absent':
      return `${describeKey(compare.key)} ${compare.type === 'exists' ? 'exists' : 'is absent'}`
    case 'value':
      return `${describeKey(compare.key)} has a value of ${bytes(compare.value.length)}`
    case 'empty':
      return `nothing is in ${describeRange(compare.range)}`
    default:
      return unreachable(compare)
  }
}

function describeRange({ gt, gte, lt, lte }: KeyRange): string {
  const from = gt === undefined ? `[${describeKey(gte ?? NONE)}` : `(${describeKey(gt)}`
  if (lte !== undefined) return `${from}, ${describeKey(lte)}]`
  return `${from}, ${lt === undefined ? '…' : describeKey(lt)})`
}

const NONE = Buffer.alloc(0)

function hex(bytesOf: Uint8Array): string {
  return asBuffer(bytesOf).toString('hex')
}
