import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';

import type { Container, ProbeAction } from '#kube/resources.ts';

import type { ProbeResult } from './probe-state.ts';

/** What a probe is run against. */
export interface ProbeTarget {
  readonly container: Container;
  readonly podIp: string;
  /** Runs a command in the container. */
  exec(
    command: readonly string[],
    timeoutMs: number,
  ): Promise<{ readonly code: number; readonly output: string }>;
}

/** More of an answer than this is of no interest. */
const BODY_BYTES_MAX = 10 << 10;
const SUCCESS: ProbeResult = { kind: 'success' };

/** Tries a probe once. Connections come from the node's own network namespace. */
export async function runProbe(
  action: ProbeAction,
  target: ProbeTarget,
  timeoutMs: number,
): Promise<ProbeResult> {
  if (action.exec !== undefined) {
    const { code, output } = await target.exec(action.exec.command ?? [], timeoutMs);
    return code === 0 ? SUCCESS : failure(output.trim() || `command exited with ${code}`);
  }
  if (action.httpGet !== undefined) return probeHttp(action.httpGet, target, timeoutMs);
  const tcp = action.tcpSocket;
  if (tcp !== undefined) {
    const port = portNumber(target.container, tcp.port);
    if (port === undefined) return failure(`couldn't find port: ${tcp.port}`);
    return probeTcp(tcp.host ?? target.podIp, port, timeoutMs);
  }
  const grpc = (action as { grpc?: { port: number } }).grpc;
  // The health service's own answer is not read: that the port takes connections is what is checked.
  if (grpc !== undefined) return probeTcp(target.podIp, grpc.port, timeoutMs);
  return failure('missing probe handler');
}

/** The number of a port that may be given by its name. */
export function portNumber(container: Container, port: number | string): number | undefined {
  if (typeof port === 'number') return port;
  const named = container.ports?.find(({ name }) => name === port)?.containerPort;
  return named ?? (/^\d+$/.test(port) ? Number(port) : undefined);
}

async function probeHttp(
  get: NonNullable<ProbeAction['httpGet']>,
  target: ProbeTarget,
  timeoutMs: number,
): Promise<ProbeResult> {
  const port = portNumber(target.container, get.port);
  if (port === undefined) return failure(`couldn't find port: ${get.port}`);
  const secure = get.scheme === 'HTTPS';
  const host = get.host === undefined || get.host === '' ? target.podIp : get.host;
  const path = get.path ?? '/';
  const url = `${secure ? 'https' : 'http'}://${host}:${port}${path.startsWith('/') ? path : `/${path}`}`;
  const headers: Record<string, string> = { 'User-Agent': 'kube-probe/1.34', Accept: '*/*' };
  for (const { name, value } of get.httpHeaders ?? []) headers[name] = value;
  const { promise, resolve } = Promise.withResolvers<ProbeResult>();
  const options = { headers, agent: false, signal: AbortSignal.timeout(timeoutMs) };
  const request = secure
    ? httpsRequest(url, { ...options, rejectUnauthorized: false })
    : httpRequest(url, options);
  request.on('response', (response) => {
    const code = response.statusCode ?? 0;
    let size = 0;
    response.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > BODY_BYTES_MAX) response.destroy();
    });
    response.on('error', () => undefined);
    resolve(
      code >= 200 && code < 400 ? SUCCESS : failure(`HTTP probe failed with statuscode: ${code}`),
    );
  });
  request.on('error', (error) =>
    resolve(failure(`Get ${JSON.stringify(url)}: ${reason(error, host, port)}`)),
  );
  request.end();
  return promise;
}

async function probeTcp(host: string, port: number, timeoutMs: number): Promise<ProbeResult> {
  const { promise, resolve } = Promise.withResolvers<ProbeResult>();
  const socket = connect({ host, port, timeout: timeoutMs });
  socket.once('connect', () => resolve(SUCCESS));
  socket.once('timeout', () => resolve(failure(`dial tcp ${host}:${port}: i/o timeout`)));
  socket.once('error', (error) => resolve(failure(reason(error, host, port))));
  return promise.finally(() => socket.destroy());
}

/** As Go's network library words it, which is what people search for. */
function reason(error: NodeJS.ErrnoException, host: string, port: number): string {
  const dial = `dial tcp ${host}:${port}: connect:`;
  switch (error.code ?? '') {
    case 'ECONNREFUSED':
      return `${dial} connection refused`;
    case 'EHOSTUNREACH':
      return `${dial} no route to host`;
    case 'ECONNRESET':
      return `read tcp ->${host}:${port}: read: connection reset by peer`;
    case 'ABORT_ERR':
      return 'context deadline exceeded (Client.Timeout exceeded while awaiting headers)';
    default:
      return error.message;
  }
}

function failure(message: string): ProbeResult {
  return { kind: 'failure', message };
}
