import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';

import type { Logger } from '#common/log/logger.ts';

import type { KubeletConfig } from './config.ts';
import type { Kubelet } from './kubelet.ts';
import { readLog } from './log-reader.ts';
import { handleUpgrade } from './streaming/upgrade.ts';

/** Who may do everything to a cluster may do everything to its pods: the API server is one of them. */
const MASTERS = 'system:masters';

/** The kubelet's HTTPS server: for the API server alone, which both sides prove by the cluster's authority. */
export class KubeletServer {
  readonly #kubelet: Kubelet;
  readonly #address: string;
  readonly #server: Server;
  readonly #log: Logger;

  constructor(kubelet: Kubelet, config: KubeletConfig, log: Logger) {
    this.#kubelet = kubelet;
    this.#address = config.address;
    this.#log = log;
    this.#server = createServer(
      {
        cert: config.certificatePem,
        key: config.privateKeyPem,
        ca: config.authorityPem,
        requestCert: true,
        rejectUnauthorized: true,
      },
      (request, response) => void this.#handle(request, response),
    );
    this.#server.on('upgrade', (request, socket, head) => {
      if (isMaster(request)) handleUpgrade(this.#kubelet, request, socket, head);
      else forbid(socket);
    });
  }

  async listen(port: number): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#server.once('error', reject);
    this.#server.listen(port, this.#address, resolve);
    await promise;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      if (!isMaster(request)) return answer(response, 403, 'Forbidden\n');
      const url = new URL(request.url ?? '/', 'https://kubelet');
      const [, what = '', ...names] = url.pathname
        .split('/')
        .map((part) => decodeURIComponent(part));
      switch (what) {
        case 'healthz':
          return answer(response, 200, 'ok');
        case 'pods':
          return this.#pods(response);
        case 'containerLogs':
          return await this.#logs(names, url.searchParams, response);
        default:
          return answer(response, 404, '404 page not found\n');
      }
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      this.#log.warn('a request failed', { why });
      if (!response.headersSent) answer(response, 500, `${why}\n`);
      else response.destroy();
    }
  }

  #pods(response: ServerResponse): void {
    const items = this.#kubelet.workers.map(({ pod, status }) => ({ ...pod, status }));
    response.setHeader('Content-Type', 'application/json');
    answer(response, 200, JSON.stringify({ apiVersion: 'v1', kind: 'PodList', items }));
  }

  async #logs(
    [namespace = '', podName = '', containerName = '']: readonly string[],
    parameters: URLSearchParams,
    response: ServerResponse,
  ): Promise<void> {
    const worker = this.#kubelet.find(namespace, podName);
    if (worker === undefined) {
      return answer(response, 404, `pod ${JSON.stringify(podName)} does not exist\n`);
    }
    const runner = worker.container(containerName);
    if (runner === undefined) {
      const why = `container ${containerName} not found in pod ${podName}_${namespace}`;
      return answer(response, 404, `${why}\n`);
    }
    const previous = parameters.get('previous') === 'true';
    const path = runner.logFile(previous);
    if (path === undefined) {
      const why = previous
        ? `previous terminated container ${JSON.stringify(containerName)} in pod ${JSON.stringify(podName)} not found`
        : `container ${JSON.stringify(containerName)} in pod ${JSON.stringify(podName)} is waiting to start: ${runner.record.state.waiting?.reason ?? 'ContainerCreating'}`;
      return answer(response, 400, `${why}\n`);
    }
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    response.setHeader('Content-Type', 'text/plain');
    response.flushHeaders();
    const started = runner.record.containerId;
    await readLog(path, logOptions(parameters), response, {
      isOver: () =>
        previous ||
        runner.record.containerId !== started ||
        runner.record.state.running === undefined,
      signal: gone.signal,
    });
    response.end();
  }
}

/** Others have certificates of the cluster too: users, and the other nodes. */
function isMaster(request: IncomingMessage): boolean {
  const { subject } = (request.socket as TLSSocket).getPeerCertificate();
  // Several organizations are a list, whatever the types say.
  return [subject?.O ?? []].flat().includes(MASTERS);
}

function forbid(socket: Duplex): void {
  socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
}

function logOptions(parameters: URLSearchParams): Parameters<typeof readLog>[1] {
  const number = (name: string): number | undefined => {
    const text = parameters.get(name);
    return text === null || !/^\d+$/.test(text) ? undefined : Number(text);
  };
  const seconds = number('sinceSeconds');
  const time = parameters.get('sinceTime');
  const sinceMs = time === null ? undefined : Date.parse(time);
  return {
    follow: parameters.get('follow') === 'true',
    timestamps: parameters.get('timestamps') === 'true',
    tailLines: number('tailLines'),
    sinceMs: seconds === undefined ? sinceMs : Date.now() - seconds * 1_000,
    limitBytes: number('limitBytes'),
  };
}

function answer(response: ServerResponse, code: number, text: string): void {
  response.statusCode = code;
  response.end(text);
}
