import { invariant } from '#common/assert.ts';
import { type IpAddress, isIpv4, parseIp, type SocketAddress } from '#common/net/address.ts';
import { isGateway, waypointsOf } from '#dataplane/state/gateway.ts';
import { type Service, serviceKey } from '#dataplane/state/service.ts';
import type { LocalPod, MeshView } from '#dataplane/state/view.ts';
import type { GatewayAddress, Workload } from '#dataplane/state/workload.ts';
import { type Authority, parseAuthority } from '#hbone/authority.ts';
import {
  BAGGAGE_HEADER,
  FORWARDED_HEADER,
  parseForwarded,
  parseTraceparent,
  TRACEPARENT_HEADER,
} from '#hbone/headers.ts';

import { unknownLocalWorkload } from './local-workload.ts';
import { isOwnPort, SELF_CALL } from './ports.ts';
import { guessService } from './service-guess.ts';

/** What a tunnel request turned out to ask for. */
export type TunnelRequest = AcceptedRequest | RefusedRequest;

export interface AcceptedRequest {
  readonly kind: 'accepted';
  /** As it was written. */
  readonly authority: string;
  /** The local pod and the port of its application: what policies judge. */
  readonly target: SocketAddress;
  /** Where to connect: the target, or the loopback address of the pod's namespace. */
  readonly connectTo: SocketAddress;
  /** The application wants a PROXY protocol header that names this address as the destination. */
  readonly proxyTarget: SocketAddress | undefined;
  /** Whether the application is to see the client's address: not on the loopback address. */
  readonly keepSourceAddress: boolean;
  /** For logs and metrics. */
  readonly service: Service | undefined;
  /** The rest is what the peer says: for logs and metrics only. */
  readonly forwardedHost: string | undefined;
  /** One text for each `baggage` header. */
  readonly baggage: readonly string[];
  readonly traceparent: string | undefined;
  /** The request came through a gateway of another network: its client can't be found by address. */
  readonly crossedNetwork: boolean;
}

export interface RefusedRequest {
  readonly kind: 'refused';
  /** 400: the request is wrong. 503: it may be right, but can't be served. */
  readonly status: 400 | 503;
  /** For the log. */
  readonly reason: string;
}

/** Where a tunnel request arrived. */
export interface TunnelReceiver {
  /** The local address of the tunnel's connection: the pod's address, and port 15008. */
  readonly localAddress: SocketAddress;
  readonly pod: LocalPod;
  /** The pod as the mesh knows it; undefined when the control plane has not told about it. */
  readonly workload: Workload | undefined;
  readonly view: MeshView;
  /** The network that this node is on. */
  readonly network: string;
  /** Deliver to the loopback address when the application reads PROXY headers. */
  readonly localhostAppTunnel: boolean;
}

/** As the HTTP/2 codec gives them: names in lower case, pseudo-headers included, in order. */
export type HeaderList = readonly (readonly [name: string, value: string])[];

/**
 * Reads a CONNECT request and decides whether it is for this pod. A request that names another address
 * is taken only by a waypoint, for what is bound to it. Nothing in the headers is trusted beyond that:
 * the connection always goes to the local pod, and policies judge the address of the peer and its certificate.
 */
export function readTunnelRequest(headers: HeaderList, receiver: TunnelReceiver): TunnelRequest {
  const pseudo = readPseudoHeaders(headers);
  if (pseudo.kind === 'refused') return pseudo;
  const authority = parseAuthority(pseudo.authority);
  if (authority === undefined) {
    return refused(400, `invalid CONNECT address ${shortened(pseudo.authority)}`);
  }
  const { workload } = receiver;
  if (workload === undefined) return refused(503, unknownLocalWorkload(receiver.pod));
  const destination = findDestination(authority, receiver, workload);
  if (destination.kind === 'refused') return destination;

  const { localAddress, localhostAppTunnel, network } = receiver;
  const { applicationTunnel } = workload;
  const port = applicationTunnel?.port ?? destination.port;
  if (isOwnPort(destination.port) || isOwnPort(port)) return refused(503, SELF_CALL);
  const proxyTarget = proxyTargetOf(authority, destination.service, receiver, workload);
  if (proxyTarget?.kind === 'refused') return proxyTarget;
  const onLoopback = proxyTarget !== undefined && localhostAppTunnel;

  const forwardedHost = parseForwarded(valuesOf(headers, FORWARDED_HEADER))?.host;
  const [traceparent = '', ...otherTraceparents] = valuesOf(headers, TRACEPARENT_HEADER);
  return {
    kind: 'accepted',
    authority: pseudo.authority,
    target: { ip: localAddress.ip, port },
    connectTo: { ip: onLoopback ? loopbackLike(localAddress.ip) : localAddress.ip, port },
    proxyTarget: proxyTarget?.address,
    keepSourceAddress: !onLoopback,
    service: guessService(receiver.view, workload, {
      port,
      forwardedHost,
      requested: destination.service,
    }),
    forwardedHost,
    baggage: valuesOf(headers, BAGGAGE_HEADER),
    traceparent: otherTraceparents.length === 0 ? parseTraceparent(traceparent) : undefined,
    crossedNetwork: isFromOtherNetwork(headers, network),
  };
}

interface Destination {
  readonly kind: 'found';
  /** At the pod, before an application tunnel replaces it. */
  readonly port: number;
  /** The service that the request named; undefined when it named an address. */
  readonly service: Service | undefined;
}

