import { type IpAddress, type SocketAddress } from '#common/net/address.ts';
import type { Identity } from '#common/tls/spiffe.ts';
import { chooseEndpoint, chooseIp } from '#dataplane/state/load-balance.ts';
import { namespacedHost } from '#dataplane/state/names.ts';
import { type Service, serviceKey } from '#dataplane/state/service.ts';
import type { MeshView } from '#dataplane/state/view.ts';
import { type GatewayAddress, identityOf, type Workload } from '#dataplane/state/workload.ts';

/** Who asks, in which state of the mesh. */
export interface Asker {
  readonly view: MeshView;
  readonly source: Workload;
  readonly random: () => number;
}

/** A workload picked to take a connection. */
export interface Upstream {
  readonly workload: Workload;
  /** Undefined when the workload has only a hostname, or is reached through a gateway. */
  readonly ip: IpAddress | undefined;
  readonly port: number;
  /** The service that led to it; undefined when it was addressed itself. */
  readonly service: Service | undefined;
}

export type Selection =
  | { readonly kind: 'found'; readonly upstream: Upstream }
  /** The service wants connections to go where the client sent them. */
  | { readonly kind: 'passthrough'; readonly service: Service }
  /** The service is known, but none of its endpoints can take the connection. */
  | { readonly kind: 'no-endpoint'; readonly service: Service }
  | { readonly kind: 'unknown' };

/** Picks a workload for an address: a service's virtual address first, else the workload that owns it. */
export function selectByAddress(
  asker: Asker,
  network: string,
  target: SocketAddress,
  lookingFor: 'workload' | 'waypoint',
): Selection {
  const service = asker.view.serviceByVip(network, target.ip, asker.source.namespace);
  if (service !== undefined) {
    return selectByService(asker, service, { target, lookingFor, port: target.port });
  }
  const workload = asker.view.workloadByIp(network, target.ip);
  if (workload === undefined) return { kind: 'unknown' };
  const upstream = { workload, ip: target.ip, port: target.port, service: undefined };
  return { kind: 'found', upstream };
}

/** Picks a workload that serves as a waypoint or gateway. */
export function selectGateway(
  asker: Asker,
  gateway: GatewayAddress,
  target: SocketAddress,
): Selection {
  const { destination, hboneMtlsPort: port } = gateway;
  if (destination.kind === 'address') {
    const address = { ip: destination.ip, port };
    return selectByAddress(asker, destination.network, address, 'waypoint');
  }
  const key = namespacedHost(destination.namespace, destination.hostname);
  const service = asker.view.service(key);
  if (service !== undefined) {
    return selectByService(asker, service, { target, lookingFor: 'waypoint', port });
  }
  const workload = asker.view.workloadByHostname(key);
  if (workload === undefined) return { kind: 'unknown' };
  const ip = chooseIp(workload, undefined, target.ip);
  return { kind: 'found', upstream: { workload, ip, port, service: undefined } };
}

/** The names that the upstream's certificate may carry. */
export function expectedIdentities(upstream: Upstream): readonly Identity[] {
  const alternatives = upstream.service?.subjectAltNames ?? [];
  return [...new Set([...alternatives, identityOf(upstream.workload)])];
}

function selectByService(
  asker: Asker,
  service: Service,
  wanted: { target: SocketAddress; lookingFor: 'workload' | 'waypoint'; port: number },
): Selection {
  if (service.loadBalancer?.mode === 'Passthrough') return { kind: 'passthrough', service };
  const { source, view } = asker;
  const { lookingFor, port: servicePort } = wanted;
  const endpoints = view.endpoints(serviceKey(service)).values();
  const choice = { service, endpoints, source, servicePort, lookingFor };
  const chosen = chooseEndpoint(choice, asker.random);
  if (chosen === undefined) return { kind: 'no-endpoint', service };
  const ip = chooseIp(chosen.workload, service, wanted.target.ip);
  return { kind: 'found', upstream: { ...chosen, ip, service } };
}
