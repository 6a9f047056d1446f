import { create, type JsonObject } from '@bufbuild/protobuf';
import { status as Status } from '@grpc/grpc-js';

import {
  AggregatedDiscoveryService,
  type DeltaDiscoveryRequest,
  DeltaDiscoveryRequestSchema,
  type DeltaDiscoveryResponse,
} from '#api/gen/discovery_pb.ts';
import { type BackoffPlan, backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import { Channel, type MessageStream, type StreamEnd } from '#common/grpc/channel.ts';
import { readTextSource, type TextSource } from '#common/text-source.ts';
import { readTrustRoots, type TrustRootsSource } from '#common/tls/trust-roots.ts';

import { HeldVersions } from './delta.ts';
import { WILDCARD } from './subscription.ts';

/** A resource as it came, not yet decoded. */
export interface ReceivedResource {
  readonly name: string;
  readonly version: string;
  /** Other names by which it can be asked for; told only to who asks by name. */
  readonly aliases: readonly string[];
  readonly bytes: Uint8Array;
}

export interface Rejection {
  readonly name: string;
  readonly reason: string;
}

/** One type of resource that the client wants, and who takes it. */
export interface TypeSubscription {
  readonly typeUrl: string;
  /** `on-demand`: only names that {@link XdsClient.demand} asks for. */
  readonly mode: 'wildcard' | 'on-demand';
  /**
   * Takes one response. What it can't use it names; the rest is in force when it returns. Must not throw.
   */
  readonly apply: (
    resources: readonly ReceivedResource[],
    removed: readonly string[],
  ) => readonly Rejection[];
}

/** What happens to the connection, for logs, metrics and readiness. */
export type XdsClientEvent =
  | { readonly kind: 'connecting'; readonly address: string }
  /** A response was applied; `complete`: nothing in it was refused. */
  | { readonly kind: 'applied'; readonly typeUrl: string; readonly complete: boolean }
  | {
      readonly kind: 'rejected';
      readonly typeUrl: string;
      readonly rejections: readonly Rejection[];
    }
  | {
      readonly kind: 'disconnected';
      /** The server ended the stream well; it failed; there was no stream. */
      readonly end: 'complete' | 'error' | 'unreachable';
      readonly reason: string;
      readonly retryMs: number;
    };

export interface XdsClientOptions {
  /** `https://host:port`, or `http://host:port` for plaintext. */
  readonly address: string;
  /** Read again for each connection, as the token is. */
  readonly roots: TrustRootsSource;
  readonly alternativeHostname?: string | undefined;
  /** Sent as bearer token. Undefined: none. */
  readonly token: TextSource | undefined;
  /** Further request headers, name in lower case → value. */
  readonly headers: ReadonlyMap<string, string>;
  readonly node: { readonly id: string; readonly metadata: JsonObject };
  /** In the order in which they are asked for. */
  readonly types: readonly TypeSubscription[];
  readonly clock: Clock;
  readonly random: () => number;
  readonly onEvent: (event: XdsClientEvent) => void;
}

// Short at first, since most disconnections are a server that makes place; at most 15 s, so that a node is
// up to date again soon after a long outage.
const RETRY: BackoffPlan = { firstMs: 10, maxMs: 15_000, spread: 0.2 };
// A mesh of half a million workloads in one response.
const RESPONSE_BYTES_MAX = 200 * 1024 * 1024;
/** A refusal has to fit into a message that servers take (4 MiB), whatever is wrong. */
const REJECTION_TEXT_MAX = 65_536;

interface HeldType {
  readonly subscription: TypeSubscription;
  readonly held: HeldVersions;
  /** Asked for by name, on this connection or an earlier one. */
  readonly demanded: Set<string>;
}

/**
 * Keeps a copy of the control plane's resources up to date, over one stream at a time. What was received
 * stays in force while there is no connection.
 */
export class XdsClient implements Disposable {
  readonly #options: XdsClientOptions;
  readonly #types: readonly HeldType[];
  #failures = 0;
  #stopped = false;
  /** The stream has brought something. */
  #answered = false;
  #stream: MessageStream<DeltaDiscoveryRequest> | undefined;
  #channel: Channel | undefined;
  #retry: Disposable | undefined;

  constructor(options: XdsClientOptions) {
    this.#options = options;
    this.#types = options.types.map((subscription) => ({
      subscription,
      held: new HeldVersions(),
      demanded: new Set(),
    }));
  }

  start(): void {
    void this.#connect();
  }

  /** Asks for resources by name or alias; the answer comes through `apply`, as removed when there are none. */
  demand(typeUrl: string, names: readonly string[]): void {
    const type = this.#type(typeUrl);
    if (type === undefined) return;
    const fresh = names.filter((name) => !type.demanded.has(name));
    for (const name of fresh) type.demanded.add(name);
    if (fresh.length > 0) {
      this.#send({ typeUrl, resourceNamesSubscribe: fresh });
    }
  }

  /** No longer wants what was asked for by name. */
  release(typeUrl: string, names: readonly string[]): void {
    const gone = names.filter((name) => this.#type(typeUrl)?.demanded.delete(name));
    if (gone.length > 0) this.#send({ typeUrl, resourceNamesUnsubscribe: gone });
  }

  [Symbol.dispose](): void {
    this.#stopped = true;
    this.#retry?.[Symbol.dispose]();
    this.#stream?.cancel();
    this.#channel?.[Symbol.dispose]();
  }

  async #connect(): Promise<void> {
    const { address, alternativeHostname, node, onEvent } = this.#options;
    onEvent({ kind: 'connecting', address });
    const prepared = await this.#prepare();
    if (this.#stopped) return;
    if (prepared.kind === 'failed') {
      this.#retryLater('unreachable', prepared.reason);
      return;
    }
    try {
      this.#channel = new Channel({
        address,
        rootsPem: prepared.rootsPem,
        alternativeHostname,
        receivedMessageBytesMax: RESPONSE_BYTES_MAX,
      });
    } catch (error) {
      this.#retryLater('unreachable', error instanceof Error ? error.message : String(error));
      return;
    }
    this.#answered = false;
    const method = AggregatedDiscoveryService.method.deltaAggregatedResources;
    this.#stream = this.#channel.stream(method, prepared.headers, {
      onMessage: (response) => this.#receive(response),
      onEnd: (end) => this.#ended(end),
    });
    for (const [position, type] of this.#types.entries()) {
      // Only the first request of a stream says who we are.
      this.#send({ ...firstRequest(type), ...(position === 0 ? { node } : {}) });
    }
  }

  async #prepare(): Promise<Prepared> {
    const { roots, token, headers } = this.#options;
    const all = new Map(headers);
    if (token !== undefined) {
      const read = await readTextSource(token);
      if (read.kind === 'failed') return { kind: 'failed', reason: `No token: ${read.reason}` };
      all.set('authorization', `Bearer ${read.text.trim()}`);
    }
    if (this.#options.address.startsWith('http:')) {
      return { kind: 'ready', headers: all, rootsPem: '' };
    }
    const read = await readTrustRoots(roots);
    if (read.kind === 'failed') return { kind: 'failed', reason: `No roots: ${read.reason}` };
    return { kind: 'ready', headers: all, rootsPem: read.pem };
  }

  #receive(response: DeltaDiscoveryResponse): void {
    const { typeUrl, nonce, resources, removedResources } = response;
    this.#failures = 0;
    this.#answered = true;
    const type = this.#type(typeUrl);
    if (type === undefined) {
      this.#refuse(typeUrl, nonce, `${typeUrl} was not asked for`);
      return;
    }
    const received = resources.map(({ name, version, aliases, resource }) => ({
      name,
      version,
      aliases,
      bytes: resource?.value ?? new Uint8Array(),
    }));
    const rejections = type.subscription.apply(received, removedResources);
    type.held.apply(resources, removedResources, new Set(rejections.map(({ name }) => name)));
    if (rejections.length === 0) {
      this.#send({ typeUrl, responseNonce: nonce });
    } else {
      this.#options.onEvent({ kind: 'rejected', typeUrl, rejections });
      this.#refuse(typeUrl, nonce, rejectionText(rejections));
    }
    this.#options.onEvent({ kind: 'applied', typeUrl, complete: rejections.length === 0 });
  }

  #refuse(typeUrl: string, responseNonce: string, message: string): void {
    this.#send({ typeUrl, responseNonce, errorDetail: { code: 0, message, details: [] } });
  }

  #ended({ status, details }: StreamEnd): void {
    this.#stream = undefined;
    this.#channel?.[Symbol.dispose]();
    this.#channel = undefined;
    if (this.#stopped) return;
    // The server makes place, or moves: nothing is wrong.
    if (status === Status.OK) this.#failures = 0;
    if (status === Status.OK) this.#retryLater('complete', 'The server ended the stream');
    else {
      const end = this.#answered ? 'error' : 'unreachable';
      this.#retryLater(end, `${Status[status]}: ${details}`);
    }
  }

  #retryLater(end: 'complete' | 'error' | 'unreachable', reason: string): void {
    this.#failures++;
    const retryMs = backoffMs(RETRY, this.#failures, this.#options.random);
    this.#options.onEvent({ kind: 'disconnected', end, reason, retryMs });
    this.#retry = this.#options.clock.setTimer(retryMs, () => void this.#connect());
  }

  #send(request: RequestFields): void {
    this.#stream?.send(create(DeltaDiscoveryRequestSchema, request));
  }

  #type(typeUrl: string): HeldType | undefined {
    return this.#types.find(({ subscription }) => subscription.typeUrl === typeUrl);
  }
}

type RequestFields = Parameters<typeof create<typeof DeltaDiscoveryRequestSchema>>[1];

type Prepared =
  | {
      readonly kind: 'ready';
      readonly headers: ReadonlyMap<string, string>;
      readonly rootsPem: string;
    }
  | { readonly kind: 'failed'; readonly reason: string };

function firstRequest({ subscription, held, demanded }: HeldType) {
  const { typeUrl, mode } = subscription;
  const initialResourceVersions = held.entries();
  return mode === 'wildcard'
    ? { typeUrl, initialResourceVersions }
    : {
        typeUrl,
        initialResourceVersions,
        resourceNamesSubscribe: [WILDCARD, ...demanded],
        resourceNamesUnsubscribe: [WILDCARD],
      };
}

function rejectionText(rejections: readonly Rejection[]): string {
  const text = rejections.map(({ name, reason }) => `${name}: ${reason}`).join('; ');
  return text.length <= REJECTION_TEXT_MAX ? text : `${text.slice(0, REJECTION_TEXT_MAX)}…`;
}
