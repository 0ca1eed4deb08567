/**
 * The network in production: TCP, unix sockets, and TLS over either.
 *
 * TLS is mutual: both sides show a certificate that the same authority signed, TLS 1.2 at least, and the side
 * that connects also checks that the certificate names the host it asked for. A connection is handed over
 * only when all of that is proven.
 */
import { once } from 'node:events'
import { unlink } from 'node:fs/promises'
import net from 'node:net'
import tls from 'node:tls'
import { asBuffer } from '../base/bytes.js'
import { type Endpoint, formatAddress, parseAddress } from './address.js'
import type { Connection, ConnectionHandlers, Listener, Network, TlsOptions } from './network.js'

const KEEP_ALIVE_MS = 5_000
/** Without an answer by then, connecting fails; the operating system alone would wait for minutes. */
const CONNECT_MS = 5_000
/** A client that has not finished the TLS handshake by then is disconnected. */
const TLS_HANDSHAKE_MS = 5_000
const SOCKET_OPTIONS = {
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: KEEP_ALIVE_MS,
} as const

/** Listens and connects with the sockets of Node.js. */
export class NodeNetwork implements Network {
  async listen(
    address: string,
    tlsOptions: TlsOptions | undefined,
    onConnection: (connection: Connection) => void,
  ): Promise<Listener> {
    const endpoint = parseAddress(address)
    const sockets = new Set<net.Socket>()
    const server = createServer(tlsOptions, (socket) => onConnection(new NodeConnection(socket)))
    server.on('connection', (socket: net.Socket) => {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
    })
    await listenAt(server, endpoint)
    // From here on a failure concerns one connection that could not be accepted: its dialer will try again.
    server.on('error', () => undefined)
    const closed = new Promise<void>((resolve) => server.on('close', () => resolve()))
    return {
      address: addressOf(server, endpoint),
      close() {
        if (server.listening) server.close()
        for (const socket of sockets) socket.destroy()
        return closed
      },
    }
  }

  async connect(address: string, tlsOptions: TlsOptions | undefined): Promise<Connection> {
    const endpoint = parseAddress(address)
    const target = {
      ...SOCKET_OPTIONS,
      ...(endpoint.type === 'unix'
        ? { path: endpoint.path }
        : { host: endpoint.host, port: endpoint.port }),
    }
    const socket =
      tlsOptions === undefined
        ? net.connect(target)
        : tls.connect({ ...target, ...pem(tlsOptions) })
    const timer = setTimeout(() => {
      socket.destroy(new Error(`connecting to ${address} took over ${CONNECT_MS} ms`))
    }, CONNECT_MS)
    try {
      await once(socket, tlsOptions === undefined ? 'connect' : 'secureConnect')
    } catch (error) {
      socket.destroy()
      throw error
    } finally {
      clearTimeout(timer)
    }
    return new NodeConnection(socket)
  }
}

function createServer(
  tlsOptions: TlsOptions | undefined,
  onSocket: (socket: net.Socket) => void,
): net.Server {
  if (tlsOptions === undefined) return net.createServer(SOCKET_OPTIONS, onSocket)
  const server = tls.createServer(
    {
      ...SOCKET_OPTIONS,
      ...pem(tlsOptions),
      requestCert: true,
      rejectUnauthorized: true,
      handshakeTimeout: TLS_HANDSHAKE_MS,
    },
    onSocket,
  )
  // A failed handshake concerns only the socket it came from, and Node destroys that.
  server.on('tlsClientError', (_error, socket) => socket.destroy())
  return server
}

/** TLS settings that hold for both sides. */
function pem(options: TlsOptions): tls.SecureContextOptions {
  return {
    cert: typeof options.cert === 'string' ? options.cert : asBuffer(options.cert),
    key: typeof options.key === 'string' ? options.key : asBuffer(options.key),
    ca: typeof options.ca === 'string' ? options.ca : asBuffer(options.ca),
    minVersion: 'TLSv1.2',
  }
}

/** Listens; takes over the file of a unix socket whose process has died. */
async function listenAt(server: net.Server, endpoint: Endpoint): Promise<void> {
  try {
    await listenOnce(server, endpoint)
  } catch (error) {
    const isTaken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
    if (!isTaken || endpoint.type === 'tcp' || (await isAnswering(endpoint.path))) throw error
    await unlink(endpoint.path)
    await listenOnce(server, endpoint)
  }
}

async function listenOnce(server: net.Server, endpoint: Endpoint): Promise<void> {
  const listening = once(server, 'listening')
  if (endpoint.type === 'unix') server.listen({ path: endpoint.path })
  else server.listen({ host: endpoint.host, port: endpoint.port })
  await listening
}

async function isAnswering(path: string): Promise<boolean> {
  const socket = net.connect({ path })
  try {
    await once(socket, 'connect')
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ECONNREFUSED'
  } finally {
    socket.destroy()
  }
}

function addressOf(server: net.Server, endpoint: Endpoint): string {
  const bound = server.address()
  if (endpoint.type === 'unix' || bound === null || typeof bound === 'string') {
    return endpoint.type === 'unix' ? `unix:${endpoint.path}` : String(bound)
  }
  return formatAddress(endpoint.host, bound.port)
}

class NodeConnection implements Connection {
  readonly remote: string
  readonly peerNames: readonly string[] | undefined
  readonly #socket: net.Socket
  #handlers: ConnectionHandlers | undefined
  #error: Error | undefined
  #isClosed = false

  constructor(socket: net.Socket) {
    this.#socket = socket
    this.remote =
      socket.remoteAddress === undefined
        ? 'unix'
        : formatAddress(socket.remoteAddress, socket.remotePort ?? 0)
    this.peerNames = socket instanceof tls.TLSSocket ? certificateNames(socket) : undefined
    socket.on('error', (error) => {
      this.#error = error
    })
    // The other side sends nothing more: a half-open connection serves nobody here.
    socket.on('end', () => socket.destroy())
    socket.on('close', () => {
      this.#isClosed = true
      this.#handlers?.close(this.#error)
    })
  }

  setHandlers(handlers: ConnectionHandlers): void {
    this.#handlers = handlers
    if (this.#isClosed) {
      setImmediate(() => handlers.close(this.#error))
      return
    }
    this.#socket.on('data', (bytes: Buffer) => handlers.data(bytes))
    this.#socket.on('drain', () => handlers.drain())
  }

  write(parts: readonly Uint8Array[]): boolean {
    const socket = this.#socket
    if (socket.destroyed) return false
    socket.cork()
    for (const part of parts) socket.write(part)
    socket.uncork()
    return !socket.writableNeedDrain
  }

  get queuedBytes(): number {
    return this.#socket.writableLength
  }

  destroy(): void {
    this.#socket.destroy()
  }
}

/** The names in a verified certificate; both sides refuse unverified ones before this is asked. */
function certificateNames(socket: tls.TLSSocket): string[] {
  const { subject, subjectaltname } = socket.getPeerCertificate()
  const common: string | string[] = subject?.CN ?? []
  return [common, alternativeNames(subjectaltname ?? '')].flat()
}

/** Node puts quotes around what could be taken for several names: then none of them is believed. */
function alternativeNames(text: string): string[] {
  if (text.includes('"')) return []
  return text.split(', ').flatMap((name) => (name.startsWith('DNS:') ? [name.slice(4)] : []))
}
