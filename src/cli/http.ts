/**
 * `quorate serve --http`: metrics, health and status for monitoring, by plain HTTP, to be read only.
 *
 * On this machine only, unless somebody says otherwise: there is no TLS and nobody is asked who they are. A web page
 * that was opened on the machine must not read it either, so there the name that was asked for has to be a local one.
 * Everything is bounded: connections, the size of a request, and how long one may take.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { formatAddress, isLocalAddress, parseAddress } from '../env/address.js'
import { prometheusText, type Store, StoreError } from '../index.js'
import { PROMETHEUS_CONTENT_TYPE } from '../store/exposition.js'
import { type Check, describeChecks, hasPassed, liveChecks, readyChecks } from './health.js'

const CONNECTIONS_MAX = 64
const HEADER_BYTES_MAX = 8192
/** For the whole of a request; and for a connection on which nothing moves. */
const REQUEST_MS = 5_000
const IDLE_MS = 10_000

/** Who is asked; undefined while the store is being opened. */
export type Source = () => Pick<Store, 'status' | 'metrics'> | undefined

/** Who may ask: those on this machine, or everybody who gets there. */
export type Reach = 'local' | 'anybody'

/** An open HTTP port. */
export interface HttpPort {
  /** `host:port`, with the port that was given for 0. */
  readonly address: string
  close(): Promise<void>
}

/** What is sent. */
interface Reply {
  readonly status: number
  readonly type: string
  readonly body: string
}

const TEXT = 'text/plain; charset=utf-8'

/**
 * Listens on `address` (`host:port`).
 * @throws {StoreError} QUORATE_INSECURE the address is not on this machine only and `reach` is `local`;
 *   QUORATE_NETWORK it cannot be listened on.
 */
export async function listenHttp(address: string, source: Source, reach: Reach): Promise<HttpPort> {
  const endpoint = parseAddress(address)
  if (endpoint.type === 'unix') throw new TypeError('the HTTP port is host:port')
  if (reach === 'local' && !isLocalAddress(address)) {
    const message = `${address} is not on this machine only: --http-open lets everybody read there`
    throw new StoreError('QUORATE_INSECURE', message)
  }
  const server = createServer(
    {
      maxHeaderSize: HEADER_BYTES_MAX,
      headersTimeout: REQUEST_MS,
      requestTimeout: REQUEST_MS,
      keepAliveTimeout: REQUEST_MS,
      connectionsCheckingInterval: 1_000,
    },
    (request, response) => answer(request, response, source, reach),
  )
  server.maxConnections = CONNECTIONS_MAX
  server.timeout = IDLE_MS
  const { host, port } = endpoint
  try {
    server.listen({ host, port })
    await once(server, 'listening')
  } catch (cause) {
    const why = (cause as Error).message
    throw new StoreError('QUORATE_NETWORK', `cannot listen on ${address}: ${why}`, { cause })
  }
  const { port: given } = server.address() as AddressInfo
  return { address: formatAddress(host, given), close: () => close(server) }
}

async function close(server: Server): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  server.closeAllConnections()
  await closed
}

function answer(
  request: IncomingMessage,
  response: ServerResponse,
  source: Source,
  reach: Reach,
): void {
  const { status, type, body } = refusal(request, reach) ?? replyTo(request.url ?? '/', source)
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    // What is refused may have more to say, which nobody wants to hear.
    ...(status >= 400 && status < 500 ? { connection: 'close' } : {}),
  })
  response.end(body)
}

/** Why a request is not looked at; undefined when it is. */
function refusal({ method, headers }: IncomingMessage, reach: Reach): Reply | undefined {
  if (method !== 'GET' && method !== 'HEAD') return text(405, 'only GET and HEAD\n')
  const hasBody = Number(headers['content-length'] ?? 0) > 0 || 'transfer-encoding' in headers
  if (hasBody) return text(413, 'no body is wanted\n')
  if (reach === 'local' && !isLocalName(headers.host)) return text(403, 'ask by a local name\n')
  return undefined
}

function replyTo(url: string, source: Source): Reply {
  const [path, query] = url.split('?')
  const store = source()
  switch (path) {
    case '/livez':
      return health(store === undefined ? [] : liveChecks(store.status()), query)
    case '/readyz':
      return health(store === undefined ? [OPENING] : readyChecks(store.status()), query)
    case '/metrics':
      if (store === undefined) return unavailable()
      return { status: 200, type: PROMETHEUS_CONTENT_TYPE, body: prometheusText(store.metrics()) }
    case '/status':
      if (store === undefined) return unavailable()
      return {
        status: 200,
        type: 'application/json',
        body: `${JSON.stringify(store.status(), undefined, 2)}\n`,
      }
    default:
      return text(404, 'there are /metrics, /livez, /readyz and /status\n')
  }
}

const OPENING: Check = { name: 'member', failure: 'the store is being opened' }

/** All lines with `?verbose` and when something failed, else one word. `?exclude=NAME` leaves a check out. */
function health(all: readonly Check[], query: string | undefined): Reply {
  const asked = new URLSearchParams(query)
  const excluded = asked.getAll('exclude')
  const checks = all.filter(({ name }) => !excluded.includes(name))
  if (!hasPassed(checks)) return text(503, describeChecks(checks))
  return text(200, asked.has('verbose') ? describeChecks(checks) : 'ok\n')
}

function unavailable(): Reply {
  return text(503, `${OPENING.failure}\n`)
}

function text(status: number, body: string): Reply {
  return { status, type: TEXT, body }
}

function isLocalName(host: string | undefined): boolean {
  const url = `http://${host}`
  return host !== undefined && URL.canParse(url) && isLocalAddress(`${new URL(url).hostname}:80`)
}
