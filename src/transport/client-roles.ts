/**
 * Who a client is and what it may do, decided by what it has proven: a secret of its own, the secret of the members, or
 * a certificate with a name.
 *
 * Without rules everybody who comes in is an admin. With rules:
 *   1. who proves the secret of a rule has the role of that rule
 *   2. who shows a certificate with the name of a rule has the role of that rule
 *   3. who has the members' secret where there is no TLS could pose as a member, and so is an admin
 *   4. any other certificate of the authority may only ask for its holder to become a member
 *   5. everybody else is refused
 */
import { StoreError } from '../base/errors.js'
import { CLIENT_ROLES, type ClientRole } from '../wire/client-news.js'
import { isProofOf, type Transcript } from './session-key.js'

/** A role, and whose it is: the holder of a certificate with `name`, or of `secret`. Exactly one of them is given. */
export interface ClientRule {
  readonly name: string | undefined
  readonly secret: Uint8Array | undefined
  readonly role: ClientRole
}

/** What decides about clients. */
export interface ClientRules {
  /** The members' own; undefined without one. */
  readonly secret: Uint8Array | undefined
  /** Undefined: everybody who comes in is an admin. */
  readonly clients: readonly ClientRule[] | undefined
}

/** A client that has proven who it is. */
export interface ProvenClient {
  readonly role: ClientRole
  /** What it proved, which keys the frames of its connection, too. */
  readonly secret: Uint8Array | undefined
}

/** Whether `role` may do what needs `least`. */
export function mayAct(role: ClientRole, least: ClientRole): boolean {
  return CLIENT_ROLES.indexOf(role) >= CLIENT_ROLES.indexOf(least)
}

/**
 * Who sent `proof`.
 * @throws {StoreError} QUORATE_UNAUTHORIZED the proof is of no secret that is known here
 */
export function proveClient(
  { secret, clients }: ClientRules,
  names: readonly string[] | undefined,
  transcript: Transcript,
  proof: Uint8Array,
): ProvenClient {
  for (const { secret: own, role } of clients ?? []) {
    if (own !== undefined && isProofOf('dialer', own, transcript, proof)) {
      return { role, secret: own }
    }
  }
  if (!isProofOf('dialer', secret, transcript, proof)) {
    const isOpen =
      secret === undefined && (clients ?? []).every((rule) => rule.secret === undefined)
    const message = isOpen ? 'no shared secret is used here' : 'wrong shared secret'
    throw new StoreError('QUORATE_UNAUTHORIZED', message)
  }
  if (clients === undefined) return { role: 'admin', secret }
  if (names === undefined) return { role: withoutCertificate(secret), secret }
  const rule = clients.find(({ name }) => name !== undefined && names.includes(name))
  return { role: rule?.role ?? 'join', secret }
}

function withoutCertificate(secret: Uint8Array | undefined): ClientRole {
  if (secret !== undefined) return 'admin'
  throw new StoreError('QUORATE_UNAUTHORIZED', 'this member knows its clients by a secret')
}
