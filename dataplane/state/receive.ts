import type { ReceivedResource, Rejection } from '#xds/client.ts';

import type { Policy } from './authorization.ts';
import { decodeAddress, decodePolicy } from './decode.ts';
import { EMPTY_DELTA, type MeshDelta } from './delta.ts';
import {
  type NamespacedHost,
  type PolicyKey,
  parseNamespacedHost,
  parsePolicyKey,
  type WorkloadUid,
} from './names.ts';
import type { Service } from './service.ts';
import type { Workload } from './workload.ts';

/** What a response changes, and what in it could not be read: of that, what was there before stays. */
export interface Received {
  readonly delta: MeshDelta;
  readonly rejections: readonly Rejection[];
}

/** Turns responses of the control plane into changes of the mesh. */
export class MeshReceiver {
  // What is removed is only named; whether it is a workload is known from when it came.
  readonly #workloads = new Set<string>();

  /** Of type `istio.workload.Address`. */
  addresses(resources: readonly ReceivedResource[], removed: readonly string[]): Received {
    const upsertWorkloads: Workload[] = [];
    const upsertServices: Service[] = [];
    const removeWorkloads: WorkloadUid[] = [];
    const removeServices: NamespacedHost[] = [];
    const rejections: Rejection[] = [];
    for (const name of removed) {
      if (this.#workloads.delete(name)) removeWorkloads.push(name as WorkloadUid);
      else removeServices.push(...asList(parseNamespacedHost(name.toLowerCase())));
    }
    for (const { name, bytes } of resources) {
      const decoded = decodeAddress(name, bytes);
      switch (decoded.kind) {
        case 'workload':
          this.#workloads.add(name);
          upsertWorkloads.push(decoded.workload);
          break;
        case 'service':
          upsertServices.push(decoded.service);
          break;
        case 'refused':
          rejections.push({ name, reason: decoded.reason });
          break;
      }
    }
    const parts = { upsertWorkloads, upsertServices, removeWorkloads, removeServices };
    return { delta: { ...EMPTY_DELTA, ...parts }, rejections };
  }

  /** Of type `istio.security.Authorization`. */
  policies(resources: readonly ReceivedResource[], removed: readonly string[]): Received {
    const upsertPolicies: Policy[] = [];
    const rejections: Rejection[] = [];
    const removePolicies: readonly PolicyKey[] = removed.flatMap((name) =>
      asList(parsePolicyKey(name)),
    );
    for (const { name, bytes } of resources) {
      const decoded = decodePolicy(name, bytes);
      if (decoded.kind === 'policy') upsertPolicies.push(decoded.policy);
      else rejections.push({ name, reason: decoded.reason });
    }
    return { delta: { ...EMPTY_DELTA, upsertPolicies, removePolicies }, rejections };
  }
}

function asList<T>(one: T | undefined): readonly T[] {
  return one === undefined ? [] : [one];
}
