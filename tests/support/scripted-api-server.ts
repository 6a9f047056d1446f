import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';

import type { KubeCredentials } from '#kube/transport.ts';

import { TestAuthority } from './tls-material.ts';

/** One request that a client has made, and the means to answer it, rightly or wrongly. */
export class ScriptedRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly body: unknown;
  readonly #response: ServerResponse;

  constructor(request: IncomingMessage, body: string, response: ServerResponse) {
    const url = new URL(request.url ?? '/', 'https://server');
    this.method = request.method ?? '';
    this.path = url.pathname;
    this.query = url.searchParams;
    this.headers = request.headers;
    this.body = body === '' ? undefined : JSON.parse(body);
    this.#response = response;
  }

  get isWatch(): boolean {
    return this.query.get('watch') === '1';
  }

  /** A whole answer. */
  answer(code: number, body: unknown): void {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    this.#response.writeHead(code, { 'content-type': 'application/json' });
    this.#response.end(text);
  }

  refuse(code: number, reason: string, message: string = reason): void {
    this.answer(code, failure(code, reason, message));
  }

  /** A list in one page. */
  list(resourceVersion: string, items: readonly unknown[], more?: string): void {
    this.answer(200, { metadata: { resourceVersion, continue: more }, items });
  }

  /** Begins to answer a watch: the head, without an event. */
  open(): this {
    this.#response.writeHead(200, { 'content-type': 'application/json' });
    this.#response.flushHeaders();
    return this;
  }

  event(type: string, object: unknown): this {
    return this.raw(`${JSON.stringify({ type, object })}\n`);
  }

  bookmark(resourceVersion: string, annotations: Record<string, string> = {}): this {
    return this.event('BOOKMARK', { metadata: { resourceVersion, annotations } });
  }

  raw(text: string): this {
    this.#response.write(text);
    return this;
  }

  /** Ends the answer as a server does whose time is over. */
  end(): void {
    this.#response.end();
  }

  /** Ends the connection as a server does that dies, after what was written has gone out. */
  cut(): void {
    this.#response.write('', () => this.#response.destroy());
  }

  /** Settles when the client has gone away. */
  async closed(): Promise<void> {
    if (!this.#response.destroyed) await once(this.#response, 'close');
  }
}

/** The Status that a failure is told with. */
export function failure(code: number, reason: string, message: string = reason): unknown {
  return { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message };
}

/** An HTTPS server whose part the test plays: each request waits until the test takes and answers it. */
export class ScriptedApiServer implements AsyncDisposable {
  readonly credentials: KubeCredentials;
  readonly #server: Server;
  readonly #waiting: ScriptedRequest[] = [];
  readonly #takers: ((request: ScriptedRequest) => void)[] = [];
  #connections = 0;

  static async start(): Promise<ScriptedApiServer> {
    const authority = new TestAuthority();
    const { chainPem, privateKeyPem } = authority.issue({
      names: { dns: ['localhost'], addresses: [Uint8Array.of(127, 0, 0, 1)] },
    });
    const server = createServer({ cert: chainPem.join('\n'), key: privateKeyPem });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new ScriptedApiServer(server, authority.rootPem);
  }

  private constructor(server: Server, caPem: string) {
    const { port } = server.address() as AddressInfo;
    this.credentials = { server: `https://127.0.0.1:${port}`, caPem };
    this.#server = server;
    server.on('secureConnection', () => {
      this.#connections += 1;
    });
    server.on('request', (request, response) => this.#onRequest(request, response));
  }

  /** How many connections there have been. */
  get connections(): number {
    return this.#connections;
  }

  /** The next request, in the order in which they came. */
  next(): Promise<ScriptedRequest> {
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) return Promise.resolve(waiting);
    return new Promise((resolve) => {
      this.#takers.push(resolve);
    });
  }

  /** Requests that nobody has taken. */
  get unanswered(): number {
    return this.#waiting.length;
  }

  /** Closes connections that no request uses, as a server does after a while. */
  closeIdle(): void {
    this.#server.closeIdleConnections();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #onRequest(request: IncomingMessage, response: ServerResponse): void {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const taken = new ScriptedRequest(request, Buffer.concat(chunks).toString(), response);
      const taker = this.#takers.shift();
      if (taker === undefined) this.#waiting.push(taken);
      else taker(taken);
    });
  }
}
