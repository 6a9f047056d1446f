import type { Clock } from '#common/clock.ts';
import type { Logger } from '#common/log/logger.ts';
import type { KubeClient } from '#kube/client.ts';
import { AUTHORIZATION_POLICIES } from '#kube/resources.ts';

import type { Readable } from '../krt/core.ts';
import type { StatedCondition } from '../model/gateway-plan.ts';
import type { PolicyVerdict } from '../translate/derive-policies.ts';
import type { WaypointPolicyVerdict } from '../translate/derive-waypoint-policies.ts';
import { boundCondition, conditionStatuses } from './condition-statuses.ts';

const KINDS = [{ prefix: '', kind: AUTHORIZATION_POLICIES }];

/** Tells the authors of AuthorizationPolicies, in the condition `ZtunnelAccepted`, what node tunnels make of them. */
export function policyStatuses(
  client: KubeClient,
  verdicts: Readable<PolicyVerdict>,
  how: { readonly clock: Clock; readonly log: Logger },
): Disposable {
  return conditionStatuses({
    client,
    type: 'ZtunnelAccepted',
    verdicts,
    kinds: KINDS,
    conditionOf: policyCondition,
    ...how,
  });
}

/** Tells the authors of AuthorizationPolicies with targetRefs, in the condition `WaypointAccepted`, who enforces them. */
export function waypointPolicyStatuses(
  client: KubeClient,
  verdicts: Readable<WaypointPolicyVerdict>,
  how: { readonly clock: Clock; readonly log: Logger },
): Disposable {
  return conditionStatuses({
    client,
    type: 'WaypointAccepted',
    verdicts,
    kinds: KINDS,
    conditionOf: boundCondition,
    ...how,
  });
}

/** What is said of a policy for node tunnels (pure). */
export function policyCondition({
  enforced,
  limitation,
}: PolicyVerdict): Omit<StatedCondition, 'type'> {
  return {
    status: enforced ? 'True' : 'False',
    reason: limitation === undefined ? 'Accepted' : 'UnsupportedValue',
    message: limitation ?? 'attached to ztunnel',
  };
}
