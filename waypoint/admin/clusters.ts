import { formatSocketAddress } from '#common/net/address.ts';
import { chooseIp, usableEndpoints } from '#dataplane/state/load-balance.ts';
import type { NamespacedHost, WorkloadUid } from '#dataplane/state/names.ts';
import { type Endpoint, type Service, serviceKey } from '#dataplane/state/service.ts';
import type { MeshStore } from '#dataplane/state/store.ts';
import type { Workload } from '#dataplane/state/workload.ts';

import { isBound } from '../listener/destination.ts';
import type { EndpointUse } from '../upstream/servers.ts';

/** One port of a service that requests may be sent to, with the endpoints behind it. */
export interface Cluster {
  /** `inbound-vip|<port>|<http or tcp>|<host>` for a service of this waypoint, `outbound|<port>||<host>` for another. */
  readonly name: string;
  readonly namespace: string;
  readonly hostname: string;
  readonly port: number;
  readonly endpoints: readonly ClusterEndpoint[];
}

export interface ClusterEndpoint {
  /** `ip:port` of the application; empty while it has none. */
  readonly address: string;
  readonly workload: string;
  readonly namespace: string;
  readonly health: 'healthy' | 'unhealthy';
  /** The next request may go there: it is healthy, reachable, and among the nearest. */
  readonly usable: boolean;
  /** Reached through a tunnel, or as it is. */
  readonly protocol: Workload['protocol'];
  readonly weight: number;
  readonly region: string;
  readonly zone: string;
  readonly subzone: string;
  /** Of the whole workload, by whatever service. */
  readonly requests: number;
  readonly idleConnections: number;
  readonly http2Connections: number;
}

/** What a view of the clusters is made from. */
export interface ClusterSources {
  readonly mesh: MeshStore;
  /** The waypoint itself; undefined while the control plane has not told about it. */
  readonly self: Workload | undefined;
  /** Services that routes lead to, beside those of the waypoint. */
  readonly backends: ReadonlySet<NamespacedHost>;
  /** What each worker has open. */
  readonly uses: readonly (readonly EndpointUse[])[];
}

type Use = Omit<EndpointUse, 'uid'>;

/** The services that requests may be sent to, each of their ports with its endpoints, in the order of their names. */
export function clustersOf({ mesh, self, backends, uses }: ClusterSources): readonly Cluster[] {
  if (self === undefined) return [];
  const used = summedUp(uses);
  const clusters = mesh.snapshot().services.flatMap((service) => {
    const bound = isBound(mesh, service, self);
    if (!bound && !backends.has(serviceKey(service))) return [];
    return [...service.ports.keys()].map((port) => {
      const { namespace, hostname } = service;
      const name = clusterName(service, port, bound);
      const endpoints = endpointsOf({ mesh, self }, service, port, used);
      return { name, namespace, hostname, port, endpoints };
    });
  });
  return clusters.toSorted((one, other) => (one.name < other.name ? -1 : 1));
}

/** As Envoy's page of this name writes it: a line for each fact. */
export function clustersText(clusters: readonly Cluster[]): string {
  const lines = clusters.flatMap(({ name, namespace, endpoints }) => [
    `${name}::namespace::${namespace}`,
    `${name}::endpoints::${endpoints.length}`,
    ...endpoints.flatMap((endpoint) => {
      const facts: readonly (readonly [string, string | number | boolean])[] = [
        ['hostname', endpoint.workload],
        ['health_flags', endpoint.health],
        ['usable', endpoint.usable],
        ['protocol', endpoint.protocol],
        ['weight', endpoint.weight],
        ['region', endpoint.region],
        ['zone', endpoint.zone],
        ['sub_zone', endpoint.subzone],
        ['rq_active', endpoint.requests],
        ['cx_idle', endpoint.idleConnections],
        ['cx_http2', endpoint.http2Connections],
      ];
      return facts.map(([fact, value]) => `${name}::${endpoint.address}::${fact}::${value}`);
    }),
  ]);
  return lines.map((line) => `${line}\n`).join('');
}

function clusterName({ hostname, protocols }: Service, port: number, bound: boolean): string {
  if (!bound) return `outbound|${port}||${hostname}`;
  const protocol = protocols.get(port);
  const kind = protocol === 'TCP' || protocol === 'TLS' ? 'tcp' : 'http';
  return `inbound-vip|${port}|${kind}|${hostname}`;
}

// oxlint-disable-next-line max-params -- one service's port, seen from one place
function endpointsOf(
  { mesh, self }: { readonly mesh: MeshStore; readonly self: Workload },
  service: Service,
  servicePort: number,
  used: ReadonlyMap<WorkloadUid, Use>,
): readonly ClusterEndpoint[] {
  const all = [...mesh.endpoints(serviceKey(service)).values()];
  const lookingFor = 'workload';
  const choice = { service, endpoints: all, source: self, servicePort, lookingFor } as const;
  const usable = new Set(usableEndpoints(choice).map(({ workload }) => workload.uid));
  return all.map(({ workload, ports }) => ({
    address: addressOf({ workload, ports }, service, servicePort),
    workload: workload.name,
    namespace: workload.namespace,
    health: workload.status === 'Healthy' ? 'healthy' : 'unhealthy',
    usable: usable.has(workload.uid),
    protocol: workload.protocol,
    weight: workload.capacity,
    region: workload.locality.region,
    zone: workload.locality.zone,
    subzone: workload.locality.subzone,
    ...(used.get(workload.uid) ?? UNUSED),
  }));
}

function addressOf({ workload, ports }: Endpoint, service: Service, servicePort: number): string {
  const ip = chooseIp(workload, service, undefined);
  // 0 is a named port that this endpoint doesn't have, or that the service leaves to its endpoints.
  const port = ports.get(servicePort) || service.ports.get(servicePort);
  return ip === undefined || !port ? '' : formatSocketAddress({ ip, port });
}

const UNUSED: Use = { requests: 0, idleConnections: 0, http2Connections: 0 };

function summedUp(uses: ClusterSources['uses']): ReadonlyMap<WorkloadUid, Use> {
  const sums = new Map<WorkloadUid, Use>();
  for (const { uid, ...use } of uses.flat()) {
    const sum = sums.get(uid) ?? UNUSED;
    sums.set(uid, {
      requests: sum.requests + use.requests,
      idleConnections: sum.idleConnections + use.idleConnections,
      http2Connections: sum.http2Connections + use.http2Connections,
    });
  }
  return sums;
}
