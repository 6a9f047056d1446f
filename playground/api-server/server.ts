import { randomUUID } from 'node:crypto';
import {
  createServer as createHttp1,
  type Server as Http1Server,
  type IncomingMessage,
} from 'node:http';
import {
  createServer as createHttp2,
  type Http2Server,
  type Http2ServerRequest,
  type Http2Session,
} from 'node:http2';
import type { Duplex } from 'node:stream';
import { createServer as createTls, type TLSSocket, type Server as TlsServer } from 'node:tls';

import type { Logger } from '#common/log/logger.ts';

import type { Proof } from './authentication.ts';
import { readBody } from './body.ts';
import type { KeyedCertificate } from './certificates.ts';
import { ApiError, internalError } from './errors.ts';
import { type Answer, type ApiResponse, sendAnswer, statusAnswer } from './exchange.ts';

/** A request as it comes from the wire, before anything is decided. */
export interface RawRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly proof: Proof;
  readonly signal: AbortSignal;
  body(): Promise<Buffer>;
  warn(text: string): void;
}

/** A connection that asks to speak something else than HTTP from now on. */
export interface UpgradeRequest {
  readonly request: RawRequest;
  readonly socket: Duplex;
  /** Bytes that have come behind the request. */
  readonly head: Buffer;
}

export interface Handlers {
  /** Answers; what it throws becomes a Status. */
  request(request: RawRequest): Promise<Answer>;
  /** Takes the socket over when undefined; an answer refuses the upgrade. */
  upgrade(upgrade: UpgradeRequest): Promise<Answer | undefined>;
}

/** Where to listen: an address, or a socket that is listening already. */
export type Listen =
  | { readonly host: string; readonly port: number }
  | { readonly descriptor: number };

export interface ServerOptions {
  readonly identity: KeyedCertificate;
  /** Signs the certificates of users. */
  readonly clientAuthorityPem: string;
  readonly listen: readonly Listen[];
  readonly handlers: Handlers;
  readonly logger: Logger;
}

/** Watches of a large informer set share one connection: a typical client has about 40. */
const STREAMS_MAX = 1_000;
/** Node counts what waits to be written on all streams of a connection, in MB. */
const SESSION_MEMORY_MB = 64;
/** Longer than clients keep their idle connections (90 s), so that they are the ones who close. */
const KEEP_ALIVE_MS = 120_000;
/** All clients of a playground with a thousand pods, and some. */
const CONNECTIONS_MAX = 5_000;
const HANDSHAKE_MS_MAX = 10_000;
/** Answers under way get this long when the server stops. */
const CLOSE_GRACE_MS = 500;

