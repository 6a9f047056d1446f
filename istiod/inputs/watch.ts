import type { Clock } from '#common/clock.ts';
import type { Logger } from '#common/log/logger.ts';
import type { KubeClient } from '#kube/client.ts';
import { Informer } from '#kube/informer.ts';
import {
  AUTHORIZATION_POLICIES,
  ENDPOINT_SLICES,
  GATEWAY_CLASSES,
  GATEWAYS,
  GRPC_ROUTES,
  HTTP_ROUTES,
  type KubeObject,
  NAMESPACES,
  NODES,
  PEER_AUTHENTICATIONS,
  PODS,
  type ResourceKind,
  SERVICE_ENTRIES,
  SERVICES,
  WORKLOAD_ENTRIES,
} from '#kube/resources.ts';

import type { Graph } from '../krt/graph.ts';
import type { StaticCollection } from '../krt/static.ts';
import type { InputCollections } from './collections.ts';
import { CustomKinds } from './custom-kinds.ts';
import { endpointSliceRecord } from './endpoint-slices.ts';
import { serviceEntryRecord, workloadEntryRecord } from './entries.ts';
import { feed } from './from-informer.ts';
import { gatewayClassRecord, gatewayRecord } from './gateways.ts';
import { namespaceRecord, nodeRecord } from './places.ts';
import { podRecord } from './pods.ts';
import { authorizationPolicyRecord, peerAuthenticationRecord } from './policies.ts';
import { grpcRouteRecord, httpRouteRecord } from './routes.ts';
import { serviceRecord } from './services.ts';
import { trimmed, trimmedPod } from './trim.ts';

export interface WatchOptions {
  readonly client: KubeClient;
  readonly graph: Graph;
  readonly collections: InputCollections;
  readonly domain: string;
  /** Configuration that names another revision is not ours. */
  readonly revision: string;
  readonly clock: Clock;
  readonly log: Logger;
}

const REVISION = 'istio.io/rev';

/** Watches everything that the mesh is derived from, and keeps it in collections. */
export class ClusterWatch implements Disposable {
  readonly #options: WatchOptions;
  readonly #informers: Informer<KubeObject>[] = [];
  readonly #syncing: Promise<void>[] = [];
  readonly #custom: CustomKinds;

  constructor(options: WatchOptions) {
    this.#options = options;
    const { client, graph, collections, domain, clock, log } = options;
    this.#watch(PODS, collections.pods, podRecord, trimmedPod);
    this.#watch(SERVICES, collections.services, (service) => serviceRecord(service, domain));
    this.#watch(ENDPOINT_SLICES, collections.endpointSlices, endpointSliceRecord);
    this.#watch(NAMESPACES, collections.namespaces, namespaceRecord);
    this.#watch(NODES, collections.nodes, nodeRecord);
    this.#custom = new CustomKinds({ client, graph, clock, log });
    this.#custom.add(
      AUTHORIZATION_POLICIES,
      collections.authorizationPolicies,
      this.#ours(authorizationPolicyRecord),
    );
    this.#custom.add(
      PEER_AUTHENTICATIONS,
      collections.peerAuthentications,
      this.#ours(peerAuthenticationRecord),
    );
    this.#custom.add(SERVICE_ENTRIES, collections.serviceEntries, this.#ours(serviceEntryRecord));
    this.#custom.add(
      WORKLOAD_ENTRIES,
      collections.workloadEntries,
      this.#ours(workloadEntryRecord),
    );
    // Gateways say by their revision who deploys them, not who may send traffic through them.
    this.#custom.add(GATEWAYS, collections.gateways, gatewayRecord);
    this.#custom.add(GATEWAY_CLASSES, collections.gatewayClasses, gatewayClassRecord);
    this.#custom.add(HTTP_ROUTES, collections.httpRoutes, this.#ours(httpRouteRecord));
    this.#custom.add(GRPC_ROUTES, collections.grpcRoutes, this.#ours(grpcRouteRecord));
  }

  start(): void {
    for (const informer of this.#informers) informer.start();
    this.#custom.start();
  }

  /** When all that there was at the beginning is in the collections. */
  async synced(): Promise<void> {
    await Promise.all([...this.#syncing, this.#custom.synced()]);
    for (const collection of Object.values(this.#options.collections)) {
      (collection as StaticCollection<unknown>).markSynced();
    }
  }

  [Symbol.dispose](): void {
    for (const informer of this.#informers) informer.stop();
    this.#custom[Symbol.dispose]();
  }

  #watch<O extends KubeObject, R>(
    kind: ResourceKind<O>,
    collection: StaticCollection<R>,
    recordOf: (object: O) => R | undefined,
    transform: (object: O) => O = trimmed,
  ): void {
    const { client, graph, clock, log } = this.#options;
    const informer = new Informer(client, kind, { transform, clock, log });
    feed(graph, informer, collection, recordOf);
    this.#informers.push(informer as unknown as Informer<KubeObject>);
    this.#syncing.push(informer.synced);
  }

  #ours<O extends KubeObject, R>(
    recordOf: (object: O) => R | undefined,
  ): (object: O) => R | undefined {
    const { revision } = this.#options;
    return (object) => {
      const wanted = object.metadata.labels?.[REVISION];
      return wanted === undefined || wanted === revision ? recordOf(object) : undefined;
    };
  }
}
