import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';

import { type PluginEvent, readPluginEvent } from './plugin-event.ts';

export type PluginAnswer =
  /** The pod may start. */
  { readonly kind: 'accepted' } | { readonly kind: 'refused'; readonly reason: string };

export interface PluginServerOptions {
  readonly path: string;
  readonly answer: (event: PluginEvent) => Promise<PluginAnswer>;
  /** Called after each answer. */
  readonly onAnswered: (status: number) => void;
  readonly onError: (error: unknown) => void;
}

/** A pod has a few addresses; an event is some hundred bytes. */
const EVENT_BYTES_MAX = 64 << 10;
/** Pods that start at a time on one node; the runtime tries again with more. */
const CONNECTIONS_MAX = 256;
/** A plugin sends its few bytes at once. */
const REQUEST_TIMEOUT_MS = 5_000;
/**
 * Plugins are run by the container runtime, as root. Who can ask names a namespace as that of a pod, and so gives
 * whatever runs in it the pod's identity: nobody else may. Readable and writable by the owner alone.
 */
const UMASK = 0o177;

/** Answers CNI plugins over HTTP on a Unix socket. */
export class PluginServer {
  readonly #options: PluginServerOptions;
  readonly #server: Server;

  constructor(options: PluginServerOptions) {
    this.#options = options;
    this.#server = createServer(
      { requestTimeout: REQUEST_TIMEOUT_MS, connectionsCheckingInterval: 1_000 },
      (request, response) => {
        this.#onRequest(request, response).catch((error: unknown) => {
          options.onError(error);
          // A plugin whose connection ends takes that for a "no".
          response.destroy();
        });
      },
    );
    this.#server.maxConnections = CONNECTIONS_MAX;
  }

  /** Rejects with an error that names the path when it can't be listened on. */
  async start(): Promise<void> {
    const { path } = this.#options;
    // Left by a process that had no time to remove it; one that lives does not share its directory.
    rmSync(path, { force: true });
    // In force from the first moment on: the socket is made before listen() returns.
    const umask = process.umask(UMASK);
    try {
      this.#server.listen(path);
    } finally {
      process.umask(umask);
    }
    try {
      await once(this.#server, 'listening');
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`Cannot listen for CNI plugins on ${path}: ${why}`, { cause: error });
    }
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeIdleConnections();
    await closed;
  }

  async #onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [status, reason] = await this.#statusFor(request);
    response.writeHead(status, {
      'content-type': 'text/plain; charset=utf-8',
      connection: 'close',
    });
    response.end(reason === '' ? '' : `${reason}\n`);
    this.#options.onAnswered(status);
  }

  async #statusFor(request: IncomingMessage): Promise<readonly [status: number, reason: string]> {
    if (request.url !== '/cmdadd') return [404, `no such path: ${request.url}; want /cmdadd`];
    const body = await readBody(request);
    if (body === undefined) return [413, `want at most ${EVENT_BYTES_MAX} bytes`];
    const read = readPluginEvent(body);
    if (read.kind === 'refused') return [400, `cannot read the event: ${read.reason}`];
    try {
      const said = await this.#options.answer(read.event);
      return said.kind === 'accepted' ? [200, ''] : [500, said.reason];
    } catch (error) {
      this.#options.onError(error);
      return [500, error instanceof Error ? error.message : String(error)];
    }
  }
}

async function readBody(request: IncomingMessage): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > EVENT_BYTES_MAX) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
