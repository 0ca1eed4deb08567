/**
 * The network as ordered byte streams. Production: TCP, TLS and unix sockets; simulation: SimNetwork.
 *
 * An address is `host:port` or `unix:/path`.
 */

/** What the owner of a connection hears. All calls come from the event loop, never from within a call to it. */
export interface ConnectionHandlers {
  /** Bytes as they came; owned by the receiver. */
  data(bytes: Uint8Array): void
  /** The connection is gone, by either side or by a failure; the last call. */
  close(error: Error | undefined): void
  /** Less than the high-water mark is queued again after `write` returned false. */
  drain(): void
}

/** One established connection. */
export interface Connection {
  /** Set by the owner as soon as it has the connection; data waits until then. */
  setHandlers(handlers: ConnectionHandlers): void
  /**
   * Queues `parts` in order; they must not change afterwards. Returns false when more than the socket's
   * high-water mark is queued: stop until `drain`.
   */
  write(parts: readonly Uint8Array[]): boolean
  /** Bytes queued and not yet handed to the operating system. */
  readonly queuedBytes: number
  /** Closes at once; what is queued may be lost. `close` is still called. */
  destroy(): void
  /** The other side, for messages. */
  readonly remote: string
  /** The names in the other side's verified certificate, common name first; undefined where TLS proved none. */
  readonly peerNames: readonly string[] | undefined
}

/** An open port. */
export interface Listener {
  /** The address it really listens on (a port 0 is replaced by the one that was given). */
  readonly address: string
  /** Closes the port and the connections that came in by it. */
  close(): Promise<void>
}

/** TLS material in PEM; the same certificate serves as server and as client. */
export interface TlsOptions {
  readonly cert: string | Uint8Array
  readonly key: string | Uint8Array
  readonly ca: string | Uint8Array
}

/** Listens and connects. */
export interface Network {
  listen(
    address: string,
    tls: TlsOptions | undefined,
    onConnection: (connection: Connection) => void,
  ): Promise<Listener>
  /** Resolves once established; rejects with the operating system's error. */
  connect(address: string, tls: TlsOptions | undefined): Promise<Connection>
}
