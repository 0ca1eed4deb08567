/**
 * The child's side: holds one store and answers its parent's calls over IPC until it is told to close.
 *
 * Calls run side by side; the parent bounds how many. A child whose parent is gone ends at once: nobody could
 * stop it any more.
 */
import { type OpenOptions, Store, StoreError } from '../../index.js'
import { complain } from '../terminal.js'
import type { Failure, Operations, Request, Response } from './operations.js'

/** Serves `operations` to the parent; besides them there are `open` and `close`. Call it once per process. */
export function hostMember(operations: Operations): void {
  let store: Store | undefined
  const carryOut = async ({ operation, request }: Request): Promise<unknown> => {
    if (operation === 'open') {
      store = await Store.open(request as OpenOptions)
      store.on('fatal', (error) =>
        complain(`member ${store?.status().id} has stopped: ${error.stack}`),
      )
      return undefined
    }
    if (store === undefined) throw new StoreError('QUORATE_NOT_OPEN', 'the store is not open')
    if (operation === 'close') return store.close()
    const run = operations[operation]
    if (run === undefined) throw new TypeError(`no operation '${operation}'`)
    return run(store, request as never)
  }
  process.on('message', (request: Request) => {
    carryOut(request).then(
      (result) => respond({ call: request.call, result }),
      (error: unknown) => respond({ call: request.call, failure: failureOf(error) }),
    )
  })
  process.on('disconnect', () => process.exit(0))
  // Ctrl-C reaches every process of the terminal: the parent decides what becomes of its members.
  process.on('SIGINT', () => {})
}

function respond(response: Response): void {
  // The parent may be gone by now; `disconnect` ends this process then.
  if (process.connected) process.send?.(response)
}

function failureOf(error: unknown): Failure {
  if (error instanceof StoreError) {
    const { message, code, outcome, retryable } = error
    return { message, code, outcome, retryable }
  }
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return { message, code: undefined, outcome: undefined, retryable: false }
}
