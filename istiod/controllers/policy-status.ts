import type { Clock } from '#common/clock.ts';
import type { Logger } from '#common/log/logger.ts';
import type { KubeClient } from '#kube/client.ts';
import { AUTHORIZATION_POLICIES } from '#kube/resources.ts';

import type { Readable } from '../krt/core.ts';
import type { StatedCondition } from '../model/gateway-plan.ts';
import type { PolicyVerdict } from '../translate/derive-policies.ts';
import type { WaypointPolicyVerdict } from '../translate/derive-waypoint-policies.ts';
import { ConditionStatuses } from './condition-statuses.ts';

/** Tells the authors of AuthorizationPolicies, in the condition `ZtunnelAccepted`, what node tunnels make of them. */
export function policyStatuses(
  client: KubeClient,
  verdicts: Readable<PolicyVerdict>,
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
): Disposable {
  return new ConditionStatuses({
    client,
    type: 'ZtunnelAccepted',
    verdicts,
    kinds: [{ prefix: '', kind: AUTHORIZATION_POLICIES }],
    conditionOf: policyCondition,
    clock,
    log,
  });
}

/** Tells the authors of AuthorizationPolicies with targetRefs, in the condition `WaypointAccepted`, who enforces them. */
export function waypointPolicyStatuses(
  client: KubeClient,
  verdicts: Readable<WaypointPolicyVerdict>,
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
): Disposable {
  return new ConditionStatuses({
    client,
    type: 'WaypointAccepted',
    verdicts,
    kinds: [{ prefix: '', kind: AUTHORIZATION_POLICIES }],
    conditionOf: ({ bound, reason, message }) => ({
      status: bound ? 'True' : 'False',
      reason,
      message,
    }),
    clock,
    log,
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
