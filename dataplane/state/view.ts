import type { IpAddress } from '#common/net/address.ts';

import type { Policy } from './authorization.ts';
import type { NamespacedHost, PolicyKey, WorkloadUid } from './names.ts';
import type { Endpoint, Service } from './service.ts';
import type { Workload } from './workload.ts';

/** What an address or a hostname stands for. */
export type Addressee =
  | { readonly kind: 'workload'; readonly workload: Workload }
  | { readonly kind: 'service'; readonly service: Service };

/** The policies that decide about connections to one workload. */
export interface ApplicablePolicies {
  readonly policies: readonly Policy[];
  /** Named by the workload, but not known (yet): what they forbid isn't known either. */
  readonly missing: readonly PolicyKey[];
}

/** How the node agent describes a pod. Node and cluster break ties between pods of the same name in other clusters. */
export interface LocalPod {
  readonly name: string;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly node?: string;
  readonly clusterId?: string;
}

/**
 * Read-only questions about the mesh. The answers change with the next {@link MeshStore.apply}; the
 * values themselves never do. Where a client namespace is asked for, services that only their own
 * namespace may see are left out for other clients; undefined sees public services only.
 */
export interface MeshView {
  workload(uid: WorkloadUid): Workload | undefined;
  /** The workload that owns an address. Host-network workloads own none; of several, pods win, then HBONE, then the latest. */
  workloadByIp(network: string, ip: IpAddress): Workload | undefined;
  workloadByHostname(host: NamespacedHost): Workload | undefined;
  /** The workload that is a given pod: name, namespace and service account must all be equal. */
  localWorkload(pod: LocalPod): Workload | undefined;

  service(key: NamespacedHost): Service | undefined;
  /** The best service for a virtual address: an exact address beats a block; then the client's namespace, longer blocks, canonical, and the first one. */
  serviceByVip(
    network: string,
    ip: IpAddress,
    clientNamespace: string | undefined,
  ): Service | undefined;
  /** Every service with this virtual address, whoever may see it. */
  servicesWithVip(network: string, ip: IpAddress): readonly Service[];
  /** The best service for a hostname: the client's namespace, then canonical, then the first one. */
  serviceByHostname(hostname: string, clientNamespace: string | undefined): Service | undefined;
  /** The workload that owns the address, else the service behind it. */
  addressee(
    network: string,
    ip: IpAddress,
    clientNamespace: string | undefined,
  ): Addressee | undefined;

  /** All workloads that say they are endpoints of a service, healthy or not, even when the service itself isn't known. */
  endpoints(service: NamespacedHost): ReadonlyMap<WorkloadUid, Endpoint>;
  /** Policies of the workload's namespace, global ones, and those that it names. */
  policiesFor(workload: Workload): ApplicablePolicies;
}
