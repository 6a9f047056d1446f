import { create } from '@bufbuild/protobuf';

import {
  Action,
  type Authorization,
  AuthorizationSchema,
  Scope,
} from '#api/gen/authorization_pb.ts';

import type { MeshSettings } from '../model/mesh.ts';
import type { AuthorizationPolicyRecord } from '../model/policy.ts';
import { translateRule } from './authorization-rule.ts';

/** What becomes of an AuthorizationPolicy at the node tunnels, and what its author should be told. */
export type AuthorizationTranslation =
  /** For waypoints: nothing is sent, nothing is said. */
  | { readonly kind: 'not-ours' }
  /** Nothing can be enforced here. */
  | { readonly kind: 'refused'; readonly message: string }
  | {
      readonly kind: 'policy';
      readonly policy: Authorization;
      /** What of it can't be enforced here, and what that means. Undefined: all of it is. */
      readonly limitation: string | undefined;
    };

const ACTIONS: ReadonlyMap<unknown, Action> = new Map<unknown, Action>([
  [undefined, Action.ALLOW],
  ['ALLOW', Action.ALLOW],
  ['DENY', Action.DENY],
]);

/**
 * The part of a policy that can be decided by addresses, ports and identities. What can't be makes it
 * stricter: an ALLOW rule is left out as a whole, a DENY rule is enforced without that part.
 */
export function translateAuthorization(
  record: AuthorizationPolicyRecord,
  mesh: MeshSettings,
): AuthorizationTranslation {
  if (record.targeted) return { kind: 'not-ours' };
  if (record.dryRun) {
    return { kind: 'refused', message: 'ztunnel does not support dry-run policies' };
  }
  const action = ACTIONS.get(record.action);
  if (action === undefined) {
    return {
      kind: 'refused',
      message: `ztunnel does not support the ${String(record.action)} action`,
    };
  }
  const rules = Array.isArray(record.rules) ? (record.rules as readonly unknown[]) : [];
  const translated = rules.map((rule) =>
    translateRule(rule, { action, namespace: record.namespace }),
  );
  const policy = create(AuthorizationSchema, {
    name: record.name,
    namespace: record.namespace,
    scope: scopeOf(record, mesh),
    action,
    rules: translated.flatMap(({ rule }) => (rule === undefined ? [] : [rule])),
  });
  const limits: Limits = {
    attributes: [...new Set(translated.flatMap(({ unsupported }) => unsupported))].toSorted(),
    unreadable: translated.flatMap(({ unreadable }) => unreadable),
    effective: translated.some(({ effective }) => effective),
  };
  return { kind: 'policy', policy, limitation: limitation(action, limits) };
}

interface Limits {
  readonly attributes: readonly string[];
  readonly unreadable: readonly string[];
  /** Some rule can still match something. */
  readonly effective: boolean;
}

function scopeOf(record: AuthorizationPolicyRecord, mesh: MeshSettings): Scope {
  if (record.selector !== undefined) return Scope.WORKLOAD_SELECTOR;
  return record.namespace === mesh.rootNamespace ? Scope.GLOBAL : Scope.NAMESPACE;
}

function limitation(action: Action, limits: Limits): string | undefined {
  const found: string[] = [];
  if (limits.attributes.length > 0) {
    found.push(
      `ztunnel does not support HTTP attributes (found: ${limits.attributes.join(', ')}). ${consequence(action, limits)}`,
    );
  }
  if (limits.unreadable.length > 0) {
    const what =
      action === Action.DENY ? 'conditions with them always hold' : 'rules with them are omitted';
    found.push(
      `Cannot read ${limits.unreadable.join(', ')}: ${what}, which is more restrictive than requested`,
    );
  }
  return found.length === 0 ? undefined : found.join('; ');
}

function consequence(action: Action, { effective }: Limits): string {
  if (action === Action.ALLOW) {
    return 'Rules matching HTTP attributes are omitted, which is more restrictive than requested';
  }
  return effective
    ? 'DENY rules are enforced without the HTTP attributes, which is more restrictive than requested'
    : 'The policy has no enforceable rules and no effect: use a waypoint and a targetRef';
}
