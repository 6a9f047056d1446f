import type { GatewayAddress } from '#api/gen/workload_pb.ts';

import type { Fetch, Readable } from '../krt/core.ts';
import { DerivedCollection } from '../krt/derived.ts';
import type { Labels } from '../krt/filter.ts';
import type { Graph } from '../krt/graph.ts';
import { Singleton } from '../krt/singleton.ts';
import type { MeshSettings } from '../model/mesh.ts';
import { objectKey } from '../model/metadata.ts';
import type { NamespaceRecord } from '../model/place.ts';
import type { GatewayClassRecord, GatewayRecord, Waypoint } from '../model/waypoint.ts';
import { bindWaypoint, chosenWaypoint, waypointAddress, waypointOf } from './waypoints.ts';

const NETWORK = 'topology.istio.io/network';

/** What services and workloads alike depend on: the network, namespaces and waypoints. */
export interface Surroundings {
  readonly mesh: MeshSettings;
  readonly network: Singleton<string>;
  readonly namespaces: Readable<NamespaceRecord>;
  readonly waypoints: Readable<Waypoint>;
}

export function deriveSurroundings(
  graph: Graph,
  mesh: MeshSettings,
  inputs: {
    readonly namespaces: Readable<NamespaceRecord>;
    readonly gateways: Readable<GatewayRecord>;
    readonly gatewayClasses: Readable<GatewayClassRecord>;
  },
): Surroundings {
  const { namespaces, gateways, gatewayClasses } = inputs;
  const network = new Singleton(
    graph,
    'network',
    (fetch) => fetch.one(namespaces, mesh.systemNamespace)?.labels[NETWORK] ?? '',
  );
  const waypoints = new DerivedCollection<GatewayRecord, Waypoint>(graph, 'waypoints', gateways, {
    keyOf: objectKey,
    transformation: (gateway, fetch) => {
      const waypoint = waypointOf(gateway, fetch.one(gatewayClasses, gateway.className));
      return waypoint === undefined ? [] : [waypoint];
    },
  });
  return { mesh, network, namespaces, waypoints };
}

/** The address of the waypoint that an object is to be reached through. */
export function fetchWaypoint(
  fetch: Fetch,
  { namespaces, waypoints, network }: Surroundings,
  object: {
    readonly namespace: string;
    readonly labels: Labels;
    readonly traffic: 'service' | 'workload';
  },
): GatewayAddress | undefined {
  const namespace = fetch.one(namespaces, object.namespace);
  const choice = chosenWaypoint(object, namespace);
  if (choice === undefined) return undefined;
  const binding = bindWaypoint(choice, fetch.one(waypoints, choice.key), object, namespace);
  if (binding.kind !== 'bound') return undefined;
  return waypointAddress(binding.waypoint, network.fetch(fetch) ?? '');
}
