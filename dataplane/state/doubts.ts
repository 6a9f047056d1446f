import { keyOfPolicy, type Policy } from './authorization.ts';
import type { MeshSnapshot } from './delta.ts';
import type { WorkloadUid } from './names.ts';
import type { Workload } from './workload.ts';

/** Of one kind; the others look the same. */
const DOUBTS_MAX = 10;

/**
 * What is valid and most likely not meant, in a mesh that somebody has written by hand: policies that restrict
 * nobody, and addresses of two workloads, of which one gets the other's connections. One sentence each.
 */
export function doubtsAbout({ workloads, policies }: MeshSnapshot): readonly string[] {
  return [
    ...policiesWithoutEffect(workloads, policies).slice(0, DOUBTS_MAX),
    ...sharedAddresses(workloads).slice(0, DOUBTS_MAX),
  ];
}

function policiesWithoutEffect(
  workloads: readonly Workload[],
  policies: readonly Policy[],
): readonly string[] {
  const namespaces = new Set(workloads.map(({ namespace }) => namespace));
  const named = new Set(workloads.flatMap(({ authorizationPolicies: keys }) => keys));
  return policies.flatMap((policy) => {
    const key = keyOfPolicy(policy);
    const restrictsNobody = `policy "${key}" restricts nobody`;
    if (policy.scope === 'Namespace' && !namespaces.has(policy.namespace)) {
      return [`${restrictsNobody}: no workload is in namespace "${policy.namespace}"`];
    }
    if (policy.scope === 'WorkloadSelector' && !named.has(key)) {
      return [`${restrictsNobody}: no workload names it in "authorizationPolicies"`];
    }
    return [];
  });
}

function sharedAddresses(workloads: readonly Workload[]): readonly string[] {
  const owners = new Map<string, WorkloadUid>();
  const doubts: string[] = [];
  for (const { uid, ips, network, networkMode } of workloads) {
    if (networkMode === 'HostNetwork') continue;
    for (const address of ips) {
      const key = `${network}/${address}`;
      const owner = owners.get(key);
      if (owner === undefined) owners.set(key, uid);
      else doubts.push(`address ${address} is that of two workloads: "${owner}" and "${uid}"`);
    }
  }
  return doubts;
}
