import type { Cidr } from '#common/net/cidr.ts';

import { type PolicyKey, policyKey } from './names.ts';

/** One text condition. Presence: not empty. The value of the others is never empty: an empty one would match everything or nothing by accident. */
export type StringMatch =
  | { readonly kind: 'exact' | 'prefix' | 'suffix'; readonly value: string }
  | { readonly kind: 'presence' };

/** A service account in any trust domain. */
export interface ServiceAccountMatch {
  readonly namespace: string;
  readonly serviceAccount: string;
}

/**
 * Conditions on one connection, all of which must hold. In each pair, an empty positive list holds
 * always, and a negative list holds when nothing in it does. A match with twelve empty lists never
 * holds: it is what remains when the conditions of a rule can't be judged at this layer.
 */
export interface Match {
  readonly namespaces: readonly StringMatch[];
  readonly notNamespaces: readonly StringMatch[];
  readonly principals: readonly StringMatch[];
  readonly notPrincipals: readonly StringMatch[];
  readonly serviceAccounts: readonly ServiceAccountMatch[];
  readonly notServiceAccounts: readonly ServiceAccountMatch[];
  readonly sourceIps: readonly Cidr[];
  readonly notSourceIps: readonly Cidr[];
  readonly destinationIps: readonly Cidr[];
  readonly notDestinationIps: readonly Cidr[];
  readonly destinationPorts: readonly number[];
  readonly notDestinationPorts: readonly number[];
}

/** Any of its matches holds; holds also when it has none. */
type Clause = readonly Match[];

/** All of its clauses hold; holds also when it has none. */
export type Rule = readonly Clause[];

/**
 * An authorization policy as far as a connection can be judged without reading its bytes. It matches
 * when any of its rules does; without rules it never matches.
 */
export interface Policy {
  readonly name: string;
  readonly namespace: string;
  /** Global: every workload. Namespace: every workload in its own namespace. WorkloadSelector: those that name it. */
  readonly scope: 'Global' | 'Namespace' | 'WorkloadSelector';
  readonly action: 'Allow' | 'Deny';
  /** Only report what it would do. */
  readonly dryRun: boolean;
  readonly rules: readonly Rule[];
}

/** A match without conditions, to be filled in. */
export const EMPTY_MATCH: Match = {
  namespaces: [],
  notNamespaces: [],
  principals: [],
  notPrincipals: [],
  serviceAccounts: [],
  notServiceAccounts: [],
  sourceIps: [],
  notSourceIps: [],
  destinationIps: [],
  notDestinationIps: [],
  destinationPorts: [],
  notDestinationPorts: [],
};

export function keyOfPolicy(policy: Policy): PolicyKey {
  return policyKey(policy.namespace, policy.name);
}
