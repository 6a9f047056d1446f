import type { Header } from '#codec/http2/field.ts';
import { formatSocketAddress, type SocketAddress } from '#common/net/address.ts';
import { isGateway, waypointsOf } from '#dataplane/state/gateway.ts';
import { type AppProtocol, type Service, serviceKey } from '#dataplane/state/service.ts';
import type { MeshView } from '#dataplane/state/view.ts';
import type { Workload } from '#dataplane/state/workload.ts';
import { parseAuthority } from '#hbone/authority.ts';

import type { UpstreamTarget } from '../upstream/endpoint.ts';

/** What a CONNECT turned out to ask for. */
export type Destination = AcceptedDestination | RefusedDestination;

interface AcceptedDestination {
  readonly kind: 'accepted';
  readonly target: UpstreamTarget;
  /** The address that was asked for; one of the service's when it was asked for by name. */
  readonly address: SocketAddress;
  /** Undefined: to be found out from what comes. */
  readonly protocol: AppProtocol | undefined;
}

interface RefusedDestination {
  readonly kind: 'refused';
  /** 400: the request is wrong. 404: it is for nothing that is bound to us. 503: it may be right, but can't be served now. */
  readonly status: 400 | 404 | 503;
  readonly reason: string;
}

export interface DestinationContext {
  readonly view: MeshView;
  /** The network that the waypoint is on. */
  readonly network: string;
  /** The waypoint itself; undefined while the control plane has not told about it. */
  readonly self: Workload | undefined;
}

/**
 * Decides what a CONNECT to this waypoint is for: a service or a workload that is bound to it, and nothing else.
 * Headers beside the authority say nothing that is trusted.
 */
export function destinationOf(
  headers: readonly Header[],
  { view, network, self }: DestinationContext,
): Destination {
  const valuesOf = (wanted: string): string[] =>
    headers.flatMap(([name, value]) => (name === wanted ? [value] : []));
  if (valuesOf(':method')[0] !== 'CONNECT' || valuesOf(':path').length > 0) {
    return refused(400, 'expected a CONNECT');
  }
  const text = valuesOf(':authority')[0] ?? '';
  const authority = parseAuthority(text);
  if (authority === undefined) return refused(400, `invalid CONNECT address ${shortened(text)}`);
  if (self === undefined) return refused(503, 'the control plane has not told about this waypoint');
  if (authority.kind === 'host') {
    const service = view.serviceByHostname(authority.host, self.namespace);
    if (service === undefined || !isBound(view, service, self)) {
      return refused(404, `no service ${authority.host} is bound to this waypoint`);
    }
    const vip = service.vips.find((one) => one.network === network) ?? service.vips[0];
    const ip = vip?.ip ?? self.ips[0];
    if (ip === undefined) return refused(503, `service ${authority.host} has no address`);
    return toService(service, { ip, port: authority.port });
  }
  const { address } = authority;
  const services = view.servicesWithVip(network, address.ip);
  const service = services.find((one) => isBound(view, one, self));
  if (service !== undefined) return toService(service, address);
  const workload = view.workloadByIp(network, address.ip);
  if (workload?.waypoint !== undefined && isGateway(view, workload.waypoint, self)) {
    const target: UpstreamTarget = { kind: 'workload', workload, address };
    return { kind: 'accepted', target, address, protocol: undefined };
  }
  return refused(404, `${formatSocketAddress(address)} is not bound to this waypoint`);
}

/**
 * What a connection is for, as the mesh has it now. Undefined: it is bound to this waypoint no more, and who asked must
 * ask again; the policies for it may be known to another waypoint only.
 */
export function currentTarget(
  target: UpstreamTarget,
  { view, self }: DestinationContext,
): UpstreamTarget | undefined {
  if (self === undefined) return undefined;
  if (target.kind === 'service') {
    const service = view.service(serviceKey(target.service));
    if (service === target.service) return target;
    if (service === undefined || !service.ports.has(target.port)) return undefined;
    return isBound(view, service, self) ? { ...target, service } : undefined;
  }
  const workload = view.workload(target.workload.uid);
  if (workload === target.workload) return target;
  if (workload?.waypoint === undefined || !workload.ips.includes(target.address.ip))
    return undefined;
  return isGateway(view, workload.waypoint, self) ? { ...target, workload } : undefined;
}

function toService(service: Service, address: SocketAddress): Destination {
  const { port } = address;
  if (!service.ports.has(port)) return refused(404, `${service.hostname} has no port ${port}`);
  const target: UpstreamTarget = { kind: 'service', service, port };
  return { kind: 'accepted', target, address, protocol: service.protocols.get(port) };
}

/** Whether what is for the service may come to this waypoint. */
export function isBound(view: MeshView, service: Service, self: Workload): boolean {
  return waypointsOf(service).some((waypoint) => isGateway(view, waypoint, self));
}

function refused(status: RefusedDestination['status'], reason: string): Destination {
  return { kind: 'refused', status, reason };
}

/** Of what a peer wrote, a log line keeps this many characters. */
const QUOTED_LENGTH_MAX = 300;

function shortened(text: string): string {
  return text.length <= QUOTED_LENGTH_MAX ? text : `${text.slice(0, QUOTED_LENGTH_MAX)}…`;
}