/** HTTP/1.1 and HTTP/2 over TLS on any number of sockets. Knows connections, not Kubernetes. */
export class ApiHttpServer {
  readonly #options: ServerOptions;
  readonly #http1: Http1Server;
  readonly #http2: Http2Server;
  readonly #listeners: TlsServer[] = [];
  readonly #sockets = new Set<TLSSocket>();
  readonly #proofs = new WeakMap<object, Proof>();
  readonly #stopping = new AbortController();

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#http1 = createHttp1({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
      this.#serve(request, response, this.#proofOf(request.socket as TLSSocket));
    });
    this.#http1.on('upgrade', (request, socket, head) => {
      this.#upgrade(request, socket, head);
    });
    this.#http2 = createHttp2(
      {
        maxSessionMemory: SESSION_MEMORY_MB,
        settings: { maxConcurrentStreams: STREAMS_MAX },
      },
      (request, response) => {
        const session = request.stream.session;
        // The stream has ended while the request was on its way to us.
        if (session === undefined) return;
        this.#serve(request, response, this.#proofOfSession(session));
      },
    );
    this.#http2.on('sessionError', (error: Error) => this.#connectionFailed(error));
  }

  /** Opens all sockets; the addresses that are listened on, in the order given. */
  async start(): Promise<readonly { address: string; port: number }[]> {
    const addresses: { address: string; port: number }[] = [];
    for (const listen of this.#options.listen) {
      const listener = this.#newListener();
      this.#listeners.push(listener);
      await listening(listener, listen);
      const address = listener.address();
      if (typeof address === 'object' && address !== null) addresses.push(address);
    }
    return addresses;
  }

  /** Other certificates for new connections. */
  setIdentity(identity: KeyedCertificate): void {
    for (const listener of this.#listeners)
      listener.setSecureContext(secureContext(identity, this.#options.clientAuthorityPem));
  }

  /** Ends streams, lets short answers finish, then cuts. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    for (const listener of this.#listeners) listener.close();
    if (this.#sockets.size > 0) await new Promise((resolve) => setTimeout(resolve, CLOSE_GRACE_MS));
    for (const socket of this.#sockets) socket.destroy();
    this.#http1.closeAllConnections();
  }

  #newListener(): TlsServer {
    const { identity, clientAuthorityPem, logger } = this.#options;
    const server = createTls({
      ...secureContext(identity, clientAuthorityPem),
      // Who shows none is anonymous or has a token; who shows a wrong one is told so in HTTP.
      requestCert: true,
      rejectUnauthorized: false,
      ALPNProtocols: ['h2', 'http/1.1'],
      minVersion: 'TLSv1.2',
      handshakeTimeout: HANDSHAKE_MS_MAX,
    });
    server.maxConnections = CONNECTIONS_MAX;
    server.on('secureConnection', (socket) => this.#connected(socket));
    server.on('tlsClientError', (error) => {
      logger.debug('handshake failed', { error: error.message });
    });
    return server;
  }

  #connected(socket: TLSSocket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', (error) => this.#connectionFailed(error));
    socket.setNoDelay(true);
    const server = socket.alpnProtocol === 'h2' ? this.#http2 : this.#http1;
    server.emit('connection', socket);
  }

  #connectionFailed(error: Error): void {
    this.#options.logger.debug('connection failed', { error: error.message });
  }

  #proofOfSession(session: Http2Session): Proof {
    const known = this.#proofs.get(session);
    if (known !== undefined) return known;
    const proof = this.#proofOf(session.socket as TLSSocket);
    this.#proofs.set(session, proof);
    return proof;
  }

  #proofOf(socket: TLSSocket): Proof {
    const known = this.#proofs.get(socket);
    if (known !== undefined) return known;
    const proof = certificateProof(socket);
    this.#proofs.set(socket, proof);
    return proof;
  }

  #serve(
    request: IncomingMessage | Http2ServerRequest,
    response: ApiResponse,
    certificate: Proof,
  ): void {
    const abort = new AbortController();
    const warnings: string[] = [];
    response.on('close', () => abort.abort());
    // A client that resets a stream is no news: the abort tells who needs to know.
    response.on('error', (error: Error) => this.#connectionFailed(error));
    const raw = this.#rawRequest(request, certificate, warnings, abort.signal);
    this.#respond(raw, response, warnings).catch((error: unknown) => {
      this.#options.logger.error('answer failed', { path: pathOf(raw.url), error: textOf(error) });
      response.destroy();
    });
  }

  async #respond(
    raw: RawRequest,
    response: ApiResponse,
    warnings: readonly string[],
  ): Promise<void> {
    const answer = await this.#answer(raw);
    if (!response.writableEnded && !response.destroyed) sendAnswer(response, answer, warnings);
  }

  async #answer(raw: RawRequest): Promise<Answer> {
    const started = performance.now();
    const answer = await this.#tryHandle(() => this.#options.handlers.request(raw));
    const { logger } = this.#options;
    if (logger.enabled('debug'))
      logger.debug('request', {
        method: raw.method,
        path: pathOf(raw.url),
        code: answer.kind === 'stream' ? 200 : answer.code,
        ms: Math.round(performance.now() - started),
      });
    return answer;
  }

  async #tryHandle<T extends Answer | undefined>(handle: () => Promise<T>): Promise<T | Answer> {
    try {
      return await handle();
    } catch (error) {
      if (error instanceof ApiError) return statusAnswer(error.status);
      const id = randomUUID();
      this.#options.logger.error('request failed', { id, error: textOf(error) });
      return statusAnswer(internalError(`unexpected failure ${id}, see the log`).status);
    }
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const abort = new AbortController();
    socket.on('error', (error) => this.#connectionFailed(error));
    socket.on('close', () => abort.abort());
    const proof = this.#proofOf(request.socket as TLSSocket);
    const raw = this.#rawRequest(request, proof, [], abort.signal);
    this.#handOver(raw, socket, head).catch((error: unknown) => {
      this.#options.logger.error('upgrade failed', { path: pathOf(raw.url), error: textOf(error) });
      socket.destroy();
    });
  }

  async #handOver(raw: RawRequest, socket: Duplex, head: Buffer): Promise<void> {
    const { handlers } = this.#options;
    const answer = await this.#tryHandle(() => handlers.upgrade({ request: raw, socket, head }));
    if (answer !== undefined) refuseUpgrade(socket, answer);
  }

  #rawRequest(
    request: IncomingMessage | Http2ServerRequest,
    certificate: Proof,
    warnings: string[],
    signal: AbortSignal,
  ): RawRequest {
    const { authorization } = request.headers;
    return {
      method: request.method ?? 'GET',
      url: request.url ?? '/',
      headers: request.headers,
      proof: authorization === undefined ? certificate : { ...certificate, authorization },
      signal: AbortSignal.any([signal, this.#stopping.signal]),
      body: () => readBody(request),
      warn: (text) => warnings.push(text),
    };
  }
}

function secureContext(
  identity: KeyedCertificate,
  clientAuthorityPem: string,
): { cert: string; key: string; ca: string } {
  return { cert: identity.certificatePem, key: identity.privateKeyPem, ca: clientAuthorityPem };
}

function listening(server: TlsServer, listen: Listen): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    const options = 'descriptor' in listen ? { fd: listen.descriptor } : listen;
    server.listen(options, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function certificateProof(socket: TLSSocket): Proof {
  const certificate = socket.getPeerCertificate();
  // Node answers an empty object when the client has shown none.
  if (Object.keys(certificate).length === 0) return {};
  if (!socket.authorized)
    return { certificateRefused: `client certificate: ${String(socket.authorizationError)}` };
  const { CN, O } = certificate.subject as { CN?: string | string[]; O?: string | string[] };
  return { certificate: { commonName: listOf(CN)[0] ?? '', organizations: listOf(O) } };
}

function listOf(value: string | string[] | undefined): readonly string[] {
  if (value === undefined) return [];
  return typeof value === 'string' ? [value] : value;
}

/** Answers in plain HTTP/1.1: the connection is no longer the HTTP server's. */
function refuseUpgrade(socket: Duplex, answer: Answer): void {
  if (answer.kind === 'stream') {
    socket.destroy();
    return;
  }
  const body = answer.kind === 'bytes' ? Buffer.from(answer.body) : JSON.stringify(answer.object);
  const type = answer.kind === 'bytes' ? answer.contentType : 'application/json';
  const head = [
    `HTTP/1.1 ${answer.code} Refused`,
    `Content-Type: ${type}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ];
  socket.end(Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), Buffer.from(body)]));
}

function pathOf(url: string): string {
  return url.split('?', 1)[0] ?? '';
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
