import type { Clock } from '#common/clock.ts';
import type { Logger } from '#common/log/logger.ts';
import { WorkQueue } from '#common/work-queue.ts';
import type { KubeClient } from '#kube/client.ts';
import { isNotFound } from '#kube/errors.ts';
import {
  type Condition,
  type Configuration,
  GRPC_ROUTES,
  HTTP_ROUTES,
  type KubeObject,
  namespacedName,
} from '#kube/resources.ts';

import { list, record } from '../inputs/metadata.ts';
import type { Readable } from '../krt/core.ts';
import { structurallyEqual } from '../krt/equal.ts';
import { RESOLVED_WAYPOINTS, type RouteVerdict } from '../translate/derive-route-verdicts.ts';
import { nextCondition } from './conditions.ts';

const CONTROLLER = 'istio.io/gateway-controller';
const RETRY = { firstMs: 200, maxMs: 60_000, spread: 0.2 };
const PARALLEL = 4;

/** Tells the authors of routes, for each service or entry that is a parent, what becomes of the route. */
export function routeStatuses(
  client: Pick<KubeClient, 'get' | 'list' | 'patch'>,
  verdicts: Readable<RouteVerdict>,
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
): Disposable {
  const reconcile = async (key: string): Promise<void> => {
    const [kindName, namespace = '', name = ''] = key.split('/');
    const kind = kindName === 'GRPCRoute' ? GRPC_ROUTES : HTTP_ROUTES;
    try {
      const route: Configuration = await client.get(kind, name, namespace);
      const parents = nextParents(route, verdicts.get(key), clock.now());
      if (parents === undefined) return;
      // The version makes sure that what others have written meanwhile is not lost.
      const { resourceVersion } = route.metadata;
      const patch = { metadata: { resourceVersion }, status: { parents } };
      await client.patch(kind, name, namespace, patch, { type: 'merge', subresource: 'status' });
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  };
  /** What got a status from somebody before us and lost its verdict in between. */
  const sweep = async (): Promise<void> => {
    for (const kind of [HTTP_ROUTES, GRPC_ROUTES]) {
      const { items } = await client.list(kind).catch((error: unknown) => {
        // A kind that the cluster does not have has no objects.
        if (isNotFound(error)) return { items: [] };
        throw error;
      });
      for (const route of items) {
        if (list(record(route['status'])['parents']).some(isOurs)) {
          queue.add(`${kind.kind}/${namespacedName(route.metadata)}`);
        }
      }
    }
  };
  const queue: WorkQueue = new WorkQueue({
    clock,
    work: (key) => (key === SWEEP ? sweep() : reconcile(key)),
    backoff: RETRY,
    parallel: PARALLEL,
    onFailure: (route, error, failures, retryMs) => {
      const reason = error instanceof Error ? error.message : String(error);
      const retry = Math.round(retryMs);
      log.warn('status not written', { route, reason, failures, retry_ms: retry });
    },
  });
  const subscription = verdicts.subscribe((changes) => {
    for (const { key } of changes) queue.add(key);
  });
  for (const key of verdicts.keys()) queue.add(key);
  queue.add(SWEEP);
  return {
    [Symbol.dispose]: () => {
      subscription[Symbol.dispose]();
      queue.stop();
    },
  };
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
  const all = list(record(route['status'])['parents']);
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

/** No key of a route: it has no slash. */
const SWEEP = 'sweep';
