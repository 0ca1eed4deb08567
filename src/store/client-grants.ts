/** How connections are protected and what clients may do, as users say it: checked where it enters. */
import type { ClientRule } from '../transport/client-roles.js'

/** The roles of clients: each may what those before it may. */
export type GrantedRole = 'read' | 'write' | 'admin'

/** What one client, or all that share a name or a secret, may do. */
export type ClientGrant =
  /** The holder of a certificate with this common name or DNS name. */
  | { readonly name: string; readonly role: GrantedRole }
  /** Who knows this secret, of at least 16 bytes. */
  | { readonly secret: string | Uint8Array; readonly role: GrantedRole }

const ROLES: readonly string[] = ['read', 'write', 'admin']
const GRANTS_MAX = 1_000
const SECRET_BYTES_MIN = 16

/** The bytes of the secret in option `name`. @throws {TypeError | RangeError} */
export function resolveSecret(name: string, secret: unknown): Uint8Array | undefined {
  if (secret === undefined) return undefined
  const bytes = typeof secret === 'string' ? Buffer.from(secret, 'utf8') : secret
  if (!(bytes instanceof Uint8Array)) {
    throw new TypeError(`${name} is a string or a Uint8Array`)
  }
  if (bytes.length < SECRET_BYTES_MIN) {
    throw new RangeError(`${name} has at least ${SECRET_BYTES_MIN} bytes`)
  }
  return bytes
}

/**
 * The rules for clients.
 * @param isProtected whether nobody can pose as a member: without that, roles would promise what they do not keep
 * @throws {TypeError | RangeError}
 */
export function resolveGrants(
  grants: unknown,
  isProtected: boolean,
): readonly ClientRule[] | undefined {
  if (grants === undefined) return undefined
  if (!Array.isArray(grants)) {
    throw new TypeError('clients is a list of { name, role } and { secret, role }')
  }
  if (grants.length > GRANTS_MAX) throw new RangeError(`clients has up to ${GRANTS_MAX} entries`)
  if (!isProtected) throw new TypeError('clients needs tls or secret')
  return grants.map(resolveGrant)
}

function resolveGrant(grant: unknown): ClientRule {
  const { name, secret, role, ...rest } = Object(grant) as Partial<Record<string, unknown>>
  const [unknown] = Object.keys(rest)
  if (unknown !== undefined) throw new TypeError(`an entry of clients has no option ${unknown}`)
  if ((name === undefined) === (secret === undefined)) {
    throw new TypeError('an entry of clients has a name or a secret')
  }
  if (name !== undefined && (typeof name !== 'string' || name === '')) {
    throw new TypeError('the name of a client is that of its certificate')
  }
  if (typeof role !== 'string' || !ROLES.includes(role)) {
    throw new TypeError(`the role of a client is one of ${ROLES.join(', ')}`)
  }
  return { name, secret: resolveSecret('secret', secret), role: role as GrantedRole }
}
