import { invariant } from '#common/assert.ts';
import type { IpAddress } from '#common/net/address.ts';
import { formatIdentity, type Identity } from '#common/tls/spiffe.ts';

import type { NamespacedHost, PolicyKey, WorkloadUid } from './names.ts';

/** Service port → target port. A target of 0 stands for a named port, which each endpoint resolves by itself. */
export type PortMap = ReadonlyMap<number, number>;

/** An address on a named network; networks may use the same addresses for different hosts. */
export interface NetworkAddress {
  readonly network: string;
  readonly ip: IpAddress;
}

/** A waypoint or a gateway: where to find it, and the port of its HBONE listener. */
export interface GatewayAddress {
  readonly destination:
    | { readonly kind: 'address'; readonly network: string; readonly ip: IpAddress }
    | { readonly kind: 'hostname'; readonly namespace: string; readonly hostname: string };
  readonly hboneMtlsPort: number;
}

/** How a workload wants connections that the tunnel delivers: all on one port, with or without a PROXY header. */
export interface ApplicationTunnel {
  readonly protocol: 'NONE' | 'PROXY';
  /** Undefined: the port that was asked for. */
  readonly port: number | undefined;
}

/** Where a workload runs; empty texts where it isn't known. */
export interface Locality {
  readonly region: string;
  readonly zone: string;
  readonly subzone: string;
}

/** One pod, virtual machine or external address: what the control plane tells about it. */
export interface Workload {
  readonly uid: WorkloadUid;
  readonly name: string;
  readonly namespace: string;
  readonly ips: readonly IpAddress[];
  /** A name to resolve instead of addresses; empty when there is none. */
  readonly hostname: string;
  readonly network: string;
  /** HBONE: has a tunnel on port 15008. TCP: takes plain connections only. */
  readonly protocol: 'TCP' | 'HBONE';
  readonly trustDomain: string;
  readonly serviceAccount: string;
  readonly waypoint: GatewayAddress | undefined;
  readonly networkGateway: GatewayAddress | undefined;
  readonly node: string;
  readonly clusterId: string;
  readonly canonicalName: string;
  readonly canonicalRevision: string;
  readonly workloadName: string;
  readonly workloadType: 'deployment' | 'cronjob' | 'pod' | 'job';
  readonly nativeTunnel: boolean;
  readonly applicationTunnel: ApplicationTunnel | undefined;
  /** Policies that select this workload, beside those of its namespace and the global ones. */
  readonly authorizationPolicies: readonly PolicyKey[];
  readonly status: 'Healthy' | 'Unhealthy';
  readonly locality: Locality;
  /** HostNetwork: shares its node's addresses, so an address doesn't name it. */
  readonly networkMode: 'Standard' | 'HostNetwork';
  /** Weight in load balancing; 0 takes no traffic. */
  readonly capacity: number;
  /** The services that it is an endpoint of, each with the ports that it serves it on. */
  readonly services: ReadonlyMap<NamespacedHost, PortMap>;
}

/** The fields without a default: what any source must say about a workload. */
export type GivenWorkload = Pick<Workload, 'uid' | 'name' | 'namespace'> & Partial<Workload>;

/** A workload with the defaults of the protocol for what isn't given; an empty trust domain, service account or cluster counts as not given. */
export function workloadOf(given: GivenWorkload): Workload {
  return {
    ips: [],
    hostname: '',
    network: '',
    protocol: 'TCP',
    waypoint: undefined,
    networkGateway: undefined,
    node: '',
    canonicalName: '',
    canonicalRevision: '',
    workloadName: '',
    workloadType: 'deployment',
    nativeTunnel: false,
    applicationTunnel: undefined,
    authorizationPolicies: [],
    status: 'Healthy',
    locality: { region: '', zone: '', subzone: '' },
    networkMode: 'Standard',
    capacity: 1,
    services: new Map(),
    ...given,
    trustDomain: given.trustDomain || 'cluster.local',
    serviceAccount: given.serviceAccount || 'default',
    clusterId: given.clusterId || 'Kubernetes',
  };
}

/** The identity that a workload's certificate must carry. Decoding has checked the parts, so there always is one. */
export function identityOf(workload: Workload): Identity {
  let identity = identities.get(workload);
  if (identity === undefined) {
    identity = formatIdentity(workload);
    invariant(
      identity !== undefined,
      `the identity parts of workload "${workload.uid}" are checked`,
    );
    identities.set(workload, identity);
  }
  return identity;
}

/** Asked for several times per connection; a workload never changes, a new one takes its place. */
const identities = new WeakMap<Workload, Identity>();
