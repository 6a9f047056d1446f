import { isDeepStrictEqual } from 'node:util';

import { keyOfPolicy, type Policy } from './authorization.ts';
import type { NamespacedHost, PolicyKey, WorkloadUid } from './names.ts';
import { type Service, serviceKey } from './service.ts';
import type { Workload } from './workload.ts';

/** Everything that is known about the mesh at one moment. Keys are unique in each list. */
export interface MeshSnapshot {
  readonly workloads: readonly Workload[];
  readonly services: readonly Service[];
  readonly policies: readonly Policy[];
}

/**
 * What changed. Plain data: it is posted to worker threads as it is. Removals are applied before
 * upserts, so a key in both ends up present; removing what isn't there is no error.
 */
export interface MeshDelta {
  readonly upsertWorkloads: readonly Workload[];
  readonly removeWorkloads: readonly WorkloadUid[];
  readonly upsertServices: readonly Service[];
  readonly removeServices: readonly NamespacedHost[];
  readonly upsertPolicies: readonly Policy[];
  readonly removePolicies: readonly PolicyKey[];
}

export const EMPTY_SNAPSHOT: MeshSnapshot = { workloads: [], services: [], policies: [] };

export const EMPTY_DELTA: MeshDelta = {
  upsertWorkloads: [],
  removeWorkloads: [],
  upsertServices: [],
  removeServices: [],
  upsertPolicies: [],
  removePolicies: [],
};

/** The change that turns one snapshot into another. What is equal in both doesn't appear. */
export function diff(before: MeshSnapshot, after: MeshSnapshot): MeshDelta {
  const workloads = compare(before.workloads, after.workloads, (workload) => workload.uid);
  const services = compare(before.services, after.services, serviceKey);
  const policies = compare(before.policies, after.policies, keyOfPolicy);
  return {
    upsertWorkloads: workloads.upserts,
    removeWorkloads: workloads.removals,
    upsertServices: services.upserts,
    removeServices: services.removals,
    upsertPolicies: policies.upserts,
    removePolicies: policies.removals,
  };
}

function compare<Item, Key>(
  before: readonly Item[],
  after: readonly Item[],
  keyOf: (item: Item) => Key,
): { upserts: readonly Item[]; removals: readonly Key[] } {
  const left = new Map(before.map((item) => [keyOf(item), item]));
  const upserts: Item[] = [];
  for (const item of after) {
    const key = keyOf(item);
    if (!left.has(key) || !isDeepStrictEqual(left.get(key), item)) upserts.push(item);
    left.delete(key);
  }
  return { upserts, removals: [...left.keys()] };
}
