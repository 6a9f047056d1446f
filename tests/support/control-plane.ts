// What the control plane watches and derives, in few words.
import { fromBinary } from '@bufbuild/protobuf';
import {
  AddressSchema,
  AppProtocol,
  type Service,
  Service_Visibility as Visibility,
  type Workload,
} from '#api/gen/workload_pb.ts';
import { type IpAddress, parseIp } from '#common/net/address.ts';
import { type InputCollections, newInputCollections } from '#istiod/inputs/collections.ts';
import { Graph } from '#istiod/krt/graph.ts';
import type { MeshSettings } from '#istiod/model/mesh.ts';
import type { PodRecord } from '#istiod/model/pod.ts';
import type { AuthorizationPolicyRecord, PeerAuthenticationRecord } from '#istiod/model/policy.ts';
import type { AddressResource } from '#istiod/model/resource.ts';
import type { RouteParentRef, RouteRecord } from '#istiod/model/route.ts';
import type { ServicePort, ServiceRecord } from '#istiod/model/service.ts';
import type { GatewayListener, GatewayRecord } from '#istiod/model/waypoint.ts';
import { deriveMesh, type Mesh } from '#istiod/translate/derive-mesh.ts';

export const MESH: MeshSettings = {
  trustDomain: 'cluster.local',
  domain: 'cluster.local',
  rootNamespace: 'istio-system',
  systemNamespace: 'istio-system',
  clusterId: 'Kubernetes',
  revision: 'default',
  waypointImage: 'ambit/waypoint:1.2.3',
};

export function address(text: string): IpAddress {
  const ip = parseIp(text);
  if (ip === undefined) throw new Error(`Not an address: ${text}`);
  return ip;
}

const described = { namespace: 'shop', labels: {}, createdAt: '2026-01-01T00:00:00Z' };

export function podRecord(name: string, more: Partial<PodRecord> = {}): PodRecord {
  return {
    ...described,
    name,
    uid: `uid-of-${name}`,
    phase: 'Running',
    addresses: [address('10.0.0.1')],
    node: 'node-a',
    serviceAccount: 'default',
    hostNetwork: false,
    ready: true,
    redirected: false,
    nativeTunnel: false,
    workloadName: name,
    namedPorts: new Map(),
    ...more,
  };
}

export function servicePort(number: number, more: Partial<ServicePort> = {}): ServicePort {
  return { name: '', number, target: number, protocol: AppProtocol.UNKNOWN, ...more };
}

export function serviceRecord(name: string, more: Partial<ServiceRecord> = {}): ServiceRecord {
  const namespace = more.namespace ?? described.namespace;
  return {
    ...described,
    kind: 'Service',
    name,
    hostname: `${name}.${namespace}.svc.cluster.local`,
    selector: { app: name },
    addresses: [],
    ports: [servicePort(80)],
    families: [],
    balancing: {
      internalTrafficPolicy: undefined,
      trafficDistribution: undefined,
      annotation: undefined,
      publishNotReady: false,
      passthrough: false,
    },
    subjectAltNames: [],
    visibility: Visibility.PUBLIC,
    ...more,
  };
}

export function authorizationRecord(
  name: string,
  more: Partial<AuthorizationPolicyRecord> = {},
): AuthorizationPolicyRecord {
  return {
    ...described,
    name,
    selector: undefined,
    targeted: false,
    targets: [],
    dryRun: false,
    action: 'ALLOW',
    rules: undefined,
    ...more,
  };
}

/** A waypoint as `ambit waypoint apply` makes it. */
export function gatewayRecord(name: string, more: Partial<GatewayRecord> = {}): GatewayRecord {
  return {
    ...described,
    name,
    uid: `uid-of-${name}`,
    generation: 1,
    deleting: false,
    annotations: {},
    className: 'istio-waypoint',
    wantedAddresses: [],
    infrastructure: { labels: undefined, annotations: undefined, parametersRef: undefined },
    addresses: [],
    listeners: [meshListener()],
    inboundBinding: undefined,
    ...more,
  };
}

/** A parentRef to a Service of `shop`, unless told otherwise. */
export function parentRef(name: string, more: Partial<RouteParentRef> = {}): RouteParentRef {
  const namespace = more.namespace ?? described.namespace;
  const written = { group: '', kind: 'Service', namespace, name };
  return { ...written, port: undefined, section: undefined, written, ...more };
}

/** An HTTPRoute unless told otherwise. */
export function routeRecord(name: string, more: Partial<RouteRecord> = {}): RouteRecord {
  return {
    ...described,
    name,
    kind: 'HTTPRoute',
    generation: 1,
    parentRefs: [],
    rules: [],
    ...more,
  };
}

export function meshListener(more: Partial<GatewayListener> = {}): GatewayListener {
  return {
    name: 'mesh',
    port: 15_008,
    protocol: 'HBONE',
    from: { kind: 'same' },
    kinds: [],
    ...more,
  };
}

export function mtlsRecord(
  name: string,
  mode: PeerAuthenticationRecord['mode'],
  more: Partial<PeerAuthenticationRecord> = {},
): PeerAuthenticationRecord {
  return { ...described, name, mode, selector: undefined, ports: new Map(), ...more };
}

/** All inputs as collections, and the mesh that is derived from them. */
export interface MeshWorld {
  readonly graph: Graph;
  readonly inputs: InputCollections;
  readonly mesh: Mesh;
}

export function meshWorld(settings: MeshSettings = MESH): MeshWorld {
  const graph = new Graph(({ error }) => {
    throw error;
  });
  const inputs = newInputCollections(graph);
  return { graph, inputs, mesh: deriveMesh(graph, settings, inputs) };
}

/** The labels of a service that wants this waypoint. */
export function usesWaypoint(
  name: string,
  namespace: string = described.namespace,
): Readonly<Record<string, string>> {
  return { 'istio.io/use-waypoint': name, 'istio.io/use-waypoint-namespace': namespace };
}

/** A waypoint for everybody, that has an address. */
export function setWaypoint(
  { inputs }: MeshWorld,
  name: string,
  namespace: string = described.namespace,
): void {
  const hostname = `${name}.${namespace}.svc.cluster.local`;
  const listeners = [meshListener({ from: { kind: 'all' } })];
  inputs.gateways.set(
    gatewayRecord(name, { namespace, addresses: [{ kind: 'hostname', hostname }], listeners }),
  );
}

/** A service behind a waypoint, which is given as `namespace/name`. */
export function setServiceBehind(
  { inputs }: MeshWorld,
  name: string,
  waypoint: string,
  namespace: string = described.namespace,
): void {
  const [home, by = ''] = waypoint.split('/');
  inputs.services.set(serviceRecord(name, { namespace, labels: usesWaypoint(by, home) }));
}

export function workloadOf({ mesh }: MeshWorld, uid: string): Workload | undefined {
  return decoded(mesh.addresses.get(uid), 'workload');
}

export function serviceOf({ mesh }: MeshWorld, name: string): Service | undefined {
  return decoded(mesh.addresses.get(name), 'service');
}

function decoded<K extends 'workload' | 'service'>(
  resource: AddressResource | undefined,
  kind: K,
): (K extends 'workload' ? Workload : Service) | undefined {
  if (resource === undefined) return undefined;
  const { type } = fromBinary(AddressSchema, resource.bytes);
  return type.case === kind ? (type.value as K extends 'workload' ? Workload : Service) : undefined;
}
