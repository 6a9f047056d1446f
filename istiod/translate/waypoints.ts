import { create } from '@bufbuild/protobuf';

import {
  type GatewayAddress,
  GatewayAddressSchema,
  NamespacedHostnameSchema,
  NetworkAddressSchema,
} from '#api/gen/workload_pb.ts';
import { ipToBytes } from '#common/net/address.ts';
import { matchesLabels } from '#kube/selector.ts';

import type { Labels } from '../krt/filter.ts';
import { TUNNEL_PORT } from '../model/mesh.ts';
import type { NamespaceRecord } from '../model/place.ts';
import type {
  AllowedFrom,
  GatewayClassRecord,
  GatewayListener,
  GatewayRecord,
  Waypoint,
} from '../model/waypoint.ts';

const USE_WAYPOINT = 'istio.io/use-waypoint';
const USE_WAYPOINT_NAMESPACE = 'istio.io/use-waypoint-namespace';
export const WAYPOINT_FOR = 'istio.io/waypoint-for';
const INGRESS_USE_WAYPOINT = 'istio.io/ingress-use-waypoint';
export const MANAGED = 'gateway.istio.io/managed';
const OPTED_OUT = 'none';
const GATEWAY_MANAGERS: readonly string[] = [
  'istio.io-mesh-controller',
  'istio.io-eastwest-controller',
];
export const SERVES: ReadonlyMap<string, Waypoint['serves']> = new Map<string, Waypoint['serves']>([
  ['service', 'service'],
  ['workload', 'workload'],
  ['all', 'all'],
  ['none', 'none'],
]);

/** A gateway as a waypoint; undefined until it has an address. */
export function waypointOf(
  gateway: GatewayRecord,
  gatewayClass: GatewayClassRecord | undefined,
): Waypoint | undefined {
  const { addresses } = gateway;
  const address = addresses.find(({ kind }) => kind === 'hostname') ?? addresses[0];
  if (address === undefined) return undefined;
  const serves = gateway.labels[WAYPOINT_FOR] ?? gatewayClass?.labels[WAYPOINT_FOR] ?? 'service';
  const inboundBinding = gateway.inboundBinding ?? gatewayClass?.inboundBinding;
  return {
    namespace: gateway.namespace,
    name: gateway.name,
    address,
    serves: SERVES.get(serves) ?? 'none',
    from: meshListener(gateway.listeners, inboundBinding)?.from ?? { kind: 'same' },
    inboundBinding,
  };
}

export type WaypointBinding =
  | { readonly kind: 'none' }
  | { readonly kind: 'bound'; readonly waypoint: Waypoint }
  | { readonly kind: 'refused'; readonly reason: BindingRefusal };

export type BindingRefusal = 'WaypointIsNotReady' | 'AttachmentDenied' | 'UnsupportedTrafficType';

/** The waypoint that an object or else its namespace names: `namespace/name`. */
export interface WaypointChoice {
  readonly key: string;
  readonly inherited: boolean;
}

/** Which waypoint is asked for, if any. */
export function chosenWaypoint(
  object: { readonly namespace: string; readonly labels: Labels },
  namespace: NamespaceRecord | undefined,
): WaypointChoice | undefined {
  if (GATEWAY_MANAGERS.includes(object.labels[MANAGED] ?? '')) return undefined;
  const own = keyIn(object.labels, object.namespace);
  if (own === OPTED_OUT) return undefined;
  if (own !== undefined) return { key: own, inherited: false };
  const inherited = namespace && keyIn(namespace.labels, object.namespace);
  if (inherited === undefined || inherited === OPTED_OUT) return undefined;
  return { key: inherited, inherited: true };
}

/** Whether the waypoint that was asked for takes this object. */
export function bindWaypoint(
  choice: WaypointChoice,
  waypoint: Waypoint | undefined,
  object: { readonly traffic: 'service' | 'workload'; readonly namespace: string },
  namespace: NamespaceRecord | undefined,
): WaypointBinding {
  if (waypoint === undefined) return { kind: 'refused', reason: 'WaypointIsNotReady' };
  if (!admits(waypoint, object.namespace, namespace))
    return { kind: 'refused', reason: 'AttachmentDenied' };
  if (waypoint.serves === 'all' || waypoint.serves === object.traffic)
    return { kind: 'bound', waypoint };
  // A namespace's waypoint for services says nothing about its pods.
  return choice.inherited && object.traffic === 'workload'
    ? { kind: 'none' }
    : { kind: 'refused', reason: 'UnsupportedTrafficType' };
}

