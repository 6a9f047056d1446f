import type { ClientRequest, IncomingMessage } from 'node:http';
import { Agent, request as httpsRequest, type RequestOptions } from 'node:https';
import { createSecureContext } from 'node:tls';

import { KubeConnectionError, KubeError, statusFrom } from './errors.ts';

/** How to reach an API server, and as whom: by certificate, by token, or both. */
export interface KubeCredentials {
  /** `https://host:port`, with a path when the API lies below one. */
  readonly server: string;
  /** Who may have signed the server's certificate. */
  readonly caPem: string;
  readonly clientCertificatePem?: string;
  readonly clientKeyPem?: string;
  /** Asked before each request: tokens rotate. */
  readonly token?: () => string;
  /** What to call oneself; the server names what was written after it. Default `ambit`. */
  readonly userAgent?: string;
  /** The name to expect in the server's certificate, when it is not that of `server`. */
  readonly serverName?: string;
}

export interface Exchange {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly signal?: AbortSignal | undefined;
}

// The API server queues requests for a minute at most under load; without an answer by then there will be none.
const ANSWER_DEADLINE_MS = 60_000;
// A connection that the kernel sees no answer on for three probes is dropped: a node that lost power
// does not say so.
const KEEPALIVE_PROBE_MS = 15_000;
// Enough that a burst of writes does not queue; every connection costs the server a TLS session.
const CONNECTIONS_MAX = 16;
const FREE_CONNECTIONS_MAX = 4;
// A page of 500 pods is 2 to 5 MB. What is larger than this is no answer to anything we ask.
const ANSWER_BYTES_MAX = 256 * 1024 * 1024;

interface Agents {
  readonly exchanges: Agent;
  /** A connection for each. */
  readonly streams: Agent;
}

/** HTTPS to one API server: short exchanges over kept connections, watches over one each. */
export class Transport {
  readonly #credentials: KubeCredentials;
  readonly #base: URL;
  readonly #agents: Agents;

  /** @param agents Connections of another one to the same server, as the same user; otherwise its own. */
  constructor(credentials: KubeCredentials, agents?: Agents) {
    this.#credentials = credentials;
    this.#base = baseUrl(credentials.server);
    this.#agents = agents ?? newAgents(credentials);
  }

  /** The same connections, and another name for who asks. */
  as(userAgent: string): Transport {
    return new Transport({ ...this.#credentials, userAgent }, this.#agents);
  }

  /**
   * Asks once and gives the whole answer, parsed; undefined for an empty one.
   *
   * @throws KubeError for an answer that is not 2xx. @throws KubeConnectionError for none.
   */
  async exchange(exchange: Exchange): Promise<unknown> {
    const text = await this.exchangeText(exchange);
    if (text === '') return undefined;
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new KubeConnectionError(
        `Cannot read the answer to ${describe(exchange)}: it is not JSON`,
        { cause },
      );
    }
  }

  /**
   * Asks for something that keeps coming. The caller reads the answer to its end or destroys it.
   *
   * @throws As {@link exchange}.
   */
  async open(exchange: Exchange): Promise<IncomingMessage> {
    const { answer } = await this.#ask(exchange, this.#agents.streams);
    return answer;
  }

  /** Ends all connections, with what is on its way over them. */
  close(): void {
    this.#agents.exchanges.destroy();
    this.#agents.streams.destroy();
  }

  /** As {@link exchange}, for an answer that is not JSON. */
  async exchangeText(exchange: Exchange): Promise<string> {
    try {
      return await this.#exchangeOnce(exchange);
    } catch (error) {
      // The server may close an idle connection at the moment when we use it. What only reads is
      // asked again, once; what writes is the caller's to repeat, who knows whether that is right.
      if (exchange.method !== 'GET' || !wasStale(error)) throw error;
      return this.#exchangeOnce(exchange);
    }
  }

  async #exchangeOnce(exchange: Exchange): Promise<string> {
    const { answer, request } = await this.#ask(exchange, this.#agents.exchanges);
    return readText(exchange, answer, request);
  }

