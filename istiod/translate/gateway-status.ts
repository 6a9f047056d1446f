import type { GatewayStatus, ListenerStatus, StatedCondition } from '../model/gateway-plan.ts';
import { TUNNEL_PORT } from '../model/mesh.ts';
import type { ServiceRecord } from '../model/service.ts';
import type { GatewayListener, GatewayRecord } from '../model/waypoint.ts';
import { type GatewayProblem, listenerProblem } from './waypoint-gateways.ts';
import { MANAGED } from './waypoints.ts';

/** What there is of a waypoint. */
export interface WaypointPresence {
  readonly problem: GatewayProblem | undefined;
  readonly service: ServiceRecord | undefined;
  /** At least one pod of it is ready. */
  readonly ready: boolean;
}

/**
 * What a waypoint's status says. Once there is an address it stays: without a pod that is ready, what belongs to
 * the waypoint is refused instead of going around it.
 */
export function gatewayStatus(gateway: GatewayRecord, presence: WaypointPresence): GatewayStatus {
  const { problem } = presence;
  const accepted: StatedCondition =
    problem === undefined
      ? { type: 'Accepted', status: 'True', reason: 'Accepted', message: 'Resource accepted' }
      : { type: 'Accepted', status: 'False', ...problem };
  return {
    conditions: [accepted, programmed(gateway, presence), RESOLVED],
    addresses: addressesOf(gateway, presence),
    listeners: gateway.listeners.map((listener) => listenerStatus(listener, gateway.listeners)),
  };
}

const RESOLVED: StatedCondition = {
  type: 'ResolvedRefs',
  status: 'True',
  reason: 'ResolvedRefs',
  message: 'All references resolved',
};

function programmed(
  { addresses }: GatewayRecord,
  { problem, service, ready }: WaypointPresence,
): StatedCondition {
  const type = 'Programmed';
  const no = { type, status: 'False' } as const;
  if (problem !== undefined) {
    return { ...no, reason: 'Invalid', message: `Not accepted: ${problem.message}` };
  }
  if (service === undefined || service.addresses.length === 0) {
    const message = 'Its Service is not there yet, or has no address';
    return { ...no, reason: 'AddressNotAssigned', message };
  }
  if (isForeign(service)) {
    const who = `There is a Service ${JSON.stringify(service.name)} that somebody else has made, and it stays as it is`;
    const message = `${who}: delete it, or give the waypoint another name`;
    return { ...no, reason: 'AddressNotAssigned', message };
  }
  if (ready) {
    const message = `Resource programmed, assigned to service(s) ${service.hostname}:${TUNNEL_PORT}`;
    return { type, status: 'True', reason: 'Programmed', message };
  }
  return addresses.length === 0
    ? { ...no, reason: 'AddressNotAssigned', message: 'No pod of it is ready yet' }
    : {
        ...no,
        reason: 'AddressNotUsable',
        message: 'No pod of it is ready: connections that have to go through it are refused',
      };
}

/** What a user has made under the waypoint's name: its address leads elsewhere. */
function isForeign({ labels }: ServiceRecord): boolean {
  return labels[MANAGED] === undefined;
}

function addressesOf(
  gateway: GatewayRecord,
  { problem, service, ready }: WaypointPresence,
): GatewayStatus['addresses'] {
  const hasAddress = service !== undefined && service.addresses.length > 0 && !isForeign(service);
  if (!hasAddress || !ready || problem !== undefined) {
    return gateway.addresses.map((address) =>
      address.kind === 'hostname'
        ? { type: 'Hostname', value: address.hostname }
        : { type: 'IPAddress', value: address.ip },
    );
  }
  return [
    { type: 'Hostname', value: service.hostname },
    ...service.addresses.map(({ ip }) => ({ type: 'IPAddress', value: ip }) as const),
  ];
}

function listenerStatus(
  listener: GatewayListener,
  all: readonly GatewayListener[],
): ListenerStatus {
  const problem = listenerProblem(all);
  const isFine = problem === undefined;
  const status = isFine ? 'True' : 'False';
  const [foreign] = listener.kinds;
  return {
    name: listener.name,
    // Routes attach to services, never to the tunnel itself.
    attachedRoutes: 0,
    supportedKinds: [],
    conditions: [
      {
        type: 'Accepted',
        status,
        reason: isFine ? 'Accepted' : 'UnsupportedProtocol',
        message: problem ?? 'No errors found',
      },
      { type: 'Conflicted', status: 'False', reason: 'NoConflicts', message: 'No errors found' },
      {
        type: 'Programmed',
        status,
        reason: isFine ? 'Programmed' : 'Invalid',
        message: problem ?? 'No errors found',
      },
      foreign === undefined
        ? {
            type: 'ResolvedRefs',
            status: 'True',
            reason: 'ResolvedRefs',
            message: 'No errors found',
          }
        : {
            type: 'ResolvedRefs',
            status: 'False',
            reason: 'InvalidRouteKinds',
            message: `No routes attach to the listener of a waypoint, so neither does ${foreign.kind}: they attach to services`,
          },
    ],
  };
}
