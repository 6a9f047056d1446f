import { type Condition, type Configuration, namespacedName } from '#kube/resources.ts';

export const WAYPOINT_CLASS = 'istio-waypoint';
export const USE_WAYPOINT = 'istio.io/use-waypoint';
/** As istioctl's: whoever has applied a waypoint with the one may go on with the other. */
export const FIELD_MANAGER = 'istioctl';
export const DEFAULT_NAME = 'waypoint';
/** Means that there is to be no waypoint. */
const RESERVED_NAME = 'none';
const WAYPOINT_FOR = 'istio.io/waypoint-for';
const REVISION = 'istio.io/rev';
const TRAFFIC_TYPES: readonly string[] = ['service', 'workload', 'all', 'none'];
/** What a waypoint is for when nothing is said. */
const DEFAULT_TRAFFIC_TYPE = 'service';
const DEFAULT_REVISION = 'default';

export interface WantedWaypoint {
  readonly name: string;
  readonly namespace: string;
  /** Undefined: what the class says, or services. */
  readonly trafficType: string | undefined;
  readonly revision: string | undefined;
}

/** Why there cannot be such a waypoint; undefined when there can. */
export function waypointProblem({ name, trafficType }: WantedWaypoint): string | undefined {
  if (name === RESERVED_NAME)
    return `The name "${RESERVED_NAME}" is reserved: it means no waypoint`;
  if (!/^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name)) {
    return `A waypoint can not have the name ${JSON.stringify(name)}: want at most 63 lower-case letters, digits and "-", the first a letter`;
  }
  if (trafficType === undefined || TRAFFIC_TYPES.includes(trafficType)) return undefined;
  return `Unknown traffic type ${JSON.stringify(trafficType)}: want --for ${TRAFFIC_TYPES.join('|')}`;
}

/** The Gateway that asks for a waypoint. */
export function waypointGateway(wanted: WantedWaypoint): Configuration {
  const { name, namespace, trafficType, revision } = wanted;
  const labels = {
    ...(trafficType === undefined ? {} : { [WAYPOINT_FOR]: trafficType }),
    ...(revision === undefined ? {} : { [REVISION]: revision }),
  };
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata: {
      name,
      namespace,
      ...(Object.keys(labels).length === 0 ? {} : { labels }),
    },
    spec: {
      gatewayClassName: WAYPOINT_CLASS,
      listeners: [{ name: 'mesh', port: 15008, protocol: 'HBONE' }],
    },
  };
}

export function isWaypoint(gateway: Configuration): boolean {
  return gateway.spec?.['gatewayClassName'] === WAYPOINT_CLASS;
}

export function revisionOf({ metadata }: Configuration): string {
  return metadata.labels?.[REVISION] ?? DEFAULT_REVISION;
}

/** What a Gateway asks for that the usual control plane is not. */
function ofRevision(gateway: Configuration): string {
  const revision = revisionOf(gateway);
  return revision === DEFAULT_REVISION ? '' : `, and of revision ${JSON.stringify(revision)}`;
}

/** How far the control plane is with a waypoint. */
export type WaypointState =
  | { readonly kind: 'ready' }
  | { readonly kind: 'refused' | 'waiting'; readonly reason: string };

/** What the conditions say of the present generation; those of an earlier one say nothing. */
export function waypointState(gateway: Configuration | undefined): WaypointState {
  if (gateway === undefined) return { kind: 'waiting', reason: 'it is not there' };
  const accepted = presentCondition(gateway, 'Accepted');
  if (accepted?.status === 'False') return { kind: 'refused', reason: told(accepted) };
  const programmed = presentCondition(gateway, 'Programmed');
  if (programmed?.status === 'True') return { kind: 'ready' };
  const reason =
    programmed === undefined || programmed.status === 'Unknown'
      ? `no control plane has looked at it; is istiod running${ofRevision(gateway)}?`
      : told(programmed);
  return { kind: 'waiting', reason };
}

/** One row for each waypoint, in order, under a head. */
export function listRows(
  waypoints: readonly Configuration[],
  withNamespace: boolean,
): readonly (readonly string[])[] {
  const head = ['NAME', 'REVISION', 'TRAFFIC TYPE', 'PROGRAMMED'];
  const rows = inOrder(waypoints).map((gateway) => [
    gateway.metadata.name,
    revisionOf(gateway),
    gateway.metadata.labels?.[WAYPOINT_FOR] ?? DEFAULT_TRAFFIC_TYPE,
    conditionOf(gateway, 'Programmed')?.status ?? 'Unknown',
  ]);
  return withNamespaces(waypoints, [head, ...rows], withNamespace);
}

/** One row for each waypoint, in order, with what its condition `Programmed` says. */
export function statusRows(
  waypoints: readonly Configuration[],
  withNamespace: boolean,
): readonly (readonly string[])[] {
  const head = ['NAME', 'STATUS', 'TYPE', 'REASON', 'MESSAGE'];
  const rows = inOrder(waypoints).map((gateway) => {
    const programmed = conditionOf(gateway, 'Programmed');
    const { status = 'Unknown', reason = '', message = '' } = programmed ?? {};
    return [gateway.metadata.name, status, 'Programmed', reason, message];
  });
  return withNamespaces(waypoints, [head, ...rows], withNamespace);
}

function withNamespaces(
  waypoints: readonly Configuration[],
  [head = [], ...rows]: readonly (readonly string[])[],
  withNamespace: boolean,
): readonly (readonly string[])[] {
  if (!withNamespace) return [head, ...rows];
  const namespaces = inOrder(waypoints).map(({ metadata }) => metadata.namespace ?? '');
  return [
    ['NAMESPACE', ...head],
    ...rows.map((row, position) => [namespaces[position] ?? '', ...row]),
  ];
}

function inOrder(waypoints: readonly Configuration[]): readonly Configuration[] {
  return waypoints.toSorted((one, other) =>
    namespacedName(one.metadata) < namespacedName(other.metadata) ? -1 : 1,
  );
}

function presentCondition(gateway: Configuration, type: string): Condition | undefined {
  const condition = conditionOf(gateway, type);
  return condition?.observedGeneration === gateway.metadata.generation ? condition : undefined;
}

function conditionOf({ status }: Configuration, type: string): Condition | undefined {
  const conditions = status?.['conditions'];
  if (!Array.isArray(conditions)) return undefined;
  return (conditions as readonly Condition[]).find((condition) => condition.type === type);
}

function told({ reason, message }: Condition): string {
  return `${reason ?? 'no reason'}: ${message ?? ''}`;
}