  async #ask(
    exchange: Exchange,
    agent: Agent,
  ): Promise<{ answer: IncomingMessage; request: ClientRequest }> {
    const request = this.#send(exchange, agent);
    const answer = await answerTo(exchange, request);
    const code = answer.statusCode ?? 0;
    if (code >= 200 && code < 300) return { answer, request };
    throw new KubeError(statusFrom(code, await readText(exchange, answer, request)));
  }

  #send(exchange: Exchange, agent: Agent): ClientRequest {
    const body = exchange.body === undefined ? undefined : JSON.stringify(exchange.body);
    const token = this.#credentials.token?.();
    const options: RequestOptions = {
      agent,
      method: exchange.method,
      host: this.#base.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: this.#base.port === '' ? 443 : Number(this.#base.port),
      path: `${this.#base.pathname.replace(/\/$/, '')}${exchange.path}`,
      ...(exchange.signal === undefined ? {} : { signal: exchange.signal }),
      headers: {
        accept: 'application/json',
        'user-agent': this.#credentials.userAgent ?? 'ambit',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined
          ? {}
          : {
              'content-type': exchange.contentType ?? 'application/json',
              'content-length': Buffer.byteLength(body),
            }),
      },
    };
    return httpsRequest(options).end(body);
  }
}

function newAgents(credentials: KubeCredentials): Agents {
  const { caPem: ca, clientCertificatePem: cert, clientKeyPem: key } = credentials;
  const tls = {
    // Made once: each takes as much memory as a connection.
    secureContext: createSecureContext({
      ca,
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    }),
    ...(credentials.serverName === undefined ? {} : { servername: credentials.serverName }),
    keepAlive: true,
    keepAliveMsecs: KEEPALIVE_PROBE_MS,
  };
  const exchanges = new Agent({
    ...tls,
    maxSockets: CONNECTIONS_MAX,
    maxFreeSockets: FREE_CONNECTIONS_MAX,
  });
  return { exchanges, streams: new Agent({ ...tls, maxFreeSockets: 0 }) };
}

/** Waits for the head of the answer. */
function answerTo(exchange: Exchange, request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const deadline = setTimeout(() => {
      request.destroy(new Error(`no answer within ${ANSWER_DEADLINE_MS / 1000} s`));
    }, ANSWER_DEADLINE_MS);
    request.once('response', (answer) => {
      clearTimeout(deadline);
      resolve(answer);
    });
    // Stays on: an error that comes after the answer is the reader's, who sees it on the answer itself.
    request.on('error', (cause) => {
      clearTimeout(deadline);
      reject(connectionError(exchange, request, cause));
    });
  });
}

async function readText(
  exchange: Exchange,
  answer: IncomingMessage,
  request: ClientRequest,
): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  answer.setTimeout(ANSWER_DEADLINE_MS, () => {
    answer.destroy(new Error(`nothing came for ${ANSWER_DEADLINE_MS / 1000} s`));
  });
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > ANSWER_BYTES_MAX) throw new Error(`it is longer than ${ANSWER_BYTES_MAX} bytes`);
      chunks.push(chunk);
    }
  } catch (cause) {
    throw connectionError(exchange, request, cause);
  }
  return Buffer.concat(chunks).toString('utf8');
}

const STALE = Symbol('the connection had been used before');

function connectionError(
  exchange: Exchange,
  request: ClientRequest,
  cause: unknown,
): KubeConnectionError {
  const why = cause instanceof Error ? cause.message : String(cause);
  const error = new KubeConnectionError(
    `Cannot ask the API server at ${request.host} for ${describe(exchange)}: ${why}`,
    { cause },
  );
  return request.reusedSocket ? Object.assign(error, { [STALE]: true }) : error;
}

function wasStale(error: unknown): boolean {
  return error instanceof KubeConnectionError && STALE in error;
}

function describe(exchange: Exchange): string {
  return `${exchange.method} ${exchange.path}`;
}

function baseUrl(server: string): URL {
  const url = URL.parse(server);
  if (url?.protocol === 'https:') return url;
  throw new Error(`Cannot use "${server}" as the API server's address: want "https://host:port"`);
}
