import { isIP, type Socket } from 'node:net';
import { checkServerIdentity, connect, createSecureContext, type SecureContext } from 'node:tls';

import { CallCredentials, ChannelCredentials } from '@grpc/grpc-js';

type SecureConnector = ReturnType<ChannelCredentials['_createSecureConnector']>;
type SecureConnectResult = Awaited<ReturnType<SecureConnector['connect']>>;

export interface TransportOptions {
  /** Host of the address: a name, or an IP address without brackets. */
  readonly host: string;
  /** Undefined: plaintext. */
  readonly tls:
    | {
        /** Who may have signed the server's certificate, PEM. */
        readonly rootsPem: string;
        /** Another name that the certificate may carry, besides `host`. */
        readonly alternativeHostname: string | undefined;
      }
    | undefined;
  readonly handshakeDeadlineMs: number;
}

/**
 * How a gRPC channel turns a TCP connection into one that it may use. gRPC's own way has no deadline for
 * the handshake, forgets a socket whose peer never finishes it, and sends IP addresses as SNI, which
 * RFC 6066 section 3 forbids and Node refuses. `_createSecureConnector` is the library's extension
 * point for this, though its name says otherwise: the version is pinned, and channel.test.ts covers it.
 */
export class Transport extends ChannelCredentials {
  readonly #options: TransportOptions;
  readonly #context: SecureContext | undefined;
  readonly #sockets = new Set<Socket>();
  #destroyed = false;

  /** @throws Error when `rootsPem` is not a PEM bundle. */
  constructor(options: TransportOptions) {
    super();
    this.#options = options;
    this.#context =
      options.tls && createSecureContext({ ca: options.tls.rootsPem, minVersion: 'TLSv1.2' });
  }

  /** Closes every connection, finished or not, now and from now on. */
  destroy(): void {
    this.#destroyed = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  override _isSecure(): boolean {
    return this.#context !== undefined;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(
    ...[, , callCredentials]: Parameters<ChannelCredentials['_createSecureConnector']>
  ): SecureConnector {
    return {
      connect: (socket) => this.#connect(socket),
      waitForReady: () => Promise.resolve(),
      getCallCredentials: () => callCredentials ?? CallCredentials.createEmpty(),
      destroy: () => undefined,
    };
  }

  #connect(socket: Socket): Promise<SecureConnectResult> {
    if (this.#destroyed) return Promise.reject(new Error('The channel is closed'));
    this.#track(socket);
    return this.#context === undefined
      ? Promise.resolve({ socket, secure: false })
      : this.#handshake(socket, this.#context);
  }

  #handshake(socket: Socket, secureContext: SecureContext): Promise<SecureConnectResult> {
    const { host, handshakeDeadlineMs, tls } = this.#options;
    return new Promise((resolve, reject) => {
      const secured = connect({
        socket,
        secureContext,
        ALPNProtocols: ['h2'],
        ...(isIP(host) === 0 ? { servername: host } : {}),
        checkServerIdentity: (_sni, certificate) => {
          const problem = checkServerIdentity(host, certificate);
          const other = tls?.alternativeHostname;
          return problem !== undefined && other !== undefined
            ? checkServerIdentity(other, certificate)
            : problem;
        },
      });
      this.#track(secured);
      secured.setTimeout(handshakeDeadlineMs, () => {
        secured.destroy(new Error(`TLS handshake not finished after ${handshakeDeadlineMs} ms`));
      });
      secured.once('secureConnect', () => {
        secured.setTimeout(0);
        resolve({ socket: secured, secure: true });
      });
      secured.once('error', reject);
      secured.once('close', () => reject(new Error('Connection closed in the TLS handshake')));
    });
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
  }
}
