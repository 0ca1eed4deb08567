/** Which calls a client may make: each needs a role, and one that only wants to join may ask for nobody but itself. */
import { mayAct } from '../transport/client-roles.js'
import type { ClientPort } from '../transport/served-client.js'
import type { ClientRole } from '../wire/client-news.js'
import { type CallError, type CallResult, callErrorOf } from '../wire/envelope.js'
import { asStoreError } from './client-asks.js'

/** Why `client` may not make this call; undefined when it may. */
export function refusalOfCall(
  { role, names }: Pick<ClientPort, 'role' | 'names'>,
  method: string,
  params: unknown,
): CallError | undefined {
  const least = leastRole(method, params)
  if (!mayAct(role, least)) {
    const message = `${what(method, params)} needs the role ${least}; this client has ${role}`
    return { code: 'QUORATE_FORBIDDEN', message, outcome: 'none' }
  }
  if (method !== 'join' || mayAct(role, 'admin')) return undefined
  const id = fieldOf(params, 'id')
  if (names?.includes(String(id)) === true) return undefined
  const message = `a certificate that does not name ${String(id)} cannot join as ${String(id)}`
  return { code: 'QUORATE_FORBIDDEN', message, outcome: 'none' }
}

/** Answers a call with what becomes of `work`. */
export function answerCall(work: Promise<unknown>, reply: (result: CallResult) => void): void {
  work.then(
    (ok) => reply({ ok }),
    (error: unknown) => reply({ error: callErrorOf(asStoreError(error)) }),
  )
}

function leastRole(method: string, params: unknown): ClientRole {
  switch (method) {
    case 'join':
      return 'join'
    case 'status':
      return 'read'
    case 'members':
      return fieldOf(params, 'type') === 'list' ? 'read' : 'admin'
    default:
      return 'admin'
  }
}

function what(method: string, params: unknown): string {
  return method === 'members' ? `members (${String(fieldOf(params, 'type'))})` : method
}

function fieldOf(params: unknown, name: string): unknown {
  return (Object(params) as Partial<Record<string, unknown>>)[name]
}
