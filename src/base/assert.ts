/**
 * Assertions that stay on in production.
 *
 * They state what the types cannot: order, monotonicity, contiguity, single ownership. They are for bugs of
 * this project only; bytes from disk or network and arguments from users are validated, never asserted.
 */

/** A broken invariant: the member that throws it stops; it is never caught and carried on from. */
export class InvariantError extends Error {
  override readonly name: string = 'InvariantError'
  readonly details: Readonly<Record<string, unknown>>

  constructor(message: string, details: Readonly<Record<string, unknown>>) {
    super(`${message} ${JSON.stringify(details)}`)
    this.details = details
  }
}

/** Throws an InvariantError unless `condition` holds. Keep `message` constant: a template costs 300 times more. */
export function assert(
  condition: boolean,
  message: string,
  details?: Readonly<Record<string, unknown>>,
): asserts condition {
  if (!condition) throw new InvariantError(message, details ?? {})
}

/** Ends an exhaustive switch: fails to compile when a case is missing, throws when a value slipped past. */
export function unreachable(value: never): never {
  throw new InvariantError('unreachable case', { value })
}
