import type { Brand } from '#common/brand.ts';

/** The key of a workload, chosen by the control plane; opaque but for `//Pod/` in it (see store.ts). */
export type WorkloadUid = Brand<string, 'WorkloadUid'>;

/** The key of a service: `namespace/hostname`. */
export type NamespacedHost = Brand<string, 'NamespacedHost'>;

/** The key of a policy: `namespace/name`. */
export type PolicyKey = Brand<string, 'PolicyKey'>;

export function namespacedHost(namespace: string, hostname: string): NamespacedHost {
  return `${namespace}/${hostname}` as NamespacedHost;
}

export function policyKey(namespace: string, name: string): PolicyKey {
  return `${namespace}/${name}` as PolicyKey;
}

/** Reads `namespace/hostname`; undefined unless both parts are there and the text has one slash. */
export function parseNamespacedHost(text: string): NamespacedHost | undefined {
  return hasTwoParts(text) ? (text as NamespacedHost) : undefined;
}

/** Reads `namespace/name`; undefined unless both parts are there and the text has one slash. */
export function parsePolicyKey(text: string): PolicyKey | undefined {
  return hasTwoParts(text) ? (text as PolicyKey) : undefined;
}

export function hostnameOf(host: NamespacedHost): string {
  return host.slice(host.indexOf('/') + 1);
}

function hasTwoParts(text: string): boolean {
  return /^[^/\s]+\/[^/\s]+$/.test(text);
}