function findDestination(
  authority: Authority,
  receiver: TunnelReceiver,
  workload: Workload,
): Destination | RefusedRequest {
  if (authority.kind === 'host') return findByHostname(authority, receiver.view, workload);
  const { ip, port } = authority.address;
  const { localAddress } = receiver;
  const isForUs =
    ip === localAddress.ip ||
    workload.applicationTunnel !== undefined ||
    isWaypointFor(ip, receiver, workload);
  if (!isForUs) return refused(400, `ip mismatch: ${localAddress.ip} != ${ip}`);
  return { kind: 'found', port, service: undefined };
}

function findByHostname(
  authority: Authority & { kind: 'host' },
  view: MeshView,
  workload: Workload,
): Destination | RefusedRequest {
  const { host, port } = authority;
  const service = view.serviceByHostname(host, workload.namespace);
  if (service === undefined) {
    if (workload.hostname === host) return { kind: 'found', port, service: undefined };
    return refused(503, `no service or workload for hostname: ${host}`);
  }
  const endpoint = view.endpoints(serviceKey(service)).get(workload.uid);
  // 0 stands for a named port, which only the endpoint can resolve.
  const resolved = endpoint?.ports.get(port) || service.ports.get(port);
  if (resolved) return { kind: 'found', port: resolved, service };
  return refused(503, `requested service ${host}:${port} found, but cannot resolve port`);
}

/** Whether what lives at an address is bound to this workload as its waypoint. A workload at the address hides services there. */
function isWaypointFor(ip: IpAddress, receiver: TunnelReceiver, workload: Workload): boolean {
  const { network, view } = receiver;
  const owner = view.workloadByIp(network, ip);
  const waypoints =
    owner === undefined
      ? view.servicesWithVip(network, ip).flatMap(waypointsOf)
      : presentOnly(owner.waypoint);
  return waypoints.some((waypoint) => isGateway(view, waypoint, workload));
}

/** What to name in the PROXY header: the address that was asked for, or an address of the service. */
function proxyTargetOf(
  authority: Authority,
  service: Service | undefined,
  receiver: TunnelReceiver,
  workload: Workload,
): { readonly kind: 'proxy'; readonly address: SocketAddress } | RefusedRequest | undefined {
  if (workload.applicationTunnel?.protocol !== 'PROXY') return undefined;
  if (authority.kind === 'address') return { kind: 'proxy', address: authority.address };
  const ip =
    service === undefined ? receiver.localAddress.ip : preferredVip(service, receiver.network);
  if (ip === undefined) {
    return refused(503, `requested service ${authority.host} found, but has no IP addresses`);
  }
  return { kind: 'proxy', address: { ip, port: authority.port } };
}

/** Of this network if there is one, and IPv4 before IPv6. */
function preferredVip(service: Service, network: string): IpAddress | undefined {
  const here = service.vips.filter((vip) => vip.network === network);
  const candidates = here.length > 0 ? here : service.vips;
  return (candidates.find(({ ip }) => isIpv4(ip)) ?? candidates[0])?.ip;
}

function readPseudoHeaders(
  headers: HeaderList,
): { readonly kind: 'connect'; readonly authority: string } | RefusedRequest {
  const [method, ...otherMethods] = valuesOf(headers, ':method');
  if (method !== 'CONNECT' || otherMethods.length > 0) {
    return refused(400, `expected method CONNECT, got ${shortened(method ?? 'none')}`);
  }
  // RFC 9113 section 8.5: a CONNECT has no :scheme and no :path. RFC 8441's :protocol is not offered.
  const extra = headers.find(([name]) => [':scheme', ':path', ':protocol'].includes(name));
  if (extra !== undefined)
    return refused(400, `expected a plain CONNECT, got one with ${extra[0]}`);
  const [authority, ...otherAuthorities] = valuesOf(headers, ':authority');
  if (authority === undefined || otherAuthorities.length > 0) {
    return refused(400, 'invalid CONNECT address: want exactly one :authority');
  }
  return { kind: 'connect', authority };
}

function isFromOtherNetwork(headers: HeaderList, network: string): boolean {
  const values = valuesOf(headers, 'x-forwarded-network');
  return values.some((value) => value.toLowerCase() !== network.toLowerCase());
}

function valuesOf(headers: HeaderList, wanted: string): readonly string[] {
  const values: string[] = [];
  for (const [name, value] of headers) if (name === wanted) values.push(value);
  return values;
}

function loopbackLike(ip: IpAddress): IpAddress {
  const loopback = parseIp(isIpv4(ip) ? '127.0.0.1' : '::1');
  invariant(loopback !== undefined, 'loopback addresses are addresses');
  return loopback;
}

function presentOnly(gateway: GatewayAddress | undefined): readonly GatewayAddress[] {
  return gateway === undefined ? [] : [gateway];
}

function refused(status: 400 | 503, reason: string): RefusedRequest {
  return { kind: 'refused', status, reason };
}

/** Of what a peer wrote, a log line keeps this many characters: more than any valid name and port has. */
const QUOTED_LENGTH_MAX = 300;

function shortened(text: string): string {
  return text.length <= QUOTED_LENGTH_MAX ? text : `${text.slice(0, QUOTED_LENGTH_MAX)}…`;
}
