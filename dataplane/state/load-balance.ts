import { type IpAddress, isIpv4 } from '#common/net/address.ts';

import { acceptsFamily, type Endpoint, type LocalityScope, type Service } from './service.ts';
import type { Workload } from './workload.ts';

/** One choice to make. */
export interface Choice {
  readonly service: Service;
  readonly endpoints: Iterable<Endpoint>;
  /** The client; nearness is measured from it. */
  readonly source: Workload;
  readonly servicePort: number;
  /**
   * Workload: the service must have the port. Waypoint: a waypoint that takes everything on one port
   * is used for ports that its service doesn't list as well.
   */
  readonly lookingFor: 'workload' | 'waypoint';
}

export interface Chosen {
  readonly workload: Workload;
  /** The port to ask for at the workload. */
  readonly port: number;
}

/**
 * Draws an endpoint of {@link usableEndpoints} at random in proportion to capacity. Undefined when there is none.
 * `random` gives numbers from 0 up to but without 1.
 */
export function chooseEndpoint(choice: Choice, random: () => number): Chosen | undefined {
  return drawByWeight(usableEndpoints(choice), ({ workload }) => workload.capacity, random);
}

/** The endpoints that can serve the port and may be used, of these the nearest as the service's mode wants it. */
export function usableEndpoints(choice: Choice): readonly Chosen[] {
  const candidates: Chosen[] = [];
  for (const endpoint of choice.endpoints) {
    const port = usablePort(choice, endpoint);
    if (port !== undefined) candidates.push({ workload: endpoint.workload, port });
  }
  return nearest(choice, candidates);
}

/** Draws one item in proportion to its weight; undefined when the weights add up to nothing. */
export function drawByWeight<Item>(
  items: readonly Item[],
  weightOf: (item: Item) => number,
  random: () => number,
): Item | undefined {
  let total = 0;
  for (const item of items) total += weightOf(item);
  let left = random() * total;
  let last: Item | undefined;
  for (const item of items) {
    const weight = weightOf(item);
    if (weight <= 0) continue;
    if (left < weight) return item;
    left -= weight;
    last = item;
  }
  // Rounding may have made `left` as large as the total.
  return last;
}

/**
 * How near a workload is: the number of consecutive scopes, from the first, that it shares with the
 * source. A shared network in first place counts for all scopes, so that any endpoint on this
 * network beats every one on another; those others are still told apart by the scopes after it.
 */
export function nearness(
  scopes: readonly LocalityScope[],
  source: Workload,
  workload: Workload,
): number {
  const networkFirst = scopes[0] === 'Network';
  if (!networkFirst) return sharedScopes(scopes, source, workload);
  const others = sharedScopes(scopes.slice(1), source, workload);
  return others + (shares('Network', source, workload) ? scopes.length : 0);
}

/**
 * The address of a workload to connect to: the requested one if the workload owns it, else one that
 * the service permits, of the requested one's family if there is one. Undefined when none is left.
 */
export function chooseIp(
  workload: Workload,
  service: Service | undefined,
  requested: IpAddress | undefined,
): IpAddress | undefined {
  if (requested !== undefined && workload.ips.includes(requested)) return requested;
  const permitted =
    service === undefined ? workload.ips : workload.ips.filter((ip) => acceptsFamily(service, ip));
  const sameFamily =
    requested === undefined ? undefined : permitted.find((ip) => isIpv4(ip) === isIpv4(requested));
  return sameFamily ?? permitted[0];
}

/** The port that serves the request at this endpoint; undefined when the endpoint can't be used for it. */
function usablePort(choice: Choice, endpoint: Endpoint): number | undefined {
  const { service, servicePort, lookingFor } = choice;
  const { workload } = endpoint;
  const ignoresHealth = service.loadBalancer?.healthPolicy === 'AllowAll';
  if (workload.status !== 'Healthy' && !ignoresHealth) return undefined;
  if (!isReachable(workload, choice.source)) return undefined;
  if (lookingFor === 'workload' && !service.ports.has(servicePort)) return undefined;
  // 0 is a named port that this endpoint doesn't have, or that the service leaves to its endpoints.
  const mapped = endpoint.ports.get(servicePort) || service.ports.get(servicePort);
  if (mapped) return mapped;
  const takesAnyPort = lookingFor === 'waypoint' && workload.applicationTunnel?.port !== undefined;
  return takesAnyPort ? servicePort : undefined;
}

function isReachable(workload: Workload, source: Workload): boolean {
  if (workload.ips.length > 0 || workload.hostname !== '') return true;
  return workload.network !== source.network && workload.networkGateway !== undefined;
}

function nearest(choice: Choice, candidates: readonly Chosen[]): readonly Chosen[] {
  const { service, source } = choice;
  const scopes = service.loadBalancer?.routingPreferences ?? [];
  switch (service.loadBalancer?.mode) {
    case 'Strict':
      return candidates.filter(({ workload }) =>
        scopes.every((scope) => shares(scope, source, workload)),
      );
    case 'Failover': {
      const ranks = candidates.map(({ workload }) => nearness(scopes, source, workload));
      const highest = ranks.reduce((one, other) => Math.max(one, other), 0);
      return candidates.filter((_, index) => ranks[index] === highest);
    }
    case 'Standard':
    case 'Passthrough':
    case undefined:
      return candidates;
  }
}

function sharedScopes(
  scopes: readonly LocalityScope[],
  source: Workload,
  workload: Workload,
): number {
  const firstDifference = scopes.findIndex((scope) => !shares(scope, source, workload));
  return firstDifference === -1 ? scopes.length : firstDifference;
}

function shares(scope: LocalityScope, one: Workload, other: Workload): boolean {
  switch (scope) {
    case 'Region':
      return one.locality.region === other.locality.region;
    case 'Zone':
      return one.locality.zone === other.locality.zone;
    case 'Subzone':
      return one.locality.subzone === other.locality.subzone;
    case 'Node':
      return one.node === other.node;
    case 'Cluster':
      return one.clusterId === other.clusterId;
    case 'Network':
      return one.network === other.network;
  }
}
