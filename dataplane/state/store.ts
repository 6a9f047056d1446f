import { isDeepStrictEqual } from 'node:util';
import { MultiMap } from '#common/collections/multi-map.ts';
import type { IpAddress } from '#common/net/address.ts';

import { keyOfPolicy, type Policy } from './authorization.ts';
import type { MeshDelta, MeshSnapshot } from './delta.ts';
import { type NamespacedHost, namespacedHost, type PolicyKey, type WorkloadUid } from './names.ts';
import { type Endpoint, type Service, serviceKey } from './service.ts';
import { ServiceIndex } from './service-index.ts';
import type { Addressee, ApplicablePolicies, LocalPod, MeshView } from './view.ts';
import type { Workload } from './workload.ts';

/** What a change touched, for those who act on it. */
export interface ApplyResult {
  /** Some policy was added, replaced or removed: judge every open inbound connection again. */
  readonly policiesChanged: boolean;
  /** Workloads that were added, replaced or removed. */
  readonly workloadsChanged: readonly WorkloadUid[];
  /** Those among them that other policies may apply to now: judge their open connections again. */
  readonly policyBindingsChanged: readonly WorkloadUid[];
  /** Services that were added, replaced or removed. */
  readonly servicesChanged: readonly NamespacedHost[];
}

/**
 * All that is known about the mesh, indexed for the questions of {@link MeshView}. One writer calls
 * `apply`; between two calls every answer is consistent. Endpoints are derived from the workloads'
 * own lists, so it does not matter whether a service or its endpoints arrive first.
 */
export class MeshStore implements MeshView {
  readonly #workloads = new Map<WorkloadUid, Workload>();
  readonly #workloadsByIp = new MultiMap<string, WorkloadUid, Workload>();
  readonly #workloadsByHostname = new MultiMap<NamespacedHost, WorkloadUid, Workload>();
  readonly #workloadsByName = new MultiMap<string, WorkloadUid, Workload>();
  readonly #endpoints = new MultiMap<NamespacedHost, WorkloadUid, Endpoint>();
  readonly #services = new ServiceIndex();
  readonly #policies = new Map<PolicyKey, Policy>();
  readonly #policiesByReach = new MultiMap<string, PolicyKey, Policy>();
  /** Answers of policiesFor. Workloads are never changed in place, so only policy changes make an answer stale. */
  #applicable = new WeakMap<Workload, ApplicablePolicies>();

