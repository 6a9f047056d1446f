import { type IncomingMessage, type OutgoingHttpHeaders, STATUS_CODES } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';
import type { Duplex } from 'node:stream';

import type { KeyedCertificate } from './certificates.ts';
import { ApiError, badRequest, internalError } from './errors.ts';
import type { Answer, ApiRequest, ApiResponse } from './exchange.ts';
import { containerOf, type KubeletAddress, kubeletAddress, nodeNameOf } from './kubelet-address.ts';
import type { StoredObject } from './object.ts';
import type { ResourceRequest } from './request-info.ts';
import type { Store } from './store.ts';

export interface KubeletProxyOptions {
  readonly store: Store;
  /** As what we sign in at kubelets. */
  readonly identity: KeyedCertificate;
  readonly authorityPem: string;
}

/** A client's connection that shall be joined with a kubelet's. */
export interface Connecting {
  readonly pod: StoredObject;
  readonly socket: Duplex;
  readonly head: Buffer;
}

/** What the query of a log request may say; the kubelet reads the same names. */
const LOG_PARAMETERS = [
  'follow',
  'previous',
  'timestamps',
  'tailLines',
  'sinceSeconds',
  'sinceTime',
  'limitBytes',
  'stream',
];
/** Kubelet's names of the subresources. */
const KUBELET_PATHS: Readonly<Record<string, string>> = {
  exec: 'exec',
  attach: 'attach',
  portforward: 'portForward',
};
/** Headers of an upgrade that the two ends have between them. */
const UPGRADE_HEADERS = [
  'connection',
  'upgrade',
  'sec-websocket-key',
  'sec-websocket-version',
  'sec-websocket-protocol',
  'sec-websocket-extensions',
  'x-stream-protocol-version',
];
const CONNECT_MS_MAX = 10_000;
/** A kubelet's explanation, not a log. */
const REFUSAL_BYTES_MAX = 4_096;

/** Passes logs and interactive connections between clients and the agents of the nodes. */
export class KubeletProxy {
  readonly #store: Store;
  readonly #agent: Agent;

