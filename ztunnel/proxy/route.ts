import { formatSocketAddress, type SocketAddress } from '#common/net/address.ts';
import type { Identity } from '#common/tls/spiffe.ts';
import { isGateway } from '#dataplane/state/gateway.ts';
import { drawByWeight } from '#dataplane/state/load-balance.ts';
import type { Service } from '#dataplane/state/service.ts';
import type { MeshView } from '#dataplane/state/view.ts';
import type { GatewayAddress, Workload } from '#dataplane/state/workload.ts';

import { HBONE_PORT, isOwnPort, SELF_CALL } from './ports.ts';
import {
  type Asker,
  expectedIdentities,
  selectByAddress,
  selectGateway,
  type Upstream,
} from './selection.ts';

/** Where a connection that a local workload opens goes. */
export type Route =
  | {
      readonly kind: 'hbone';
      /** The tunnel to use, and at its end what to ask for. */
      readonly connectTo: SocketAddress;
      readonly authority: string;
      /** The peer's certificate must carry one of these, or the tunnel is not used. */
      readonly expectedIdentities: readonly Identity[];
      /** Who is at the end of the tunnel: the workload, or the waypoint in front of it. */
      readonly workload: Workload;
      readonly service: Service | undefined;
    }
  | {
      /** Plain TCP: the destination is outside the mesh, or has no tunnel. */
      readonly kind: 'direct';
      readonly connectTo: SocketAddress;
      readonly workload: Workload | undefined;
      readonly service: Service | undefined;
    }
  | {
      readonly kind: 'refused';
      /** For the log. */
      readonly reason: string;
      readonly workload: Workload | undefined;
      readonly service: Service | undefined;
    };

export interface RouteOptions {
  /** The network that this node is on. */
  readonly network: string;
}

/**
 * Decides about one outbound connection of `source` to `target`. In order: the waypoint of the
 * service at that address; the service's endpoints, or the workload at that address; the waypoint of
 * that workload, unless a service was addressed or the source is the waypoint. What is bound to a
 * waypoint never goes around it: an unknown waypoint refuses. An address that nothing is known about
 * is left as it is. `random` gives numbers from 0 up to but without 1.
 *
 * Not handled, refused with a reason: workloads on another network, and workloads that have a
 * hostname instead of addresses.
 */
export function route(
  view: MeshView,
  source: Workload,
  target: SocketAddress,
  random: () => number,
  options: RouteOptions,
): Route {
  if (isOwnPort(target.port) && isOwnAddress(source, target)) return refused(SELF_CALL);
  const asker: Asker = { view, source, random };

  const addressee = view.addressee(options.network, target.ip, source.namespace);
  const addressed = addressee?.kind === 'service' ? addressee.service : undefined;
  const waypoint = addressed && waypointOf(addressed, random);
  if (waypoint !== undefined) return throughWaypoint(asker, waypoint, target, addressed);

  const selection = selectByAddress(asker, source.network, target, 'workload');
  switch (selection.kind) {
    case 'found':
      return toUpstream(asker, selection.upstream, target, addressed);
    case 'no-endpoint':
      return noHealthyUpstream(target, selection.service);
    case 'passthrough':
      return direct(target);
    case 'unknown':
      // The address names a service on this node's network, but nothing on the source's.
      if (addressed === undefined || addressed.loadBalancer?.mode === 'Passthrough') {
        return direct(target);
      }
      return noHealthyUpstream(target, addressed);
  }
}

