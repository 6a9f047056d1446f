import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';

import { PolicySchema, RouteSchema, type RuleSchema } from '#api/gen/waypoint_pb.ts';
import { AddressSchema, AppProtocol, PortSchema, TunnelProtocol } from '#api/gen/workload_pb.ts';
import { ipToBytes, parseIp } from '#common/net/address.ts';

/** A pod of the world, as the mesh knows it. */
export interface MeshPod {
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly ip: string;
  readonly node: string;
}

/** What the waypoint is told about: three pods, and the service that it stands before. */
export interface MeshOfWaypoint {
  readonly client: MeshPod;
  readonly gate: MeshPod;
  readonly server: MeshPod;
  readonly service: MeshService;
}

/** It is in the namespace of its pod. */
export interface MeshService {
  readonly name: string;
  readonly ip: string;
  readonly port: number;
  readonly targetPort: number;
}

/** A resource of delta xDS. */
export interface Resource {
  readonly name: string;
  readonly bytes: Uint8Array;
}

const TUNNEL_PORT = 15_008;
const NETWORK = '';
const CLUSTER_ID = 'Kubernetes';
const TRUST_DOMAIN = 'cluster.local';
/** What is asked for. */
const PATH = '/1k';
/** Rules that a service has when there are many. */
const RULES_PER_ROUTE = 5;

/** The pods and the service: `istio.workload.Address`. */
export function addressResources(mesh: MeshOfWaypoint): readonly Resource[] {
  const { client, gate, server, service } = mesh;
  const waypoint = {
    destination: { case: 'address', value: { network: NETWORK, address: bytesOf(gate.ip) } },
    hboneMtlsPort: TUNNEL_PORT,
  } as const;
  const front = create(AddressSchema, {
    type: {
      case: 'service',
      value: {
        name: service.name,
        namespace: server.namespace,
        hostname: hostnameOf(mesh, service.name),
        addresses: [{ network: NETWORK, address: bytesOf(service.ip) }],
        ports: [portOf(service)],
        waypoint,
      },
    },
  });
  return [
    { name: serviceKey(mesh), bytes: toBinary(AddressSchema, front) },
    workloadResource(client),
    workloadResource(gate),
    workloadResource(server, { [serviceKey(mesh)]: { ports: [portOf(service)] } }),
  ];
}

/** One ALLOW policy with one rule: the client may read. `ambit.waypoint.Policy`. */
export function policyResources({ client, server }: MeshOfWaypoint): readonly Resource[] {
  const { namespace } = server;
  const principal = `${TRUST_DOMAIN}/ns/${client.namespace}/sa/${client.serviceAccount}`;
  const from = [{ principals: [exact(principal)] }];
  const to = [{ methods: [exact('GET'), exact('HEAD')] }];
  const policy = create(PolicySchema, { namespace, name: 'readers', rules: [{ from, to }] });
  return [{ name: `${namespace}/readers`, bytes: toBinary(PolicySchema, policy) }];
}

/**
 * As many rules as wanted: `ambit.waypoint.Route`. One rule is a route of the service, with a path. More are some rules
 * of each of many services, the measured one among them: its first rules are looked at, and don't hold.
 */
export function routeResources(mesh: MeshOfWaypoint, rules: number): readonly Resource[] {
  return Array.from({ length: Math.ceil(rules / RULES_PER_ROUTE) }, (_, index) => {
    const name = index === 0 ? mesh.service.name : `${mesh.service.name}-${index}`;
    const left = Math.min(RULES_PER_ROUTE, rules - index * RULES_PER_ROUTE);
    return routeResource(mesh, name, left);
  });
}

export function hostnameOf({ server }: MeshOfWaypoint, service: string): string {
  return `${service}.${server.namespace}.svc.${TRUST_DOMAIN}`;
}

type Match = NonNullable<MessageInitShape<typeof RuleSchema>['matches']>[number];

/** Matches that go before the one for everything below the path. */
const SPECIAL: readonly Partial<Match>[] = [
  { path: { kind: { case: 'exact', value: `${PATH}/login` } } },
  { path: { kind: { case: 'prefix', value: `${PATH}/items` } } },
  { headers: [{ name: 'end-user', value: { case: 'exact', value: 'tester' } }] },
  { method: 'POST' },
];

/** The route of one service, with `count` rules. */
function routeResource(mesh: MeshOfWaypoint, service: string, count: number): Resource {
  const { namespace } = mesh.server;
  const of = { namespace, hostname: hostnameOf(mesh, service) };
  const path = { kind: { case: 'prefix', value: PATH } } as const;
  const backends = [{ service: of, port: mesh.service.port, weight: 1 }];
  const rules = [...SPECIAL.slice(0, count - 1), {}].map((match) => ({
    matches: [{ path, ...match } as Match],
    backends,
  }));
  const kind = 'HTTPRoute';
  const route = { kind, namespace, name: service, parents: [{ service: of }], rules };
  const bytes = toBinary(RouteSchema, create(RouteSchema, route));
  return { name: `${kind}/${namespace}/${service}`, bytes };
}

function workloadResource(
  pod: MeshPod,
  services: Readonly<Record<string, { ports: MessageInitShape<typeof PortSchema>[] }>> = {},
): Resource {
  const uid = `${CLUSTER_ID}//Pod/${pod.namespace}/${pod.name}`;
  const workload = {
    uid,
    name: pod.name,
    namespace: pod.namespace,
    addresses: [bytesOf(pod.ip)],
    network: NETWORK,
    tunnelProtocol: TunnelProtocol.HBONE,
    trustDomain: TRUST_DOMAIN,
    serviceAccount: pod.serviceAccount,
    node: pod.node,
    canonicalName: pod.name,
    canonicalRevision: 'latest',
    workloadName: pod.name,
    clusterId: CLUSTER_ID,
    services,
  };
  const address = create(AddressSchema, { type: { case: 'workload', value: workload } });
  return { name: uid, bytes: toBinary(AddressSchema, address) };
}

function serviceKey(mesh: MeshOfWaypoint): string {
  return `${mesh.server.namespace}/${hostnameOf(mesh, mesh.service.name)}`;
}

function portOf({ port, targetPort }: MeshService): MessageInitShape<typeof PortSchema> {
  return { servicePort: port, targetPort, appProtocol: AppProtocol.HTTP11 };
}

function bytesOf(text: string): Uint8Array {
  const ip = parseIp(text);
  if (ip === undefined) throw new Error(`Not an address: ${text}`);
  return ipToBytes(ip);
}

function exact(value: string): { kind: { case: 'exact'; value: string } } {
  return { kind: { case: 'exact', value } };
}
