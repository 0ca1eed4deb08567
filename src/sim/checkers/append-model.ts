/** A string per key with get, put and append: the model of the key-value histories that porcupine publishes. */
import type { Model } from './model.js'

/** An operation with its result; `undefined` where the result is not known. */
export type AppendOperation =
  | { readonly f: 'get'; readonly value: string | undefined }
  | { readonly f: 'put' | 'append'; readonly value: string }

/** One key, empty at first. */
export const appendModel: Model<AppendOperation, string> = {
  initial: '',

  step(state, operation) {
    switch (operation.f) {
      case 'get':
        return operation.value === undefined || operation.value === state ? state : undefined
      case 'put':
        return operation.value
      case 'append':
        return state + operation.value
    }
  },

  isObserver(operation) {
    return operation.f === 'get'
  },

  describe(operation) {
    return `${operation.f} ${operation.value === undefined ? '?' : JSON.stringify(operation.value)}`
  },

  describeState(state) {
    return JSON.stringify(state)
  },
}
