import { systemClock } from '#common/clock.ts';
import type { KubeClient } from '#kube/client.ts';
import { isNotFound, KubeError } from '#kube/errors.ts';
import { Informer } from '#kube/informer.ts';
import { type Configuration, GATEWAYS, NAMESPACES, type Namespace } from '#kube/resources.ts';

import { isWaypoint, waypointState } from './gateways.ts';

/** Something that the user can put right; what it says is all that there is to say. */
export class Failure extends Error {}

/** The waypoints of a namespace, or of all. */
export async function listWaypoints(
  client: KubeClient,
  namespace: string | undefined,
): Promise<readonly Configuration[]> {
  const { items } = await client
    .list(GATEWAYS, namespace === undefined ? {} : { namespace })
    .catch((error: unknown) => {
      throw explained(error);
    });
  return items.filter(isWaypoint);
}

export async function findGateway(
  client: KubeClient,
  namespace: string,
  name: string,
): Promise<Configuration | undefined> {
  try {
    return await client.get(GATEWAYS, name, namespace);
  } catch (error) {
    if (isNotFound(error) && !isUnknownKind(error)) return undefined;
    throw explained(error);
  }
}

export async function getNamespace(client: KubeClient, name: string): Promise<Namespace> {
  try {
    return await client.get(NAMESPACES, name);
  } catch (error) {
    if (isNotFound(error)) throw new Failure(`There is no namespace ${JSON.stringify(name)}`);
    throw error;
  }
}

/** Settles when a waypoint is ready. @throws Failure when it is refused, or not ready in time. */
export async function waitUntilReady(
  client: KubeClient,
  where: { readonly namespace: string; readonly name: string },
  deadlineMs: number,
): Promise<void> {
  const { namespace, name } = where;
  const informer = new Informer(client, GATEWAYS, {
    namespace,
    fieldSelector: `metadata.name=${name}`,
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const state = () => waypointState(informer.list()[0]);
  const look = (): void => {
    const found = state();
    if (found.kind === 'ready') resolve();
    if (found.kind === 'refused')
      reject(new Failure(`The waypoint ${namespace}/${name} is refused: ${found.reason}`));
  };
  const timer = systemClock.setTimer(deadlineMs, () => {
    const found = state();
    const why = found.kind === 'ready' ? '' : `: ${found.reason}`;
    const after = `${deadlineMs / 1000} s`;
    reject(new Failure(`The waypoint ${namespace}/${name} is not ready after ${after}${why}`));
  });
  informer.on({ added: look, changed: look, removed: look });
  informer.start();
  try {
    await promise;
  } finally {
    timer[Symbol.dispose]();
    informer.stop();
  }
}

/** What the user can do about an answer of the server. */
export function explained(error: unknown): unknown {
  if (!isUnknownKind(error)) return error;
  return new Failure(
    'The cluster does not have the kind Gateway (gateway.networking.k8s.io/v1): apply the definitions of the Gateway API, or manifests/10-crds',
  );
}

/** The server does not know the kind, as opposed to not having the object. */
function isUnknownKind(error: unknown): boolean {
  return (
    error instanceof KubeError && error.code === 404 && error.status.details?.name === undefined
  );
}
