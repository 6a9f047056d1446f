import type { IncomingHttpHeaders, IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { isIPv6 } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { createGzip, gzip } from 'node:zlib';

import { parseIp } from '#common/net/address.ts';

/** What a route may look at. Bodies are not read: nothing here needs one. */
export interface AdminRequest {
  readonly method: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** Whether it comes from this machine (in a pod: from this pod, or through a port-forward). */
  readonly local: boolean;
}

export interface AdminResponse {
  readonly status: number;
  /** Plain text when not given. */
  readonly contentType?: string;
  /** In pieces when it may be very large: each is made when the last one has gone out. */
  readonly body: string | AsyncIterable<string>;
}

export interface AdminRoute {
  /** `GET` serves HEAD too. */
  readonly methods: readonly string[] | 'any';
  readonly handle: (request: AdminRequest) => AdminResponse | Promise<AdminResponse>;
}

export interface AdminServerOptions {
  /** For messages, such as "metrics". */
  readonly name: string;
  /** IP addresses to listen on, all with the same port. */
  readonly hosts: readonly string[];
  /** 0: whichever is free; with several hosts, each its own. */
  readonly port: number;
  /** What to change when the port is taken, such as "STATS_PORT". */
  readonly portSetting: string;
  /** Path → what serves it. */
  readonly routes: ReadonlyMap<string, AdminRoute>;
  /** A route threw. The client gets a 500 without the reason. */
  readonly onError: (path: string, error: unknown) => void;
}

/** Running listeners; close them with `await using` or by hand. */
export interface AdminServer extends AsyncDisposable {
  readonly ports: readonly number[];
  /** Takes no more connections, lets answers finish for half a second, then cuts. */
  close(): Promise<void>;
}

// Probes and scrapers send their few headers at once; who doesn't holds a connection for nothing.
const HEADERS_TIMEOUT_MS = 2_000;
const REQUEST_TIMEOUT_MS = 10_000;
// How long a client may take nothing of its answer.
const IDLE_TIMEOUT_MS = 30_000;
// How often the limits above are looked at; Node's default of 30 s would make them meaningless.
const CHECK_INTERVAL_MS = 500;
const HEADER_BYTES_MAX = 8 * 1024;
// Kubelet, one or two scrapers and some people: more connections than that are a mistake, or malice. The oldest makes place: who
// holds all of them would otherwise keep the kubelet's probe out, and have the process ended as dead.
const CONNECTIONS_MAX = 64;
const CLOSE_GRACE_MS = 500;
// Below this, compression costs more than it saves.
const COMPRESS_FROM_CHARACTERS = 1_024;

/**
 * A small HTTP/1.1 server for probes, metrics and dumps. Throws an error that names the address and
 * the remedy when it can't listen; then nothing is left open.
 */
export async function openAdminServer(options: AdminServerOptions): Promise<AdminServer> {
  const servers: Server[] = [];
  try {
    for (const host of options.hosts) servers.push(await listen(options, host));
  } catch (error) {
    await closeAll(servers);
    throw error;
  }
  const close = (): Promise<void> => closeAll(servers);
  return {
    ports: servers.map((server) => (server.address() as AddressInfo).port),
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function listen(options: AdminServerOptions, host: string): Promise<Server> {
  const server = createServer(
    {
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: CHECK_INTERVAL_MS,
      maxHeaderSize: HEADER_BYTES_MAX,
    },
    (request, response) => {
      answer(options, request, response).catch((error: unknown) => {
        options.onError(request.url ?? '', error);
        response.destroy();
      });
    },
  );
  limitConnections(server);
  server.timeout = IDLE_TIMEOUT_MS;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen({ host, port: options.port }, resolve);
  try {
    await promise;
  } catch (error) {
    throw new Error(explain(options, host, error as NodeJS.ErrnoException), { cause: error });
  }
  return server;
}

function limitConnections(server: Server): void {
  /** Oldest first. */
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    const [oldest] = sockets;
    if (sockets.size <= CONNECTIONS_MAX || oldest === undefined) return;
    sockets.delete(oldest);
    oldest.destroy();
  });
}

function explain(options: AdminServerOptions, host: string, error: NodeJS.ErrnoException): string {
  const address = isIPv6(host) ? `[${host}]:${options.port}` : `${host}:${options.port}`;
  const action = `Cannot listen on ${address} for ${options.name}`;
  switch (String(error.code)) {
    case 'EADDRINUSE':
      return `${action}: the port is in use. Stop what listens there, or set ${options.portSetting}`;
    case 'EACCES':
      return `${action}: not permitted. Set ${options.portSetting} to a port above 1023`;
    case 'EAFNOSUPPORT':
    case 'EADDRNOTAVAIL':
      return `${action}: this machine does not have the address. Without IPv6, set IPV6_ENABLED=false`;
    default:
      return `${action}: ${error.message}`;
  }
}

function isLocal({ socket }: IncomingMessage): boolean {
  const ip = parseIp(socket.remoteAddress ?? '');
  return ip !== undefined && (ip === '::1' || ip.startsWith('127.'));
}

async function answer(
  options: AdminServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { method = 'GET', url = '/', headers } = request;
  if (!url.startsWith('/')) return send(request, response, text(400, 'bad request target\n'));
  const [path = '', query = ''] = url.split('?', 2);
  const route = options.routes.get(path);
  if (route === undefined) return send(request, response, text(404, 'not found\n'));
  if (!serves(route, method)) {
    response.setHeader('allow', route.methods === 'any' ? '' : route.methods.join(', '));
    return send(request, response, text(405, 'method not allowed\n'));
  }
  try {
    const asked = { method, query: new URLSearchParams(query), headers, local: isLocal(request) };
    await send(request, response, await route.handle(asked));
  } catch (error) {
    options.onError(path, error);
    if (!response.headersSent) await send(request, response, text(500, 'internal error\n'));
    else response.destroy();
  }
}

function serves(route: AdminRoute, method: string): boolean {
  if (route.methods === 'any' || route.methods.includes(method)) return true;
  return method === 'HEAD' && route.methods.includes('GET');
}

async function send(
  request: IncomingMessage,
  response: ServerResponse,
  { status, contentType, body }: AdminResponse,
): Promise<void> {
  response.statusCode = status;
  response.setHeader('content-type', contentType ?? 'text/plain; charset=utf-8');
  if (typeof body !== 'string') return sendPieces(request, response, body);
  let bytes: Buffer = Buffer.from(body);
  if (body.length >= COMPRESS_FROM_CHARACTERS) {
    response.setHeader('vary', 'accept-encoding');
    if (acceptsGzip(request.headers['accept-encoding'])) {
      bytes = await promisify(gzip)(bytes);
      response.setHeader('content-encoding', 'gzip');
    }
  }
  response.setHeader('content-length', bytes.length);
  response.end(bytes);
}

async function sendPieces(
  request: IncomingMessage,
  response: ServerResponse,
  pieces: AsyncIterable<string>,
): Promise<void> {
  response.setHeader('vary', 'accept-encoding');
  const compress = acceptsGzip(request.headers['accept-encoding']);
  if (compress) response.setHeader('content-encoding', 'gzip');
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  try {
    if (compress) await pipeline(pieces, createGzip(), response);
    else await pipeline(pieces, response);
  } catch (error) {
    // Whoever asked has gone: nothing is wrong here.
    if ((error as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
  }
}

/** RFC 9110, section 12.5.3: named (or `*`) and not with a weight of 0. */
export function acceptsGzip(header: string | string[] | undefined): boolean {
  const weights = new Map<string, number>();
  for (const item of String(header ?? '').split(',')) {
    const [coding = '', ...parameters] = item.split(';').map((part) => part.trim().toLowerCase());
    const weight = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2);
    weights.set(coding, weight === undefined ? 1 : Number(weight));
  }
  return (weights.get('gzip') ?? weights.get('*') ?? 0) > 0;
}

function text(status: number, body: string): AdminResponse {
  return { status, body };
}

async function closeAll(servers: readonly Server[]): Promise<void> {
  await Promise.all(servers.map(closeOne));
}

async function closeOne(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  server.closeIdleConnections();
  const cut = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS);
  await promise;
  clearTimeout(cut);
}
