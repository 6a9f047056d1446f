import { isConflict } from '#kube/errors.ts';
import { GATEWAYS, NAMESPACES, type Namespace } from '#kube/resources.ts';

import type { ClusterAccess } from '../kubernetes.ts';
import { explained, Failure, findGateway, getNamespace, waitUntilReady } from './cluster.ts';
import {
  FIELD_MANAGER,
  isWaypoint,
  USE_WAYPOINT,
  WAYPOINT_CLASS,
  type WantedWaypoint,
  waypointGateway,
} from './gateways.ts';

const DATAPLANE_MODE = 'istio.io/dataplane-mode';

export interface ApplyOptions {
  readonly enrollNamespace: boolean;
  /** Enroll the namespace even though it uses another waypoint. */
  readonly overwrite: boolean;
  /** Undefined: do not wait. */
  readonly waitMs: number | undefined;
}

/** Makes a waypoint, or changes the one that there is. @throws Failure, before anything is written if possible. */
export async function applyWaypoint(
  { client }: ClusterAccess,
  wanted: WantedWaypoint,
  options: ApplyOptions,
): Promise<void> {
  const { namespace, name } = wanted;
  const found = await getNamespace(client, namespace);
  const refusal = options.enrollNamespace ? enrolmentProblem(found, name, options) : undefined;
  if (refusal !== undefined) throw new Failure(refusal);
  const there = await findGateway(client, namespace, name);
  if (there !== undefined && !isWaypoint(there)) {
    throw new Failure(
      `The Gateway ${namespace}/${name} is there already, and of another class than ${WAYPOINT_CLASS}`,
    );
  }
  if (found.metadata.labels?.[DATAPLANE_MODE] !== 'ambient') {
    process.stderr.write(
      `Warning: the namespace ${namespace} is not in the mesh; what runs in it does not use the waypoint before "kubectl label namespace ${namespace} ${DATAPLANE_MODE}=ambient"\n`,
    );
  }
  const how = { type: 'apply', fieldManager: FIELD_MANAGER } as const;
  await client
    .patch(GATEWAYS, name, namespace, waypointGateway(wanted), how)
    .catch((error: unknown) => {
      if (isConflict(error) && error instanceof Error) {
        throw new Failure(
          `Somebody else has changed the Gateway ${namespace}/${name}, and that stays: ${error.message}; change it with kubectl, or delete the waypoint first`,
        );
      }
      throw explained(error);
    });
  process.stdout.write(`✅ waypoint ${namespace}/${name} applied\n`);
  if (options.waitMs !== undefined) {
    await waitUntilReady(client, { namespace, name }, options.waitMs);
    process.stdout.write(`✅ waypoint ${namespace}/${name} is ready!\n`);
  }
  if (!options.enrollNamespace) return;
  const patch = { metadata: { labels: { [USE_WAYPOINT]: name } } };
  await client.patch(NAMESPACES, namespace, undefined, patch, { type: 'merge' });
  process.stdout.write(`✅ namespace ${namespace} labeled with "${USE_WAYPOINT}: ${name}"\n`);
}

function enrolmentProblem(
  { metadata }: Namespace,
  name: string,
  { overwrite }: ApplyOptions,
): string | undefined {
  const used = metadata.labels?.[USE_WAYPOINT];
  if (used === undefined || used === name || overwrite) return undefined;
  return `The namespace ${metadata.name} uses another waypoint already ("${USE_WAYPOINT}: ${used}"); --overwrite replaces it`;
}
