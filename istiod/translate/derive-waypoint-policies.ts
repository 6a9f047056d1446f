import { create } from '@bufbuild/protobuf';

import { PolicySchema, type ServiceName, ServiceNameSchema } from '#api/gen/waypoint_pb.ts';

import type { Readable } from '../krt/core.ts';
import { DerivedCollection } from '../krt/derived.ts';
import type { Graph } from '../krt/graph.ts';
import { objectKey } from '../model/metadata.ts';
import type { AuthorizationPolicyRecord } from '../model/policy.ts';
import { sameVersion, type WaypointResource, waypointResourceKey } from '../model/resource.ts';
import type { Surroundings } from './derive-surroundings.ts';
import { waypointPolicyResource } from './encode.ts';
import { type FoundTarget, PolicyTargets } from './policy-targets.ts';
import type { ReferenceInputs } from './references.ts';
import { translateWaypointPolicy } from './waypoint-policy.ts';

/** What the author of a policy with targetRefs should know. */
export interface WaypointPolicyVerdict {
  /** `namespace/name`. */
  readonly name: string;
  /** Somebody enforces it. */
  readonly bound: boolean;
  readonly reason:
    | 'Accepted'
    | 'UnsupportedValue'
    | 'PartiallyInvalid'
    | (FoundTarget & { kind: 'refused' })['reason'];
  readonly message: string;
}

export interface DerivedWaypointPolicies {
  /** The layer 7 policies of each waypoint, one resource for each policy: see {@link waypointResourceKey}. */
  readonly resources: Readable<WaypointResource>;
  /** One for each policy with targetRefs, by `namespace/name`. */
  readonly verdicts: Readable<WaypointPolicyVerdict>;
}

export function deriveWaypointPolicies(
  graph: Graph,
  around: Surroundings,
  inputs: ReferenceInputs & { readonly authorizationPolicies: Readable<AuthorizationPolicyRecord> },
): DerivedWaypointPolicies {
  const targets = new PolicyTargets(around, inputs);
  const policies = inputs.authorizationPolicies;
  const resources = new DerivedCollection<AuthorizationPolicyRecord, WaypointResource>(
    graph,
    'waypoint policies',
    policies,
    {
      keyOf: waypointResourceKey,
      equal: sameVersion,
      transformation: (policy, fetch) => {
        if (!policy.targeted) return [];
        const attached = attachments(targets.fetch(policy, fetch));
        if (attached.size === 0) return [];
        const { action, rules } = translateWaypointPolicy(policy);
        const { namespace, name, dryRun } = policy;
        return Array.from(attached, ([waypoint, services]) =>
          waypointPolicyResource(
            waypoint,
            create(PolicySchema, {
              namespace,
              name,
              action,
              dryRun,
              services: services === 'all' ? [] : services,
              rules: [...rules],
            }),
          ),
        );
      },
    },
  );
  const verdicts = new DerivedCollection<AuthorizationPolicyRecord, WaypointPolicyVerdict>(
    graph,
    'waypoint policy verdicts',
    policies,
    {
      keyOf: ({ name }) => name,
      transformation: (policy, fetch) =>
        policy.targeted ? [verdictOn(policy, targets.fetch(policy, fetch))] : [],
    },
  );
  return { resources, verdicts };
}

/** Waypoint → the services behind it that a policy is for; 'all': everything that goes through the waypoint. */
function attachments(found: readonly FoundTarget[]): ReadonlyMap<string, 'all' | ServiceName[]> {
  const attached = new Map<string, 'all' | ServiceName[]>();
  for (const target of found) {
    if (target.kind === 'refused') continue;
    if (target.kind === 'waypoints') {
      for (const waypoint of target.waypoints) attached.set(waypoint, 'all');
      continue;
    }
    const { waypoint, namespace, hostnames } = target;
    const before = attached.get(waypoint) ?? [];
    if (before === 'all') continue;
    const services = hostnames.map((hostname) =>
      create(ServiceNameSchema, { namespace, hostname }),
    );
    attached.set(waypoint, [...before, ...services]);
  }
  return attached;
}

const BOTH = 'spec.selector has no effect beside targetRefs: leave one of them out';

function verdictOn(
  policy: AuthorizationPolicyRecord,
  found: readonly FoundTarget[],
): WaypointPolicyVerdict {
  const name = objectKey(policy);
  const refused = found.filter((target) => target.kind === 'refused');
  const wrong = refused.map(({ message }) => message).join('; ');
  const bound = found.flatMap((target) => {
    if (target.kind === 'refused') return [];
    return [target.kind === 'services' ? target.waypoint : target.name];
  });
  if (bound.length === 0) {
    const [first, ...others] = new Set(refused.map(({ reason }) => reason));
    const reason = first === undefined || others.length > 0 ? 'Invalid' : first;
    const message = wrong === '' ? 'no targetRef can be read' : wrong;
    return { name, bound: false, reason, message };
  }
  const { limitation } = translateWaypointPolicy(policy);
  const message = [
    `bound to ${[...new Set(bound)].join(', ')}`,
    ...(wrong === '' ? [] : [wrong]),
    ...(limitation === undefined ? [] : [limitation]),
    ...(policy.selector === undefined ? [] : [BOTH]),
  ].join('; ');
  const reason =
    refused.length > 0
      ? 'PartiallyInvalid'
      : limitation === undefined && policy.selector === undefined
        ? 'Accepted'
        : 'UnsupportedValue';
  return { name, bound: true, reason, message };
}
