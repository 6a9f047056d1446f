import type { KubeClient } from '#kube/client.ts';
import { GATEWAYS } from '#kube/resources.ts';

import type { ClusterAccess } from '../kubernetes.ts';
import { Failure, findGateway, getNamespace, listWaypoints } from './cluster.ts';
import { isWaypoint, revisionOf, USE_WAYPOINT } from './gateways.ts';

/** Which waypoints of the namespace: the named ones, or all (of one revision). */
export interface Doomed {
  readonly names: readonly string[];
  readonly all: boolean;
  readonly revision: string | undefined;
}

/** Deletes waypoints. What the control plane has made of them goes with them. @throws Failure */
export async function deleteWaypoints(
  { client, namespace }: ClusterAccess,
  doomed: Doomed,
): Promise<void> {
  const names = await doomedNames(client, namespace, doomed);
  if (names.length === 0) {
    process.stdout.write('No waypoints found.\n');
    return;
  }
  for (const name of names) {
    await client.delete(GATEWAYS, name, namespace);
    process.stdout.write(`waypoint ${namespace}/${name} deleted\n`);
  }
  const used = (await getNamespace(client, namespace)).metadata.labels?.[USE_WAYPOINT];
  if (used !== undefined && names.includes(used)) {
    process.stderr.write(
      `Warning: the namespace ${namespace} still has the label "${USE_WAYPOINT}: ${used}"; as long as there is no such waypoint, traffic goes without one\n`,
    );
  }
}

/** All of them are looked at before the first of them is deleted. */
async function doomedNames(
  client: KubeClient,
  namespace: string,
  { names, all, revision }: Doomed,
): Promise<readonly string[]> {
  if (all || (names.length === 0 && revision !== undefined)) {
    const waypoints = await listWaypoints(client, namespace);
    return waypoints
      .filter((gateway) => revision === undefined || revisionOf(gateway) === revision)
      .map(({ metadata }) => metadata.name);
  }
  for (const name of names) {
    const gateway = await findGateway(client, namespace, name);
    if (gateway === undefined) throw new Failure(`There is no waypoint ${namespace}/${name}`);
    if (!isWaypoint(gateway))
      throw new Failure(`The Gateway ${namespace}/${name} is not a waypoint`);
  }
  return names;
}
