/** A register with read, write and compare-and-set: the model of one key, and of Jepsen's etcd logs. */
import type { Model } from './model.js'

/** What a register holds; `null` is nothing. */
export type RegisterValue = string | number | boolean | null

/** An operation with its result; `undefined` where the result is not known. */
export type RegisterOperation =
  | { readonly f: 'read'; readonly value: RegisterValue | undefined }
  | { readonly f: 'write'; readonly value: RegisterValue }
  | {
      readonly f: 'cas'
      readonly from: RegisterValue
      readonly to: RegisterValue
      readonly swapped: boolean | undefined
    }

/** A register that holds nothing at first. */
export const registerModel: Model<RegisterOperation, RegisterValue> = {
  initial: null,

  step(state, operation) {
    switch (operation.f) {
      case 'read':
        return operation.value === undefined || operation.value === state ? state : undefined
      case 'write':
        return operation.value
      case 'cas': {
        const matches = operation.from === state
        if (operation.swapped !== undefined && operation.swapped !== matches) return undefined
        return matches ? operation.to : state
      }
    }
  },

  isObserver(operation) {
    return operation.f === 'read' || (operation.f === 'cas' && operation.swapped === false)
  },

  describe(operation) {
    switch (operation.f) {
      case 'read':
        return `read ${operation.value === undefined ? '?' : JSON.stringify(operation.value)}`
      case 'write':
        return `write ${JSON.stringify(operation.value)}`
      case 'cas': {
        const outcome = { true: '', false: ': refused', undefined: ': ?' }[`${operation.swapped}`]
        const from = JSON.stringify(operation.from)
        return `cas ${from} to ${JSON.stringify(operation.to)}${outcome}`
      }
    }
  },

  describeState(state) {
    return JSON.stringify(state)
  },
}
