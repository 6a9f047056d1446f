import { status as Status } from '@grpc/grpc-js';

import type { DeltaDiscoveryRequest, Node } from '#api/gen/discovery_pb.ts';
import type { CallContext, Refusal, StreamInlet, StreamOutlet } from '#common/grpc/server.ts';
import type { Logger } from '#common/log/logger.ts';
import { shortType } from '#xds/resource.ts';
import { ServerStream } from '#xds/server-stream.ts';

import type { Caller } from '../ca/authorize.ts';
import type { Changes } from '../push/needs.ts';
import { urgentFirst } from '../push/needs.ts';
import type { PushQueue } from '../push/queue.ts';
import type { Mesh } from '../translate/derive-mesh.ts';
import { authenticate, type TokenReviewer } from './authenticate.ts';
import { Client, type ClientDescription, parseNodeId } from './clients.ts';
import type { DiscoveryCounters } from './counters.ts';
import { ADDRESS_TYPE, EncodedResources, sourcesFor } from './generators.ts';

export interface DiscoveryOptions {
  readonly mesh: Mesh;
  readonly review: TokenReviewer;
  readonly queue: PushQueue;
  readonly counters: DiscoveryCounters;
  readonly now: () => number;
  readonly log: Logger;
}

/** Longer than any name in a cluster: what clients say of themselves goes into logs and answers. */
const SAID_MAX = 512;

/** The xDS service: who may listen, and what each listener is told. */
export class DiscoveryService {
  readonly #options: DiscoveryOptions;
  readonly #encoded = new EncodedResources();
  readonly #clients = new Set<Client>();
  readonly #outlets = new Set<StreamOutlet>();
  #connections = 0;
  #pushes = 0;

  constructor(options: DiscoveryOptions) {
    this.#options = options;
  }

  get clients(): ReadonlySet<Client> {
    return this.#clients;
  }

  /** Resources came, changed or went: type URL → names; the first of them when the queue's clock said `sinceMs`. */
  changed(changes: Changes, sinceMs: number): void {
    this.#pushes++;
    const { mesh, queue } = this.#options;
    const nodes = new Set<string>();
    for (const name of changes.get(ADDRESS_TYPE) ?? []) {
      const node = mesh.addresses.get(name)?.node ?? '';
      if (node !== '') nodes.add(node);
    }
    queue.add(urgentFirst(this.#clients, nodes), changes, sinceMs);
  }

  /** Ends all streams well: their clients go on with another server. */
  endAll(): void {
    for (const outlet of this.#outlets) outlet.end();
  }

  /** Serves one stream; for {@link GrpcServer.addStreaming}. */
  serve(context: CallContext, outlet: StreamOutlet): StreamInlet<DeltaDiscoveryRequest> {
    this.#outlets.add(outlet);
    let caller: Caller | undefined;
    let client: Client | undefined;
    let closed = false;
    const refuse = (status: Status, details: string): void => {
      this.#options.log.warn('client refused', { peer: context.peer, reason: details });
      outlet.end({ status, details });
    };
    const receive = (who: Caller, request: DeltaDiscoveryRequest): void => {
      if (client === undefined) {
        const opened = this.#open(who, request.node, context, outlet);
        if (!(opened instanceof Client)) {
          refuse(opened.status, opened.details);
          return;
        }
        client = opened;
      }
      const problem = client.stream.receive(request);
      if (problem !== undefined) refuse(Status.RESOURCE_EXHAUSTED, problem.message);
    };
    // Until then, a stranger's requests are not even read.
    const admission = authenticate(context, this.#options.review).then((who) => {
      if (closed) return undefined;
      if (who.kind !== 'caller') {
        const status = who.kind === 'refused' ? Status.UNAUTHENTICATED : Status.UNAVAILABLE;
        refuse(status, `authentication failure: ${who.reason}`);
        return undefined;
      }
      caller = who.caller;
      return undefined;
    });
    return {
      admission,
      onMessage: (request) => {
        if (!closed && caller !== undefined) receive(caller, request);
      },
      onDrained: () => client?.stream.resume(),
      onClosed: () => {
        closed = true;
        this.#outlets.delete(outlet);
        if (client !== undefined) this.#close(client);
      },
    };
  }

  #open(
    caller: Caller,
    node: Node | undefined,
    context: CallContext,
    outlet: StreamOutlet,
  ): Client | Refusal {
    const described = describe(caller, node, context);
    if ('status' in described) return described;
    const { mesh, counters, log, now } = this.#options;
    this.#connections++;
    const id = `${described.name}-${this.#connections}`;
    const stream = new ServerStream({
      sources: sourcesFor(mesh, this.#encoded, described),
      send: (message, typeUrl) => {
        counters.sent(typeUrl, message.length);
        return outlet.write(message);
      },
      now,
      version: () => String(this.#pushes),
      onRefused: (typeUrl, message) => {
        counters.refused(typeUrl);
        log.warn('client refused a response', { client: id, type: shortType(typeUrl), message });
      },
      onStale: (typeUrl) => counters.stale(typeUrl),
    });
    const client = new Client(id, described, now(), stream);
    this.#clients.add(client);
    log.info('client connected', { client: id, peer: context.peer, node: described.node });
    return client;
  }

  #close(client: Client): void {
    this.#clients.delete(client);
    this.#options.queue.remove(client);
    this.#options.log.info('client disconnected', { client: client.id });
  }
}

/** What a client says it is must fit the account whose token it has. */
function describe(
  caller: Caller,
  node: Node | undefined,
  { peer }: CallContext,
): ClientDescription | Refusal {
  const id = parseNodeId(node?.id ?? '');
  if (id === undefined) {
    const said = JSON.stringify((node?.id ?? '').slice(0, SAID_MAX));
    const details = `Cannot read the node id ${said}: want type~ip~pod.namespace~domain`;
    return { status: Status.INVALID_ARGUMENT, details };
  }
  const meta = (name: string): string => {
    const value = node?.metadata?.[name];
    return typeof value === 'string' ? value.slice(0, SAID_MAX) : '';
  };
  const account = meta('SERVICE_ACCOUNT');
  if (id.namespace !== caller.namespace || (account !== '' && account !== caller.serviceAccount)) {
    const own = `${caller.namespace}/${caller.serviceAccount}`;
    const details = `${id.name} is not who the token of ${own} is for`;
    return { status: Status.PERMISSION_DENIED, details };
  }
  return {
    type: id.type,
    name: id.name,
    clusterId: meta('CLUSTER_ID'),
    version: meta('ISTIO_VERSION'),
    node: meta('NODE_NAME'),
    // Its pods run as the service account that is made with it, and that has its name.
    waypoint: id.type === 'waypoint' ? `${caller.namespace}/${caller.serviceAccount}` : undefined,
    peer,
  };
}
