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
import {
  bindWaypoint,
  chosenWaypoint,
  type WaypointBinding,
  type WaypointChoice,
  waypointAddress,
  waypointOf,
} from './waypoints.ts';

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

/** What services and workloads alike are bound by. */
export interface Bindable {
  readonly namespace: string;
  readonly labels: Labels;
  readonly traffic: 'service' | 'workload';
}

/** The waypoint that an object asks for, and what comes of it; undefined when it asks for none. */
export function fetchBinding(
  fetch: Fetch,
  { namespaces, waypoints }: Pick<Surroundings, 'namespaces' | 'waypoints'>,
  object: Bindable,
): { readonly choice: WaypointChoice; readonly binding: WaypointBinding } | undefined {
  const namespace = fetch.one(namespaces, object.namespace);
  const choice = chosenWaypoint(object, namespace);
  if (choice === undefined) return undefined;
  const waypoint = fetch.one(waypoints, choice.key);
  return { choice, binding: bindWaypoint(choice, waypoint, object, namespace) };
}

/** The address of the waypoint that an object is to be reached through. */
export function fetchWaypoint(
  fetch: Fetch,
  around: Surroundings,
  object: Bindable,
): GatewayAddress | undefined {
  const binding = fetchBinding(fetch, around, object)?.binding;
  if (binding?.kind !== 'bound') return undefined;
  return waypointAddress(binding.waypoint, around.network.fetch(fetch) ?? '');
}
