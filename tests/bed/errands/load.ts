import { once } from 'node:events';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { type ClientHttp2Session, connect, constants } from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';

import { Metadata } from '@grpc/grpc-js';

import { peerClient } from './grpc.ts';

const DEADLINE_MS = 60_000;
/** Between an answer and the next request of its kind: what is asked must not keep the machine from everything else. */
const PAUSE_MS = 5;

export interface LoadGiven {
  /** `http1`: keeps its connections. `http2`: keeps to one connection. `grpc`: conversations of some messages. */
  readonly kind: 'http1' | 'http2' | 'grpc';
  /** `host:port`. */
  readonly target: string;
  /** So many at a time. */
  readonly width: number;
}

export interface LoadSeen {
  readonly requests: number;
  readonly failures: readonly string[];
  /** Connections, where the client has them in its hand. */
  readonly connections: number;
}

interface Load {
  stopping: boolean;
  requests: number;
  connections: number;
  readonly failures: string[];
  readonly ended: Promise<unknown>;
}

const loads: Load[] = [];

/** Asks all the time, until it is told to end; resolves with its number when the first answers are there. */
export async function beginLoad({ kind, target, width }: LoadGiven): Promise<number> {
  const started = Promise.withResolvers<void>();
  const load = { stopping: false, requests: 0, connections: 0, failures: [] as string[] };
  const ask = { http1: askHttp1, http2: askHttp2, grpc: askGrpc }[kind](target, load);
  const loop = async (): Promise<void> => {
    while (!load.stopping) {
      await ask().then(
        () => load.requests++,
        (error: unknown) => load.failures.push(String(error)),
      );
      started.resolve();
      await sleep(PAUSE_MS);
    }
  };
  const ended = Promise.all(Array.from({ length: width }, loop));
  loads.push(Object.assign(load, { ended }));
  await started.promise;
  return loads.length - 1;
}

export async function endLoad(given: { readonly load: number }): Promise<LoadSeen> {
  const load = loads[given.load];
  if (load === undefined) throw new Error(`There is no load ${given.load}`);
  load.stopping = true;
  await load.ended;
  const { requests, failures, connections } = load;
  return { requests, failures, connections };
}

type Counted = Pick<Load, 'connections'>;

function askHttp1(target: string, load: Counted): () => Promise<void> {
  const agent = new Agent({ keepAlive: true });
  return async () => {
    const outgoing = httpRequest(`http://${target}/asked`, {
      agent,
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
    outgoing.end();
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    if (!outgoing.reusedSocket) load.connections++;
    response.resume();
    await once(response, 'end');
    expectOk(response.statusCode);
  };
}

/** What a server says it has not looked at is asked again (RFC 9113 section 8.7). */
function askHttp2(target: string, load: Counted): () => Promise<void> {
  let session: ClientHttp2Session | undefined;
  const current = (): ClientHttp2Session => {
    if (session !== undefined && !session.closed && !session.destroyed) return session;
    const fresh = connect(`http://${target}`);
    load.connections++;
    fresh.on('error', () => undefined);
    fresh.on('goaway', () => {
      if (session === fresh) session = undefined;
    });
    session = fresh;
    return fresh;
  };
  const askOnce = async (): Promise<boolean> => {
    const stream = current().request({ ':path': '/asked' });
    stream.setTimeout(DEADLINE_MS, () => stream.close());
    let status: number | undefined;
    stream.on('response', (headers) => {
      status = headers[':status'];
    });
    stream.resume();
    const failed = once(stream, 'error').then(([error]: unknown[]) => error);
    const ended = once(stream, 'close').then(() => undefined);
    const error = await Promise.race([failed, ended]);
    if (stream.rstCode === constants.NGHTTP2_REFUSED_STREAM) return false;
    if (error !== undefined) throw error as Error;
    expectOk(status);
    return true;
  };
  return async () => {
    while (!(await askOnce()));
  };
}

const MESSAGES = 5;

function askGrpc(target: string): () => Promise<void> {
  const client = peerClient(target);
  return async () => {
    const call = client.Talk(new Metadata(), { deadline: Date.now() + DEADLINE_MS });
    let heard = 0;
    call.on('data', () => {
      heard++;
      if (heard < MESSAGES) setTimeout(() => call.write('more'), 20);
      else call.end();
    });
    call.write('first');
    call.on('error', () => undefined);
    const [{ code, details }] = (await once(call, 'status')) as [
      { readonly code: number; readonly details: string },
    ];
    if (code !== 0 || heard !== MESSAGES) {
      throw new Error(`${code} ${details} after ${heard} messages`);
    }
  };
}

function expectOk(status: number | undefined): void {
  if (status !== 200) throw new Error(`status ${status}`);
}
