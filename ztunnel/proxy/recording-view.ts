import type { IpAddress } from '#common/net/address.ts';
import type { NamespacedHost, WorkloadUid } from '#dataplane/state/names.ts';
import type { Endpoint, Service } from '#dataplane/state/service.ts';
import type { Addressee, ApplicablePolicies, LocalPod, MeshView } from '#dataplane/state/view.ts';
import type { Workload } from '#dataplane/state/workload.ts';

/**
 * A view that remembers what was asked for and is not known, under the names by which a control plane is asked
 * for it: a decision that was made with it holds only when it is known of all of them that they do not exist.
 */
export class RecordingView implements MeshView {
  /** `network/address` or `namespace/hostname`. */
  readonly misses: Set<string> = new Set();
  readonly #view: MeshView;

  constructor(view: MeshView) {
    this.#view = view;
  }

  workload(uid: WorkloadUid): Workload | undefined {
    return this.#noted(uid, this.#view.workload(uid));
  }

  workloadByIp(network: string, ip: IpAddress): Workload | undefined {
    const found = this.#view.workloadByIp(network, ip);
    if (found === undefined) this.#missAddress(network, ip);
    return found;
  }

  workloadByHostname(host: NamespacedHost): Workload | undefined {
    return this.#noted(host, this.#view.workloadByHostname(host));
  }

  // Pods of the own node are told unasked.
  localWorkload(pod: LocalPod): Workload | undefined {
    return this.#view.localWorkload(pod);
  }

  service(key: NamespacedHost): Service | undefined {
    return this.#noted(key, this.#view.service(key));
  }

  serviceByVip(
    network: string,
    ip: IpAddress,
    clientNamespace: string | undefined,
  ): Service | undefined {
    const found = this.#view.serviceByVip(network, ip, clientNamespace);
    if (found === undefined) this.#missAddress(network, ip);
    return found;
  }

  servicesWithVip(network: string, ip: IpAddress): readonly Service[] {
    const found = this.#view.servicesWithVip(network, ip);
    if (found.length === 0) this.#missAddress(network, ip);
    return found;
  }

  // A host without its namespace is no name that could be asked for.
  serviceByHostname(hostname: string, clientNamespace: string | undefined): Service | undefined {
    return this.#view.serviceByHostname(hostname, clientNamespace);
  }

  addressee(
    network: string,
    ip: IpAddress,
    clientNamespace: string | undefined,
  ): Addressee | undefined {
    const found = this.#view.addressee(network, ip, clientNamespace);
    if (found === undefined) this.#missAddress(network, ip);
    return found;
  }

  /** They come with their service. */
  endpoints(service: NamespacedHost): ReadonlyMap<WorkloadUid, Endpoint> {
    return this.#view.endpoints(service);
  }

  policiesFor(workload: Workload): ApplicablePolicies {
    return this.#view.policiesFor(workload);
  }

  /** An address belongs to a workload or to a service: who knows the one does not look for the other. */
  #missAddress(network: string, ip: IpAddress): void {
    const known =
      this.#view.workloadByIp(network, ip) ?? this.#view.servicesWithVip(network, ip)[0];
    if (known === undefined) this.misses.add(`${network}/${ip}`);
  }

  #noted<T>(name: string, found: T | undefined): T | undefined {
    if (found === undefined) this.misses.add(name);
    return found;
  }
}
