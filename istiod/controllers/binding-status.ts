import type { Clock } from '#common/clock.ts';
import type { Logger } from '#common/log/logger.ts';
import type { KubeClient } from '#kube/client.ts';
import { SERVICE_ENTRIES, SERVICES, WORKLOAD_ENTRIES } from '#kube/resources.ts';

import type { Readable } from '../krt/core.ts';
import type { BindingVerdict } from '../translate/waypoints.ts';
import { boundCondition, conditionStatuses } from './condition-statuses.ts';

/** Tells who asked for a waypoint, in the condition `istio.io/WaypointBound`, whether it is used, or why not. */
export function bindingStatuses(
  client: KubeClient,
  verdicts: Readable<BindingVerdict>,
  how: { readonly clock: Clock; readonly log: Logger },
): Disposable {
  return conditionStatuses({
    client,
    type: 'istio.io/WaypointBound',
    verdicts,
    kinds: [
      { prefix: 'Service/', kind: SERVICES },
      { prefix: 'ServiceEntry/', kind: SERVICE_ENTRIES },
      { prefix: 'WorkloadEntry/', kind: WORKLOAD_ENTRIES },
    ],
    conditionOf: boundCondition,
    ...how,
  });
}
