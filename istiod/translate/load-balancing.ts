import { create } from '@bufbuild/protobuf';

import {
  LoadBalancing_HealthPolicy as Health,
  type LoadBalancing,
  LoadBalancingSchema,
  LoadBalancing_Mode as Mode,
  LoadBalancing_Scope as Scope,
} from '#api/gen/workload_pb.ts';

import type { NamespaceRecord } from '../model/place.ts';
import type { Balancing } from '../model/service.ts';

interface Preference {
  readonly mode: Mode;
  readonly routing: readonly Scope[];
}

const SAME_NODE_ONLY: Preference = { mode: Mode.STRICT, routing: [Scope.NODE] };
const NONE: Preference = { mode: Mode.UNSPECIFIED_MODE, routing: [] };
const ZONE_FIRST: Preference = {
  mode: Mode.FAILOVER,
  routing: [Scope.NETWORK, Scope.REGION, Scope.ZONE],
};
const NODE_FIRST: Preference = {
  mode: Mode.FAILOVER,
  routing: [Scope.NETWORK, Scope.REGION, Scope.ZONE, Scope.SUBZONE, Scope.NODE],
};

const DISTRIBUTIONS: ReadonlyMap<string, Preference> = new Map([
  ['prefersamezone', ZONE_FIRST],
  ['preferclose', ZONE_FIRST],
  ['prefersamenode', NODE_FIRST],
  ['any', NONE],
]);

/** How connections to a service are spread; undefined when nothing special is asked for. */
export function loadBalancing(
  balancing: Balancing,
  namespace: NamespaceRecord | undefined,
): LoadBalancing | undefined {
  if (balancing.passthrough) {
    return create(LoadBalancingSchema, { mode: Mode.PASSTHROUGH, healthPolicy: Health.ALLOW_ALL });
  }
  const { mode, routing } = preference(balancing, namespace);
  if (mode === Mode.UNSPECIFIED_MODE && !balancing.publishNotReady) return undefined;
  return create(LoadBalancingSchema, {
    mode,
    routingPreference: [...routing],
    healthPolicy: balancing.publishNotReady ? Health.ALLOW_ALL : Health.ONLY_HEALTHY,
  });
}

function preference(balancing: Balancing, namespace: NamespaceRecord | undefined): Preference {
  if (balancing.internalTrafficPolicy === 'Local') return SAME_NODE_ONLY;
  const said =
    balancing.trafficDistribution ?? balancing.annotation ?? namespace?.trafficDistribution;
  return DISTRIBUTIONS.get(said?.toLowerCase() ?? 'any') ?? NONE;
}
