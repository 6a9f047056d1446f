import type { EventEmitter } from 'node:events';

import {
  type CallOptions,
  type Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientUnaryCall,
  type ClientWritableStream,
  credentials,
  Metadata,
  makeGenericClientConstructor,
  type ServiceError,
  type StatusObject,
  type status,
} from '@grpc/grpc-js';

import { PEER } from '../grpc-peer.ts';

const DEADLINE_MS = 60_000;

export interface GrpcGiven {
  /** `host:port`. */
  readonly target: string;
  readonly method: 'Say' | 'Collect' | 'Count' | 'Refuse' | 'Hang' | 'Hung';
  /** One, but for methods to which the client streams. */
  readonly texts: readonly string[];
  readonly metadata?: Readonly<Record<string, string>>;
  readonly deadlineMs?: number;
}

/** What a call came to. */
export interface GrpcSeen {
  readonly code: status;
  readonly details: string;
  readonly texts: readonly string[];
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly trailers: Readonly<Record<string, unknown>>;
}

interface PeerClient extends Client {
  Say: Unary;
  Refuse: Unary;
  Hung: Unary;
  Collect(
    metadata: Metadata,
    options: CallOptions,
    done: (error: ServiceError | null, text?: string) => void,
  ): ClientWritableStream<string>;
  Count(text: string, metadata: Metadata, options: CallOptions): ClientReadableStream<string>;
  Hang(text: string, metadata: Metadata, options: CallOptions): ClientReadableStream<string>;
  Talk(metadata: Metadata, options: CallOptions): ClientDuplexStream<string, string>;
}

type Unary = (
  text: string,
  metadata: Metadata,
  options: CallOptions,
  done: (error: ServiceError | null, text?: string) => void,
) => ClientUnaryCall;

type Call =
  | ClientUnaryCall
  | ClientWritableStream<string>
  | ClientReadableStream<string>
  | ClientDuplexStream<string, string>;

const PeerClients = makeGenericClientConstructor(PEER, 'Peer');
const clients = new Map<string, PeerClient>();

/** One for each target: its calls share a connection. */
export function peerClient(target: string): PeerClient {
  const known = clients.get(target);
  if (known !== undefined) return known;
  const client = new PeerClients(target, credentials.createInsecure()) as unknown as PeerClient;
  clients.set(target, client);
  return client;
}

/** One call that needs no conversation. */
export async function grpcCall(given: GrpcGiven): Promise<GrpcSeen> {
  const { target, method, texts, deadlineMs = DEADLINE_MS } = given;
  const client = peerClient(target);
  const metadata = metadataOf(given.metadata ?? {});
  const options = { deadline: Date.now() + deadlineMs };
  const heard: string[] = [];
  const done = (_error: ServiceError | null, text?: string): void => {
    if (text !== undefined) heard.push(text);
  };
  const [text = ''] = texts;
  switch (method) {
    case 'Collect': {
      const call = client.Collect(metadata, options, done);
      const outcome = outcomeOf(call, heard);
      for (const one of texts) call.write(one);
      call.end();
      return outcome;
    }
    case 'Count':
    case 'Hang': {
      const call = client[method](text, metadata, options);
      call.on('data', (one: string) => heard.push(one));
      return outcomeOf(call, heard);
    }
    case 'Say':
    case 'Refuse':
    case 'Hung':
      return outcomeOf(client[method](text, metadata, options, done), heard);
  }
}

/** Says the next text only when the one before has been answered. */
export async function grpcTalk(given: {
  readonly target: string;
  readonly texts: readonly string[];
}): Promise<GrpcSeen> {
  const call = peerClient(given.target).Talk(new Metadata(), {
    deadline: Date.now() + DEADLINE_MS,
  });
  const heard: string[] = [];
  const coming = [...given.texts];
  const sayNext = (): void => {
    const next = coming.shift();
    if (next === undefined) call.end();
    else call.write(next);
  };
  call.on('data', (one: string) => {
    heard.push(one);
    sayNext();
  });
  const outcome = outcomeOf(call, heard);
  sayNext();
  return outcome;
}

/** Begins a call that hangs, cancels it, and asks until the server knows. */
export async function grpcCancel(given: { readonly target: string }): Promise<{
  readonly code: status;
  readonly hungBefore: string;
  readonly hungAfter: string;
}> {
  const client = peerClient(given.target);
  const call = client.Hang('please', new Metadata(), { deadline: Date.now() + DEADLINE_MS });
  const outcome = outcomeOf(call, []);
  await new Promise((resolve) => call.once('data', resolve));
  const ask = async (): Promise<string> => {
    const seen = await grpcCall({ target: given.target, method: 'Hung', texts: ['please'] });
    return seen.texts.join();
  };
  const hungBefore = await ask();
  call.cancel();
  const { code } = await outcome;
  const untilMs = Date.now() + DEADLINE_MS;
  let hungAfter = await ask();
  while (hungAfter !== '0' && Date.now() < untilMs) hungAfter = await ask();
  return { code, hungBefore, hungAfter };
}

async function outcomeOf(call: Call, texts: readonly string[]): Promise<GrpcSeen> {
  let metadata: Readonly<Record<string, unknown>> = {};
  const ended = Promise.withResolvers<StatusObject>();
  call.on('metadata', (first: Metadata) => {
    metadata = first.getMap();
  });
  // The status tells the same.
  (call as EventEmitter).on('error', () => undefined);
  call.on('status', ended.resolve);
  const { code, details, metadata: trailers } = await ended.promise;
  return { code, details, texts, metadata, trailers: trailers.getMap() };
}

function metadataOf(fields: Readonly<Record<string, string>>): Metadata {
  const metadata = new Metadata();
  for (const [key, value] of Object.entries(fields)) metadata.set(key, value);
  return metadata;
}