/** Whether ingress gateways are to use the waypoint of a service; undefined: nothing is said. */
export function ingressLabel(
  labels: Labels,
  namespace: NamespaceRecord | undefined,
): boolean | undefined {
  const said = labels[INGRESS_USE_WAYPOINT] ?? namespace?.labels[INGRESS_USE_WAYPOINT];
  return said === undefined ? undefined : said === 'true';
}

/** What an object's author should know of the waypoint that was asked for. */
export interface BindingVerdict {
  readonly kind: 'Service' | 'ServiceEntry' | 'WorkloadEntry';
  readonly namespace: string;
  readonly name: string;
  readonly bound: boolean;
  readonly reason: 'WaypointAccepted' | BindingRefusal;
  readonly message: string;
}

/** Reason and message for what came of a choice; undefined when there is nothing to say. */
export function explainBinding(
  { key, inherited }: WaypointChoice,
  binding: WaypointBinding,
  facts: {
    readonly traffic: 'service' | 'workload';
    /** The gateway that the choice names is there, ready or not. */
    readonly exists: boolean;
    /** What the label for ingress gateways says; undefined: there is none. */
    readonly ingress: boolean | undefined;
  },
): Pick<BindingVerdict, 'bound' | 'reason' | 'message'> | undefined {
  if (binding.kind === 'none') return undefined;
  if (binding.kind === 'bound') {
    const message = `Successfully attached to waypoint ${key}${ingressSentence(facts.ingress)}`;
    return { bound: true, reason: 'WaypointAccepted', message };
  }
  const { reason } = binding;
  const by = inherited ? ' that its namespace names' : '';
  const message = refusalSentence(reason, `waypoint ${key}${by}`, facts);
  return { bound: false, reason, message };
}

export function waypointAddress(waypoint: Waypoint, network: string): GatewayAddress {
  const { address, namespace } = waypoint;
  const destination =
    address.kind === 'hostname'
      ? ({
          case: 'hostname',
          value: create(NamespacedHostnameSchema, { namespace, hostname: address.hostname }),
        } as const)
      : ({
          case: 'address',
          value: create(NetworkAddressSchema, { network, address: ipToBytes(address.ip) }),
        } as const);
  return create(GatewayAddressSchema, { destination, hboneMtlsPort: TUNNEL_PORT });
}

function refusalSentence(
  reason: BindingRefusal,
  waypoint: string,
  { traffic, exists }: { readonly traffic: string; readonly exists: boolean },
): string {
  switch (reason) {
    case 'WaypointIsNotReady':
      return exists
        ? `${waypoint} is not ready: it has no address yet, and is not used`
        : `${waypoint} is not ready: there is no Gateway of that name`;
    case 'AttachmentDenied':
      return `${waypoint} does not take objects of this namespace: see allowedRoutes of its listener`;
    case 'UnsupportedTrafficType':
      return `${waypoint} does not serve traffic to a ${traffic}: see its label ${WAYPOINT_FOR}`;
  }
}

function ingressSentence(ingress: boolean | undefined): string {
  if (ingress === undefined) return '';
  return ingress
    ? '. Traffic from ingress gateways goes through it, too'
    : '. Traffic from ingress gateways does not go through it';
}

function keyIn(labels: Labels, namespace: string): string | undefined {
  const name = labels[USE_WAYPOINT];
  if (name === undefined || name === '') return undefined;
  return name === OPTED_OUT ? OPTED_OUT : `${labels[USE_WAYPOINT_NAMESPACE] ?? namespace}/${name}`;
}

function meshListener(
  listeners: readonly GatewayListener[],
  inboundBinding: string | undefined,
): GatewayListener | undefined {
  const port = Number(inboundBinding?.split('/')[1] ?? TUNNEL_PORT);
  return listeners.find((listener) =>
    inboundBinding === undefined
      ? listener.protocol === 'HBONE' && listener.port === TUNNEL_PORT
      : listener.port === port || listener.protocol === 'istio.io/PROXY',
  );
}

function admits(
  { from, namespace: home }: { readonly from: AllowedFrom; readonly namespace: string },
  namespace: string,
  record: NamespaceRecord | undefined,
): boolean {
  switch (from.kind) {
    case 'all':
      return true;
    case 'same':
      return namespace === home;
    case 'none':
      return false;
    case 'selector':
      return record !== undefined && matchesLabels(from.matches, record.labels);
  }
}
