/**
 * Commands with large values: which of their puts are stored as shards, and the same commands with manifests instead.
 *
 * Such a command is sent some time after its call, so everything in it is copied that is the caller's.
 */
import type { Command, Operation, Put } from '../wire/command.js'
import type { Source, Uploaded } from './uploads.js'

/** A command, and where the values of its large puts come from. */
export interface LargeCommand {
  readonly command: Command
  readonly sources: ReadonlyMap<Put, Source>
}

/** Which values a command has: those of `binary` encoding are the caller's own memory, the others are made for it. */
export type ValueOwner = 'caller' | 'store'

/** Whether any of `operations` puts more than `codeAbove` bytes. */
export function hasLarge(operations: readonly Operation[], codeAbove: number): boolean {
  for (const operation of operations) {
    if (operation.type === 'put' && operation.value.length > codeAbove) return true
  }
  return false
}

/** `command` in memory of its own, with its large puts. */
export function largeCommandOf(
  given: Command,
  codeAbove: number,
  values: ValueOwner,
): LargeCommand {
  const command = owned(given, values)
  const large = operationsOf(command).filter(
    (operation): operation is Put => operation.type === 'put' && operation.value.length > codeAbove,
  )
  const sources = large.map((put) => [put, { type: 'bytes', bytes: put.value }] as const)
  return { command, sources: new Map(sources) }
}

/** `command` with the manifests of what was uploaded. */
export function withManifests(command: Command, uploaded: ReadonlyMap<Put, Uploaded>): Command {
  const coded = (operations: readonly Operation[]): Operation[] =>
    operations.map((operation) => {
      const upload = operation.type === 'put' ? uploaded.get(operation) : undefined
      if (upload === undefined) return operation
      return { ...(operation as Put), value: upload.manifest, coded: true }
    })
  switch (command.type) {
    case 'write':
      return { ...command, operations: coded(command.operations) }
    case 'txn':
      return { ...command, then: coded(command.then), else: coded(command.else) }
    default:
      return command
  }
}

/** The operations of a command, those of both branches. */
function operationsOf(command: Command): readonly Operation[] {
  switch (command.type) {
    case 'write':
      return command.operations
    case 'txn':
      return [...command.then, ...command.else]
    default:
      return []
  }
}

/** A copy, down to the bytes; values stay where they are when they are the Store's. */
function owned<T>(thing: T, values: ValueOwner, name?: string): T {
  if (thing instanceof Uint8Array) {
    const isOwned = name === 'value' && values === 'store'
    return (isOwned ? thing : Buffer.from(thing)) as T
  }
  if (Array.isArray(thing)) return thing.map((item) => owned(item, values)) as T
  if (typeof thing !== 'object' || thing === null) return thing
  const copies = Object.entries(thing).map(([key, field]) => [key, owned(field, values, key)])
  return Object.fromEntries(copies)
}