function toUpstream(
  asker: Asker,
  upstream: Upstream,
  target: SocketAddress,
  addressed: Service | undefined,
): Route {
  const { workload, service } = upstream;
  if (workload.network !== asker.source.network) {
    return (addressed ?? service) === undefined
      ? refused(`no service for target address: ${formatSocketAddress(target)}`, upstream)
      : refused(otherNetwork(workload), upstream);
  }
  const { waypoint } = workload;
  const bypassesWaypoint =
    waypoint === undefined ||
    service !== undefined ||
    isGateway(asker.view, waypoint, asker.source);
  if (!bypassesWaypoint) return throughWaypoint(asker, waypoint, target, undefined);
  if (upstream.ip === undefined) return refused(noAddress(workload), upstream);
  const destination: SocketAddress = { ip: upstream.ip, port: upstream.port };
  if (workload.protocol === 'TCP') {
    return { kind: 'direct', connectTo: destination, workload, service };
  }
  return {
    kind: 'hbone',
    connectTo: { ip: upstream.ip, port: HBONE_PORT },
    authority: formatSocketAddress(destination),
    expectedIdentities: expectedIdentities(upstream),
    workload,
    service,
  };
}

/** The waypoint gets the address that the client asked for, not one that we picked: picking is its task. */
function throughWaypoint(
  asker: Asker,
  gateway: GatewayAddress,
  target: SocketAddress,
  service: Service | undefined,
): Route {
  const selection = selectGateway(asker, gateway, target);
  if (selection.kind !== 'found') {
    // Known, but without a pod that could take the connection, or not known at all.
    const problem =
      selection.kind === 'unknown' ? 'unknown waypoint' : 'no healthy endpoint of waypoint';
    const reason = `${problem}: ${describeGateway(gateway)}`;
    return { kind: 'refused', reason, workload: undefined, service };
  }
  const { upstream } = selection;
  const { workload } = upstream;
  if (workload.network !== asker.source.network) {
    return { kind: 'refused', reason: otherNetwork(workload), workload, service };
  }
  if (upstream.ip === undefined) {
    return { kind: 'refused', reason: noAddress(workload), workload, service };
  }
  return {
    kind: 'hbone',
    connectTo: { ip: upstream.ip, port: upstream.port },
    authority: formatSocketAddress(target),
    expectedIdentities: expectedIdentities(upstream),
    workload,
    service,
  };
}

/** The waypoint of this connection: one of the weighted ones, if their weights add up to anything. */
function waypointOf(service: Service, random: () => number): GatewayAddress | undefined {
  if (service.weightedWaypoints.length === 0) return service.waypoint;
  const drawn = drawByWeight(service.weightedWaypoints, ({ weight }) => weight, random);
  return drawn?.destination ?? service.waypoint;
}

function isOwnAddress(source: Workload, target: SocketAddress): boolean {
  const isLoopback = target.ip === '::1' || target.ip.startsWith('127.');
  return isLoopback || source.ips.includes(target.ip);
}

function direct(target: SocketAddress): Route {
  return { kind: 'direct', connectTo: target, workload: undefined, service: undefined };
}

function refused(reason: string, upstream?: Upstream): Route {
  const { workload, service } = upstream ?? { workload: undefined, service: undefined };
  return { kind: 'refused', reason, workload, service };
}

function noHealthyUpstream(target: SocketAddress, service: Service): Route {
  const reason = `no healthy upstream: ${formatSocketAddress(target)}`;
  return { kind: 'refused', reason, workload: undefined, service };
}

function noAddress(workload: Workload): string {
  const hint =
    workload.hostname === ''
      ? 'it has no address that the service permits'
      : `resolving its hostname "${workload.hostname}" is not supported`;
  return `no valid routing destination for workload: ${workload.name} (${hint})`;
}

function otherNetwork(workload: Workload): string {
  return `no valid routing destination for workload: ${workload.name} (it is on network "${workload.network}"; connections through a network gateway are not supported)`;
}

function describeGateway(gateway: GatewayAddress): string {
  const { destination, hboneMtlsPort } = gateway;
  return destination.kind === 'address'
    ? `${destination.network}/${formatSocketAddress({ ip: destination.ip, port: hboneMtlsPort })}`
    : `${destination.namespace}/${destination.hostname}:${hboneMtlsPort}`;
}
