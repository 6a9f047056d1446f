import type { Index, Readable } from '../krt/core.ts';
import type { Graph } from '../krt/graph.ts';
import { JoinedCollection } from '../krt/join.ts';
import type { GatewayPlan } from '../model/gateway-plan.ts';
import type { MeshSettings } from '../model/mesh.ts';
import type { NamespaceRecord } from '../model/place.ts';
import type { AuthorizationPolicyRecord, PeerAuthenticationRecord } from '../model/policy.ts';
import {
  type AddressResource,
  type PolicyResource,
  sameVersion,
  type WaypointResource,
} from '../model/resource.ts';
import type { RouteRecord } from '../model/route.ts';
import type { ServiceRecord } from '../model/service.ts';
import type { GatewayClassRecord, GatewayRecord } from '../model/waypoint.ts';
import { deriveBindings } from './derive-bindings.ts';
import { deriveGateways } from './derive-gateways.ts';
import { derivePolicies, type PolicyVerdict } from './derive-policies.ts';
import { deriveRouteVerdicts, type RouteVerdict } from './derive-route-verdicts.ts';
import { deriveServices } from './derive-services.ts';
import { deriveSurroundings } from './derive-surroundings.ts';
import { deriveWaypointPolicies, type WaypointPolicyVerdict } from './derive-waypoint-policies.ts';
import { deriveWaypointRoutes } from './derive-waypoint-routes.ts';
import { deriveWorkloads, type WorkloadInputs } from './derive-workloads.ts';
import { RouteReferences } from './route-references.ts';
import type { BindingVerdict } from './waypoints.ts';

/** The one value of an index that only tells some from others. */
const ANY = 'any';

/** Everything that is watched. */
export interface MeshInputs extends WorkloadInputs {
  readonly services: Readable<ServiceRecord>;
  readonly namespaces: Readable<NamespaceRecord>;
  readonly authorizationPolicies: Readable<AuthorizationPolicyRecord>;
  readonly peerAuthentications: Readable<PeerAuthenticationRecord>;
  readonly gateways: Readable<GatewayRecord>;
  readonly gatewayClasses: Readable<GatewayClassRecord>;
  readonly httpRoutes: Readable<RouteRecord>;
  readonly grpcRoutes: Readable<RouteRecord>;
}

/** Everything that is sent, and the ways in which it is asked for. */
export interface Mesh {
  readonly addresses: Readable<AddressResource>;
  readonly addressesByAlias: Index<AddressResource>;
  /** A service's workloads. */
  readonly addressesByService: Index<AddressResource>;
  readonly addressesByNode: Index<AddressResource>;
  /** Services that have whole blocks of addresses. */
  readonly blockOwners: () => readonly AddressResource[];
  readonly policies: Readable<PolicyResource>;
  /** For the authors of policies. */
  readonly verdicts: Readable<PolicyVerdict>;
  readonly waypointPolicyVerdicts: Readable<WaypointPolicyVerdict>;
  /** For the authors of services and entries that ask for a waypoint: by `kind/namespace/name`. */
  readonly bindings: Readable<BindingVerdict>;
  /** What becomes of the gateways that are ours, by `namespace/name`. */
  readonly gatewayPlans: Readable<GatewayPlan>;
  /** For the authors of routes: by `kind/namespace/name`. */
  readonly routeVerdicts: Readable<RouteVerdict>;
  /** What each waypoint is told beyond addresses: see `waypointResourceKey()`. */
  readonly waypointRoutes: Readable<WaypointResource>;
  readonly waypointPolicies: Readable<WaypointResource>;
  readonly waypointRoutesByWaypoint: Index<WaypointResource>;
  readonly waypointPoliciesByWaypoint: Index<WaypointResource>;
}

/** From what is watched to what is sent. */
export function deriveMesh(graph: Graph, settings: MeshSettings, inputs: MeshInputs): Mesh {
  const around = deriveSurroundings(graph, settings, inputs);
  const services = deriveServices(graph, around, inputs);
  const policies = derivePolicies(graph, settings, inputs);
  const workloads = deriveWorkloads(graph, { around, services, policies }, inputs);
  const addresses = new JoinedCollection<AddressResource>(graph, 'address resources', {
    keyOf: ({ name }) => name,
    equal: sameVersion,
    parts: [services.resources, ...workloads],
  });
  const byBlocks = addresses.indexBy('blocks', ({ blocks }) => (blocks.length > 0 ? [ANY] : []));
  const references = new RouteReferences(around, inputs, services.owned);
  const waypointRoutes = deriveWaypointRoutes(graph, references, inputs);
  const waypointPolicies = deriveWaypointPolicies(graph, around, inputs);
  return {
    addresses,
    addressesByAlias: addresses.indexBy('alias', ({ aliases }) => aliases),
    addressesByService: addresses.indexBy('service', ({ services: names }) => names),
    addressesByNode: addresses.indexBy('node', ({ node }) => (node === '' ? [] : [node])),
    blockOwners: () => byBlocks.lookup(ANY),
    policies: policies.resources,
    verdicts: policies.verdicts,
    bindings: deriveBindings(graph, around, inputs),
    gatewayPlans: deriveGateways(graph, around, inputs),
    routeVerdicts: deriveRouteVerdicts(graph, references, inputs),
    waypointRoutes,
    waypointPolicies: waypointPolicies.resources,
    waypointPolicyVerdicts: waypointPolicies.verdicts,
    waypointRoutesByWaypoint: waypointRoutes.indexBy('waypoint', byWaypoint),
    waypointPoliciesByWaypoint: waypointPolicies.resources.indexBy('waypoint', byWaypoint),
  };
}

function byWaypoint({ waypoint }: WaypointResource): readonly string[] {
  return [waypoint];
}
