import type { Graph } from '../krt/graph.ts';
import { StaticCollection } from '../krt/static.ts';
import type { EndpointSliceRecord } from '../model/endpoint-slice.ts';
import type { ServiceEntryRecord, WorkloadEntryRecord } from '../model/entry.ts';
import { objectKey } from '../model/metadata.ts';
import type { NamespaceRecord, NodeRecord } from '../model/place.ts';
import type { PodRecord } from '../model/pod.ts';
import type { AuthorizationPolicyRecord, PeerAuthenticationRecord } from '../model/policy.ts';
import type { RouteRecord } from '../model/route.ts';
import type { ServiceRecord } from '../model/service.ts';
import type { GatewayClassRecord, GatewayRecord } from '../model/waypoint.ts';

/** What is watched, one collection for each kind. Keys are `namespace/name`, or the name. */
export interface InputCollections {
  readonly pods: StaticCollection<PodRecord>;
  readonly services: StaticCollection<ServiceRecord>;
  readonly endpointSlices: StaticCollection<EndpointSliceRecord>;
  readonly namespaces: StaticCollection<NamespaceRecord>;
  readonly nodes: StaticCollection<NodeRecord>;
  readonly serviceEntries: StaticCollection<ServiceEntryRecord>;
  readonly workloadEntries: StaticCollection<WorkloadEntryRecord>;
  readonly authorizationPolicies: StaticCollection<AuthorizationPolicyRecord>;
  readonly peerAuthentications: StaticCollection<PeerAuthenticationRecord>;
  readonly gateways: StaticCollection<GatewayRecord>;
  readonly gatewayClasses: StaticCollection<GatewayClassRecord>;
  readonly httpRoutes: StaticCollection<RouteRecord>;
  readonly grpcRoutes: StaticCollection<RouteRecord>;
}

export function newInputCollections(graph: Graph): InputCollections {
  const keyOf = objectKey;
  const byName = { keyOf: ({ name }: { readonly name: string }) => name };
  return {
    pods: new StaticCollection<PodRecord>(graph, 'pods', { keyOf }),
    services: new StaticCollection<ServiceRecord>(graph, 'kubernetes services', { keyOf }),
    endpointSlices: new StaticCollection<EndpointSliceRecord>(graph, 'endpoint slices', { keyOf }),
    namespaces: new StaticCollection<NamespaceRecord>(graph, 'namespaces', byName),
    nodes: new StaticCollection<NodeRecord>(graph, 'nodes', byName),
    serviceEntries: new StaticCollection<ServiceEntryRecord>(graph, 'service entries', { keyOf }),
    workloadEntries: new StaticCollection<WorkloadEntryRecord>(graph, 'workload entries', {
      keyOf,
    }),
    authorizationPolicies: new StaticCollection<AuthorizationPolicyRecord>(
      graph,
      'authorization policies',
      { keyOf },
    ),
    peerAuthentications: new StaticCollection<PeerAuthenticationRecord>(
      graph,
      'peer authentications',
      { keyOf },
    ),
    gateways: new StaticCollection<GatewayRecord>(graph, 'gateways', { keyOf }),
    gatewayClasses: new StaticCollection<GatewayClassRecord>(graph, 'gateway classes', byName),
    httpRoutes: new StaticCollection<RouteRecord>(graph, 'http routes', { keyOf }),
    grpcRoutes: new StaticCollection<RouteRecord>(graph, 'grpc routes', { keyOf }),
  };
}
