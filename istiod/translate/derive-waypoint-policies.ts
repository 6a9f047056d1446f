import { create } from '@bufbuild/protobuf';

import { PolicySchema, type ServiceName, ServiceNameSchema } from '#api/gen/waypoint_pb.ts';

import type { Fetch, Readable } from '../krt/core.ts';
import { DerivedCollection } from '../krt/derived.ts';
import type { Graph } from '../krt/graph.ts';
import type { ServiceEntryRecord } from '../model/entry.ts';
import { objectKey } from '../model/metadata.ts';
import type { AuthorizationPolicyRecord, PolicyTarget } from '../model/policy.ts';
import { sameVersion, type WaypointResource, waypointResourceKey } from '../model/resource.ts';
import type { ServiceRecord } from '../model/service.ts';
import type { GatewayRecord } from '../model/waypoint.ts';
import { fetchBinding, type Surroundings } from './derive-surroundings.ts';
import { waypointPolicyResource } from './encode.ts';
import { WAYPOINT_CLASS } from './waypoint-gateways.ts';
import { translateWaypointPolicy } from './waypoint-policy.ts';

const GATEWAY_GROUP = 'gateway.networking.k8s.io';
const ENTRY_GROUP = 'networking.istio.io';

/** Waypoint → the services behind it that a policy is for; 'all': everything that goes through the waypoint. */
type Attachments = Map<string, 'all' | ServiceName[]>;

/** The layer 7 policies of each waypoint, one resource for each policy: see {@link waypointResourceKey}. */
export function deriveWaypointPolicies(
  graph: Graph,
  around: Surroundings,
  inputs: {
    readonly authorizationPolicies: Readable<AuthorizationPolicyRecord>;
    readonly services: Readable<ServiceRecord>;
    readonly serviceEntries: Readable<ServiceEntryRecord>;
    readonly gateways: Readable<GatewayRecord>;
  },
): Readable<WaypointResource> {
  const byClass = inputs.gateways.indexBy('class', ({ className }) => [className]);

  function servicesOf(target: PolicyTarget, namespace: string, fetch: Fetch) {
    const key = `${namespace}/${target.name}`;
    if (target.group === '' && target.kind === 'Service') {
      const service = fetch.one(inputs.services, key);
      return service === undefined ? [] : [service];
    }
    if (target.group === ENTRY_GROUP && target.kind === 'ServiceEntry')
      return fetch.one(inputs.serviceEntries, key)?.services ?? [];
    return [];
  }

  /** Waypoints that a target stands for as a whole. */
  function gatewaysOf({ group, kind, name }: PolicyTarget, namespace: string, fetch: Fetch) {
    if (group !== GATEWAY_GROUP) return [];
    if (kind === 'Gateway') return [`${namespace}/${name}`];
    const isMeshWide = namespace === around.mesh.rootNamespace;
    if (kind !== 'GatewayClass' || name !== WAYPOINT_CLASS || !isMeshWide) return [];
    return fetch.all(inputs.gateways, { within: byClass.at(name) }).map(objectKey);
  }

  function attachments(policy: AuthorizationPolicyRecord, fetch: Fetch): Attachments {
    const { namespace } = policy;
    const attached: Attachments = new Map();
    for (const target of policy.targets) {
      for (const waypoint of gatewaysOf(target, namespace, fetch)) attached.set(waypoint, 'all');
      for (const { labels, hostname } of servicesOf(target, namespace, fetch)) {
        const found = fetchBinding(fetch, around, { namespace, labels, traffic: 'service' });
        if (found?.binding.kind !== 'bound') continue;
        const key = objectKey(found.binding.waypoint);
        const before = attached.get(key) ?? [];
        if (before === 'all') continue;
        attached.set(key, [...before, create(ServiceNameSchema, { namespace, hostname })]);
      }
    }
    return attached;
  }

  return new DerivedCollection<AuthorizationPolicyRecord, WaypointResource>(
    graph,
    'waypoint policies',
    inputs.authorizationPolicies,
    {
      keyOf: waypointResourceKey,
      equal: sameVersion,
      transformation: (policy, fetch) => {
        if (!policy.targeted) return [];
        const attached = attachments(policy, fetch);
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
}
