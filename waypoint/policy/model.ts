import type { Cidr } from '#common/net/cidr.ts';
import type { StringMatch } from '#dataplane/state/authorization.ts';

import type { ServiceRef } from '../routing/model.ts';
import type { PathTemplate } from './path-template.ts';

/** One of the first list (or it is empty), and none of the second. */
export interface Pair<Condition> {
  readonly any: readonly Condition[];
  readonly none: readonly Condition[];
}

export interface PolicySource {
  readonly principals: Pair<StringMatch>;
  readonly namespaces: Pair<StringMatch>;
  /** "namespace/name". */
  readonly serviceAccounts: Pair<StringMatch>;
  readonly ipBlocks: Pair<Cidr>;
  readonly remoteIpBlocks: Pair<Cidr>;
}

export type PathCondition =
  | StringMatch
  | { readonly kind: 'template'; readonly value: PathTemplate };

export interface PolicyOperation {
  /** In lower case. */
  readonly hosts: Pair<StringMatch>;
  readonly ports: Pair<number>;
  readonly methods: Pair<StringMatch>;
  readonly paths: Pair<PathCondition>;
}

/** What a `when` looks at. */
export type ConditionKey =
  | { readonly kind: 'header'; readonly name: string }
  | { readonly kind: 'source.ip' | 'remote.ip' | 'destination.ip' }
  | { readonly kind: 'source.namespace' | 'source.principal' | 'source.serviceAccount' }
  | { readonly kind: 'destination.port' };

export type PolicyCondition =
  | { readonly key: ConditionKey; readonly texts: Pair<StringMatch> }
  | { readonly key: ConditionKey; readonly blocks: Pair<Cidr> };

/** One of `from` holds (or there is none), one of `to` does (or there is none), and all of `when` do. */
export interface PolicyRule {
  readonly from: readonly PolicySource[];
  readonly to: readonly PolicyOperation[];
  readonly when: readonly PolicyCondition[];
}

/** A layer 7 policy of this waypoint. It matches when any rule does; without rules never. */
export interface Policy {
  /** "namespace/name". */
  readonly key: string;
  readonly action: 'allow' | 'deny' | 'audit';
  readonly dryRun: boolean;
  /** Empty: everything that goes through the waypoint. */
  readonly services: readonly ServiceRef[];
  readonly rules: readonly PolicyRule[];
}
