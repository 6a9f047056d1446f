import type { IpAddress } from '#common/net/address.ts';
import type { Cidr } from '#common/net/cidr.ts';
import type { Identity } from '#common/tls/spiffe.ts';

import { type NamespacedHost, namespacedHost } from './names.ts';
import type { GatewayAddress, NetworkAddress, PortMap, Workload } from './workload.ts';

/** What two workloads may have in common; the order in a preference list is the order of importance. */
export const LOCALITY_SCOPES = ['Region', 'Zone', 'Subzone', 'Node', 'Cluster', 'Network'] as const;
export type LocalityScope = (typeof LOCALITY_SCOPES)[number];

export interface LoadBalancing {
  /**
   * Standard: any endpoint. Strict: only endpoints that share every scope with the client. Failover:
   * those that share the most. Passthrough: the address that the client asked for, unchanged.
   */
  readonly mode: 'Standard' | 'Strict' | 'Failover' | 'Passthrough';
  readonly routingPreferences: readonly LocalityScope[];
  readonly healthPolicy: 'OnlyHealthy' | 'AllowAll';
}

export interface WeightedWaypoint {
  readonly destination: GatewayAddress;
  readonly weight: number;
}

/** A block of addresses, on a named network, that leads to a service. */
export interface NetworkCidr {
  readonly network: string;
  readonly cidr: Cidr;
}

/** What an application speaks on a port. */
export type AppProtocol = 'HTTP/1.1' | 'HTTP/2' | 'gRPC' | 'TCP' | 'TLS';

/** A name with virtual addresses that stands for a set of workloads. */
export interface Service {
  readonly name: string;
  readonly namespace: string;
  readonly hostname: string;
  readonly vips: readonly NetworkAddress[];
  readonly cidrVips: readonly NetworkCidr[];
  readonly ports: PortMap;
  /** What is spoken on a service port; of others it is not known. */
  readonly protocols: ReadonlyMap<number, AppProtocol>;
  /** Identities that its endpoints may have beside their own. */
  readonly subjectAltNames: readonly Identity[];
  readonly waypoint: GatewayAddress | undefined;
  /** When the weights add up to more than zero, these replace `waypoint`: one is drawn for each connection. */
  readonly weightedWaypoints: readonly WeightedWaypoint[];
  readonly loadBalancer: LoadBalancing | undefined;
  /** Undefined: whatever its endpoints have. */
  readonly ipFamilies: 'Dual' | 'IPv4' | 'IPv6' | undefined;
  /** Preferred among services that share a hostname or an address. */
  readonly canonical: boolean;
  /** Namespace: only clients in its own namespace see it. */
  readonly visibility: 'Public' | 'Namespace';
}

/** A workload as one service sees it. */
export interface Endpoint {
  readonly workload: Workload;
  readonly ports: PortMap;
}

/** The fields without a default: what any source must say about a service. */
export type GivenService = Pick<Service, 'name' | 'namespace' | 'hostname'> & Partial<Service>;

/** A service with the defaults of the protocol for what isn't given. */
export function serviceOf(given: GivenService): Service {
  return {
    vips: [],
    cidrVips: [],
    ports: new Map(),
    protocols: new Map(),
    subjectAltNames: [],
    waypoint: undefined,
    weightedWaypoints: [],
    loadBalancer: undefined,
    ipFamilies: undefined,
    canonical: false,
    visibility: 'Public',
    ...given,
  };
}

export function serviceKey(service: Service): NamespacedHost {
  return namespacedHost(service.namespace, service.hostname);
}

export function acceptsFamily(service: Service, ip: IpAddress): boolean {
  switch (service.ipFamilies) {
    case 'IPv4':
      return !ip.includes(':');
    case 'IPv6':
      return ip.includes(':');
    case 'Dual':
    case undefined:
      return true;
  }
}
