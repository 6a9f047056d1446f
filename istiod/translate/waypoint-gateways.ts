import { TUNNEL_PORT } from '../model/mesh.ts';
import type { NamespaceRecord } from '../model/place.ts';
import type { GatewayClassRecord, GatewayListener, GatewayRecord } from '../model/waypoint.ts';
import { SERVES, WAYPOINT_FOR } from './waypoints.ts';

/** The class that the control plane makes itself, and whose gateways and other classes it takes care of. */
export const WAYPOINT_CLASS = 'istio-waypoint';
export const WAYPOINT_CONTROLLER = 'istio.io/mesh-controller';
/** The protocol of a waypoint's one listener. */
const TUNNEL_PROTOCOL = 'HBONE';
const REVISION = 'istio.io/rev';
const DEFAULT_REVISION = 'default';
/** RFC 1035: a Service has the gateway's name, and so have labels. */
const SERVICE_NAME = /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** Whether a gateway is a waypoint that this control plane has to make. */
export function isOurs(
  gateway: GatewayRecord,
  around: {
    readonly gatewayClass: GatewayClassRecord | undefined;
    readonly namespace: NamespaceRecord | undefined;
    readonly revision: string;
  },
): boolean {
  const { gatewayClass, namespace, revision } = around;
  const wanted = gateway.labels[REVISION] ?? namespace?.labels[REVISION] ?? DEFAULT_REVISION;
  return isWaypointClass(gateway.className, gatewayClass) && wanted === revision;
}

/** Whether gateways of a class are waypoints; `found`: the object of that name, if there is one. */
export function isWaypointClass(name: string, found: GatewayClassRecord | undefined): boolean {
  return found === undefined
    ? name === WAYPOINT_CLASS
    : found.controllerName === WAYPOINT_CONTROLLER;
}

/** What is wrong with a waypoint, if anything, as the reason and the message of its condition `Accepted`. */
export interface GatewayProblem {
  readonly reason: 'ListenersNotValid' | 'UnsupportedAddress' | 'InvalidParameters';
  readonly message: string;
}

/** The first thing that keeps a waypoint from being made as it is written. */
export function gatewayProblem(
  gateway: GatewayRecord,
  gatewayClass: GatewayClassRecord | undefined,
): GatewayProblem | undefined {
  const listeners = listenerProblem(gateway.listeners);
  if (listeners !== undefined) {
    return { reason: 'ListenersNotValid', message: `No listener is valid: ${listeners}` };
  }
  const [address] = gateway.wantedAddresses;
  if (address !== undefined) {
    return {
      reason: 'UnsupportedAddress',
      message: `A waypoint has the address of its own Service; want no spec.addresses, not ${address.type} ${JSON.stringify(address.value)}`,
    };
  }
  const message =
    nameProblem(gateway) ?? waypointForProblem(gateway, gatewayClass) ?? parametersProblem(gateway);
  return message === undefined ? undefined : { reason: 'InvalidParameters', message };
}

/** What is wrong with the listeners of a waypoint; it may have exactly one. */
export function listenerProblem(listeners: readonly GatewayListener[]): string | undefined {
  const [listener, ...others] = listeners;
  const isFine =
    others.length === 0 && listener?.port === TUNNEL_PORT && listener.protocol === TUNNEL_PROTOCOL;
  if (isFine) return undefined;
  const found = listeners.map(({ port, protocol }) => `${protocol} on port ${port}`).join(', ');
  return `Expected a single listener on port ${TUNNEL_PORT} with protocol "${TUNNEL_PROTOCOL}", found ${found || 'none'}`;
}

function nameProblem({ name }: GatewayRecord): string | undefined {
  if (SERVICE_NAME.test(name)) return undefined;
  return `A Service can not have the name ${JSON.stringify(name)}: want at most 63 lower-case letters, digits and "-", the first a letter`;
}

function waypointForProblem(
  gateway: GatewayRecord,
  gatewayClass: GatewayClassRecord | undefined,
): string | undefined {
  const serves = gateway.labels[WAYPOINT_FOR] ?? gatewayClass?.labels[WAYPOINT_FOR];
  if (serves === undefined || SERVES.has(serves)) return undefined;
  return `The label ${WAYPOINT_FOR} is ${JSON.stringify(serves)}: want ${[...SERVES.keys()].join(', ')}`;
}

function parametersProblem({ infrastructure }: GatewayRecord): string | undefined {
  const { parametersRef, labels = {} } = infrastructure;
  if (parametersRef !== undefined)
    return `spec.infrastructure.parametersRef (${parametersRef}) is not supported: leave it out`;
  const label = Object.entries(labels).find(([, value]) => !LABEL_VALUE.test(value));
  if (label === undefined) return undefined;
  return `spec.infrastructure.labels: ${label[0]} can not have the value ${JSON.stringify(label[1])}`;
}

const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;
