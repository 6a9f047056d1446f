import type { Clock } from '#common/clock.ts';
import type { Logger } from '#common/log/logger.ts';
import { type Condition, GRPC_ROUTES, HTTP_ROUTES, type KubeObject } from '#kube/resources.ts';
import type { Readable } from '../krt/core.ts';
import { structurallyEqual } from '../krt/equal.ts';
import { list, record } from '../model/written.ts';
import { RESOLVED_WAYPOINTS, type RouteVerdict } from '../translate/derive-route-verdicts.ts';
import { nextCondition } from './conditions.ts';
import { type StatusClient, StatusWriter } from './status-writer.ts';

const CONTROLLER = 'istio.io/gateway-controller';

/** Tells the authors of routes, for each service or entry that is a parent, what becomes of the route. */
export function routeStatuses(
  client: StatusClient,
  verdicts: Readable<RouteVerdict>,
  how: { readonly clock: Clock; readonly log: Logger },
): Disposable {
  return new StatusWriter({
    client,
    verdicts,
    kinds: [
      { prefix: 'HTTPRoute/', kind: HTTP_ROUTES },
      { prefix: 'GRPCRoute/', kind: GRPC_ROUTES },
    ],
    isStated: (route) => parentsOf(route).some(isOurs),
    next: (route, verdict, nowMs) => {
      const parents = nextParents(route, verdict, nowMs);
      return parents && { parents };
    },
    logged: (route) => ({ route }),
    ...how,
  });
}

/**
 * The `status.parents` that a route should have, or undefined when it has them (pure). What other controllers say of
 * their parents stays.
 */
export function nextParents(
  route: KubeObject,
  verdict: RouteVerdict | undefined,
  nowMs: number,
): readonly unknown[] | undefined {
  const all = parentsOf(route);
  const at = { generation: verdict?.generation, nowMs };
  const ours = (verdict?.parents ?? []).map(({ ref, conditions }) => {
    const same = (parent: unknown) =>
      isOurs(parent) && structurallyEqual(record(parent)['parentRef'], ref);
    const before = list(record(all.find(same))['conditions']) as readonly Condition[];
    return {
      controllerName: CONTROLLER,
      parentRef: ref,
      conditions: conditions.map((stated) => {
        const old = before.find(({ type }) => type === stated.type);
        return nextCondition(old, stated, at) ?? old;
      }),
    };
  });
  const next = [...all.filter((parent) => !isOurs(parent)), ...ours];
  return structurallyEqual(all, next) ? undefined : next;
}

/** Of a gateway somebody else may speak in the same name, but not of waypoints. */
function isOurs(parent: unknown): boolean {
  const { controllerName, parentRef, conditions } = record(parent);
  const { kind } = record(parentRef);
  if (controllerName !== CONTROLLER) return false;
  if (kind === 'Service' || kind === 'ServiceEntry') return true;
  return list(conditions).some((condition) => record(condition)['type'] === RESOLVED_WAYPOINTS);
}

function parentsOf(route: KubeObject): readonly unknown[] {
  return list(record(route['status'])['parents']);
}