  apply(delta: MeshDelta): ApplyResult {
    const policiesChanged = delta.upsertPolicies.length + delta.removePolicies.length > 0;
    const workloadsChanged = [
      ...delta.removeWorkloads.filter((uid) => this.#workloads.has(uid)),
      ...delta.upsertWorkloads.map((workload) => workload.uid),
    ];
    const policyBindingsChanged = delta.upsertWorkloads
      .filter((workload) => this.#hasOtherPolicies(workload))
      .map((workload) => workload.uid);
    const servicesChanged = [
      ...delta.removeServices.filter((key) => this.#services.get(key) !== undefined),
      ...delta.upsertServices.map(serviceKey),
    ];

    for (const key of delta.removePolicies) this.#replacePolicy(key, undefined);
    for (const policy of delta.upsertPolicies) this.#replacePolicy(keyOfPolicy(policy), policy);
    for (const key of delta.removeServices) this.#services.replace(key, undefined);
    for (const service of delta.upsertServices) {
      this.#services.replace(serviceKey(service), service);
    }
    const upserted = new Set(delta.upsertWorkloads.map((workload) => workload.uid));
    for (const uid of delta.removeWorkloads) {
      if (!upserted.has(uid)) this.#replaceWorkload(uid, undefined);
    }
    for (const workload of delta.upsertWorkloads) this.#replaceWorkload(workload.uid, workload);
    if (policiesChanged) this.#applicable = new WeakMap();
    return { policiesChanged, workloadsChanged, policyBindingsChanged, servicesChanged };
  }

  /** Everything, in the order of its first arrival: a new store that applies it gives the same answers. */
  snapshot(): MeshSnapshot {
    return {
      workloads: [...this.#workloads.values()],
      services: this.#services.all(),
      policies: [...this.#policies.values()],
    };
  }

  /** All workloads, in the order of their first arrival. */
  workloads(): Iterable<Workload> {
    return this.#workloads.values();
  }

  /** Services that workloads say they serve, but that aren't known. */
  stagedServices(): readonly NamespacedHost[] {
    return [...this.#endpoints.outerKeys()].filter((key) => this.service(key) === undefined);
  }

  workload(uid: WorkloadUid): Workload | undefined {
    return this.#workloads.get(uid);
  }

  workloadByIp(network: string, ip: IpAddress): Workload | undefined {
    let best: Workload | undefined;
    for (const workload of this.#workloadsByIp.get(addressKey(network, ip)).values()) {
      if (best === undefined || ownership(workload) >= ownership(best)) best = workload;
    }
    return best;
  }

  workloadByHostname(host: NamespacedHost): Workload | undefined {
    return this.#workloadsByHostname.get(host).values().next().value;
  }

  localWorkload(pod: LocalPod): Workload | undefined {
    let best: Workload | undefined;
    for (const workload of this.#workloadsByName.get(`${pod.namespace}/${pod.name}`).values()) {
      if (workload.serviceAccount !== pod.serviceAccount) continue;
      if (best === undefined || closeness(workload, pod) > closeness(best, pod)) best = workload;
    }
    return best;
  }

  service(key: NamespacedHost): Service | undefined {
    return this.#services.get(key);
  }

  serviceByVip(
    network: string,
    ip: IpAddress,
    clientNamespace: string | undefined,
  ): Service | undefined {
    return this.#services.byVip(network, ip, clientNamespace);
  }

  servicesWithVip(network: string, ip: IpAddress): readonly Service[] {
    return this.#services.withVip(network, ip);
  }

  serviceByHostname(hostname: string, clientNamespace: string | undefined): Service | undefined {
    return this.#services.byHostname(hostname, clientNamespace);
  }

  addressee(
    network: string,
    ip: IpAddress,
    clientNamespace: string | undefined,
  ): Addressee | undefined {
    const workload = this.workloadByIp(network, ip);
    if (workload !== undefined) return { kind: 'workload', workload };
    const service = this.serviceByVip(network, ip, clientNamespace);
    return service === undefined ? undefined : { kind: 'service', service };
  }

  endpoints(service: NamespacedHost): ReadonlyMap<WorkloadUid, Endpoint> {
    return this.#endpoints.get(service);
  }

  policiesFor(workload: Workload): ApplicablePolicies {
    const known = this.#applicable.get(workload);
    if (known !== undefined) return known;
    const policies = new Map([
      ...this.#policiesByReach.get(workload.namespace),
      ...this.#policiesByReach.get(EVERYWHERE),
    ]);
    const missing: PolicyKey[] = [];
    for (const key of workload.authorizationPolicies) {
      const policy = this.#policies.get(key);
      if (policy === undefined) missing.push(key);
      else policies.set(key, policy);
    }
    const applicable = { policies: [...policies.values()], missing };
    this.#applicable.set(workload, applicable);
    return applicable;
  }

  #hasOtherPolicies(next: Workload): boolean {
    const before = this.#workloads.get(next.uid);
    return (
      before === undefined ||
      before.namespace !== next.namespace ||
      !isDeepStrictEqual(before.authorizationPolicies, next.authorizationPolicies)
    );
  }

  #replaceWorkload(uid: WorkloadUid, next: Workload | undefined): void {
    const before = this.#workloads.get(uid);
    const put = <Key, Value>(
      index: MultiMap<Key, WorkloadUid, Value>,
      keys: (workload: Workload) => readonly Key[],
      value: (workload: Workload, key: Key) => Value,
    ): void => {
      const kept = next === undefined ? [] : keys(next);
      for (const key of before === undefined ? [] : keys(before)) {
        if (!kept.includes(key)) index.delete(key, uid);
      }
      if (next !== undefined) for (const key of kept) index.set(key, uid, value(next, key));
    };
    put(this.#workloadsByIp, addressKeys, itself);
    put(this.#workloadsByHostname, hostnameKeys, itself);
    put(this.#workloadsByName, ({ namespace, name }) => [`${namespace}/${name}`], itself);
    put(this.#endpoints, ({ services }) => [...services.keys()], endpointOf);
    if (next === undefined) this.#workloads.delete(uid);
    else this.#workloads.set(uid, next);
  }

  #replacePolicy(key: PolicyKey, next: Policy | undefined): void {
    const before = this.#policies.get(key);
    // The scope may have changed, so the old place has to be given up even for a replacement.
    if (before !== undefined) this.#policiesByReach.delete(reachOf(before), key);
    if (next === undefined) {
      this.#policies.delete(key);
      return;
    }
    this.#policies.set(key, next);
    this.#policiesByReach.set(reachOf(next), key, next);
  }
}

/** No namespace has these names: a slash can't be part of one. */
const EVERYWHERE = '/everywhere';
const ONLY_WHERE_NAMED = '/only-where-named';

function reachOf(policy: Policy): string {
  switch (policy.scope) {
    case 'Global':
      return EVERYWHERE;
    case 'Namespace':
      return policy.namespace;
    case 'WorkloadSelector':
      return ONLY_WHERE_NAMED;
  }
}

/** An address holds no slash, so no two pairs have the same key. */
function addressKey(network: string, ip: IpAddress): string {
  return `${network}/${ip}`;
}

function addressKeys(workload: Workload): readonly string[] {
  if (workload.networkMode === 'HostNetwork') return [];
  return workload.ips.map((ip) => addressKey(workload.network, ip));
}

function hostnameKeys(workload: Workload): readonly NamespacedHost[] {
  return workload.hostname === '' ? [] : [namespacedHost(workload.namespace, workload.hostname)];
}

function itself(workload: Workload): Workload {
  return workload;
}

function endpointOf(workload: Workload, service: NamespacedHost): Endpoint {
  return { workload, ports: workload.services.get(service) ?? new Map() };
}

/** How strong a claim on an address is: a real pod before another kind of entry, one with a tunnel before one without. */
function ownership(workload: Workload): number {
  return (workload.uid.includes('//Pod/') ? 2 : 0) + (workload.protocol === 'HBONE' ? 1 : 0);
}

function closeness(workload: Workload, pod: LocalPod): number {
  return (workload.clusterId === pod.clusterId ? 2 : 0) + (workload.node === pod.node ? 1 : 0);
}