  constructor(options: KubeletProxyOptions) {
    this.#store = options.store;
    this.#agent = new Agent({
      cert: options.identity.certificatePem,
      key: options.identity.privateKeyPem,
      ca: options.authorityPem,
      timeout: CONNECT_MS_MAX,
    });
  }

  /** The lines of a container. @throws ApiError */
  async log(request: ApiRequest, pod: StoredObject): Promise<Answer> {
    const { query } = request;
    const container = containerOf(pod, query.get('container'));
    const parameters = new URLSearchParams();
    for (const name of LOG_PARAMETERS) {
      const value = query.get(name);
      if (value !== null) parameters.set(name, value);
    }
    checkLogParameters(parameters);
    const { namespace = '', name } = pod.metadata;
    const path = `/containerLogs/${namespace}/${name}/${container}?${parameters.toString()}`;
    const answer = await this.#ask(this.#addressOf(pod), path, request.signal);
    return { kind: 'stream', run: (response, headers) => pipeLog(answer, response, headers) };
  }

  /** Joins a client that wants exec, attach or port-forward with the kubelet. @throws ApiError */
  async connect(request: ApiRequest, info: ResourceRequest, connecting: Connecting): Promise<void> {
    const { pod, socket, head } = connecting;
    const { namespace = '', name } = pod.metadata;
    const parameters = new URLSearchParams(request.query);
    let path = `/${KUBELET_PATHS[info.subresource] ?? ''}/${namespace}/${name}`;
    if (info.subresource !== 'portforward') {
      path += `/${containerOf(pod, request.query.get('container'))}`;
      parameters.delete('container');
    }
    if (info.subresource === 'exec' && parameters.getAll('command').length === 0)
      throw badRequest('you must specify at least 1 command for the container');
    const headers: OutgoingHttpHeaders = {};
    for (const header of UPGRADE_HEADERS) {
      const value = request.headers[header];
      if (value !== undefined) headers[header] = value;
    }
    const address = this.#addressOf(pod);
    const kubelet = await this.#upgrade(address, `${path}?${parameters.toString()}`, headers);
    socket.write(switchingHead(kubelet.answer));
    join(socket, kubelet.socket, head, kubelet.head);
  }

  #addressOf(pod: StoredObject): KubeletAddress {
    const nodes = this.#store.registry.find('', 'v1', 'nodes');
    if (nodes === undefined) throw internalError('nodes are not served');
    return kubeletAddress(this.#store.get(nodes, { name: nodeNameOf(pod) }));
  }

  async #ask(address: KubeletAddress, path: string, signal: AbortSignal): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const request = httpsRequest({ ...this.#target(address, path), signal }, resolve);
    request.on('timeout', () => request.destroy(new Error('no answer in time')));
    request.on('error', (error) => reject(unreachable(address, path, error)));
    request.end();
    const answer = await promise;
    // A log that is followed may be silent for long.
    request.setTimeout(0);
    if (answer.statusCode !== 200) throw await refusal(answer);
    return answer;
  }

  async #upgrade(
    address: KubeletAddress,
    path: string,
    headers: OutgoingHttpHeaders,
  ): Promise<{ answer: IncomingMessage; socket: Duplex; head: Buffer }> {
    const upgraded = Promise.withResolvers<{
      answer: IncomingMessage;
      socket: Duplex;
      head: Buffer;
    }>();
    const request = httpsRequest({ ...this.#target(address, path), headers });
    request.on('upgrade', (answer, socket, head) => {
      socket.setTimeout(0);
      upgraded.resolve({ answer, socket, head });
    });
    request.on('response', (answer) => {
      refusal(answer).then(upgraded.reject, upgraded.reject);
    });
    request.on('timeout', () => request.destroy(new Error('no answer in time')));
    request.on('error', (error) => upgraded.reject(unreachable(address, path, error)));
    request.end();
    return upgraded.promise;
  }

  #target(address: KubeletAddress, path: string) {
    const { host, port, node } = address;
    return { host, port, path, servername: node, agent: this.#agent, timeout: CONNECT_MS_MAX };
  }
}

/** Copies both ways until either side ends; what has come too early goes first. */
function join(client: Duplex, kubelet: Duplex, clientHead: Buffer, kubeletHead: Buffer): void {
  if (clientHead.length > 0) kubelet.write(clientHead);
  if (kubeletHead.length > 0) client.write(kubeletHead);
  client.pipe(kubelet).pipe(client);
  for (const [one, other] of [
    [client, kubelet],
    [kubelet, client],
  ] as const) {
    one.on('error', () => other.destroy());
    one.on('close', () => other.destroy());
  }
}

function switchingHead(answer: IncomingMessage): string {
  const lines = ['HTTP/1.1 101 Switching Protocols'];
  for (let index = 0; index + 1 < answer.rawHeaders.length; index += 2)
    lines.push(`${answer.rawHeaders[index] ?? ''}: ${answer.rawHeaders[index + 1] ?? ''}`);
  return `${lines.join('\r\n')}\r\n\r\n`;
}

function pipeLog(
  answer: IncomingMessage,
  response: ApiResponse,
  headers: Readonly<Record<string, string | string[]>>,
): void {
  response.writeHead(200, { ...headers, 'content-type': 'text/plain' });
  // Somebody who follows a silent log wants to know that it is followed.
  response.write('');
  answer.on('data', (chunk: Buffer) => {
    if (!response.write(chunk)) answer.pause();
  });
  response.on('drain', () => answer.resume());
  response.on('close', () => answer.destroy());
  answer.on('end', () => response.end());
  answer.on('error', () => response.destroy());
}

function checkLogParameters(parameters: URLSearchParams): void {
  for (const name of ['tailLines', 'sinceSeconds', 'limitBytes']) {
    const value = parameters.get(name);
    const least = name === 'tailLines' ? 0 : 1;
    if (value !== null && !(/^\d{1,15}$/.test(value) && Number(value) >= least))
      throw badRequest(
        `${name}: Invalid value: ${JSON.stringify(value)}: must be an integer of at least ${least}`,
      );
  }
  if (parameters.has('sinceSeconds') && parameters.has('sinceTime'))
    throw badRequest('at most one of `sinceTime` or `sinceSeconds` may be specified');
}

function unreachable(address: KubeletAddress, path: string, error: Error): ApiError {
  const url = `https://${address.host}:${address.port}${path.split('?', 1)[0] ?? ''}`;
  return internalError(
    `cannot reach the agent of node "${address.node}" at ${url}: ${error.message}`,
  );
}

async function refusal(answer: IncomingMessage): Promise<ApiError> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > REFUSAL_BYTES_MAX) break;
  }
  const code = answer.statusCode ?? 500;
  const text = Buffer.concat(chunks).toString('utf8').trim();
  const reason = (STATUS_CODES[code] ?? 'Unknown').replaceAll(' ', '');
  return new ApiError(code, reason, text || `the agent of the node answered ${code}`);
}
