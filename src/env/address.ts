/**
 * Addresses as they are written in options: `host:port`, `[v6]:port` or `unix:/path`.
 */
import { isIPv4 } from 'node:net'

/** Where an address points. */
export type Endpoint =
  | { readonly type: 'tcp'; readonly host: string; readonly port: number }
  | { readonly type: 'unix'; readonly path: string }

/**
 * Takes an address apart.
 * @throws {TypeError} when it is neither `host:port` nor `unix:/path`.
 */
export function parseAddress(address: string): Endpoint {
  if (address.startsWith('unix:')) {
    const path = address.slice(5)
    if (path.length === 0) throw new TypeError('an address unix: needs a path')
    return { type: 'unix', path }
  }
  const colon = address.lastIndexOf(':')
  const digits = address.slice(colon + 1)
  const port = Number(digits)
  let host = address.slice(0, Math.max(colon, 0))
  if (host.startsWith('[') && host.endsWith(']')) host = host.slice(1, -1)
  else if (host.includes(':')) throw new TypeError(`address ${address}: write IPv6 as [host]:port`)
  if (host.length === 0 || !/^\d{1,5}$/.test(digits) || port > 65_535) {
    throw new TypeError(`address ${address} is neither host:port nor unix:/path`)
  }
  return { type: 'tcp', host, port }
}

/** The text of a TCP address. */
export function formatAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** Whether only this machine can be reached at `address`: 127.0.0.0/8, ::1, localhost, or a unix socket. */
export function isLocalAddress(address: string): boolean {
  const endpoint = parseAddress(address)
  if (endpoint.type === 'unix') return true
  const { host } = endpoint
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'))
}

/** Whether `address` means every network of the machine: good to listen on, useless to others. */
export function isWildcardAddress(address: string): boolean {
  const endpoint = parseAddress(address)
  return endpoint.type === 'tcp' && (endpoint.host === '0.0.0.0' || endpoint.host === '::')
}
