import {
  LoadBalancing_HealthPolicy as HealthPolicy,
  IPFamilies,
  LoadBalancing_Mode as Mode,
  LoadBalancing_Scope as Scope,
  Service_Visibility as Visibility,
  type LoadBalancing as WireLoadBalancing,
  type NetworkAddress as WireNetworkAddress,
  type Port as WirePort,
  AppProtocol as WireProtocol,
  type Service as WireService,
} from '#api/gen/workload_pb.ts';
import { cidrFromBytes, isHostCidr } from '#common/net/cidr.ts';
import { parseIdentity } from '#common/tls/spiffe.ts';

import {
  type AppProtocol,
  type LoadBalancing,
  type LocalityScope,
  type NetworkCidr,
  type Service,
  serviceOf,
  type WeightedWaypoint,
} from './service.ts';
import {
  type WireProblems,
  wireEnum,
  wireGateway,
  wireIp,
  wireName,
  wirePorts,
} from './wire-values.ts';
import type { NetworkAddress } from './workload.ts';

const MODES: ReadonlyMap<number, LoadBalancing['mode']> = new Map([
  [Mode.UNSPECIFIED_MODE, 'Standard'],
  [Mode.STRICT, 'Strict'],
  [Mode.FAILOVER, 'Failover'],
  [Mode.PASSTHROUGH, 'Passthrough'],
]);
const SCOPES: ReadonlyMap<number, LocalityScope> = new Map([
  [Scope.REGION, 'Region'],
  [Scope.ZONE, 'Zone'],
  [Scope.SUBZONE, 'Subzone'],
  [Scope.NODE, 'Node'],
  [Scope.CLUSTER, 'Cluster'],
  [Scope.NETWORK, 'Network'],
]);
const HEALTH_POLICIES: ReadonlyMap<number, LoadBalancing['healthPolicy']> = new Map([
  [HealthPolicy.ONLY_HEALTHY, 'OnlyHealthy'],
  [HealthPolicy.ALLOW_ALL, 'AllowAll'],
]);
const PROTOCOLS: ReadonlyMap<number, AppProtocol> = new Map([
  [WireProtocol.HTTP11, 'HTTP/1.1'],
  [WireProtocol.HTTP2, 'HTTP/2'],
  [WireProtocol.GRPC, 'gRPC'],
  [WireProtocol.TCP, 'TCP'],
  [WireProtocol.TLS, 'TLS'],
]);
const FAMILIES: ReadonlyMap<number, Service['ipFamilies']> = new Map([
  [IPFamilies.AUTOMATIC, undefined],
  [IPFamilies.IPV4_ONLY, 'IPv4'],
  [IPFamilies.IPV6_ONLY, 'IPv6'],
  [IPFamilies.DUAL, 'Dual'],
]);

/** Reads a service as the control plane sends it. */
export function serviceFromWire(wire: WireService, problems: WireProblems): Service {
  const vips: NetworkAddress[] = [];
  const cidrVips: NetworkCidr[] = [];
  for (const address of wire.addresses) readVip(address, { vips, cidrVips }, problems);
  return serviceOf({
    name: wireName('name', wire.name, problems),
    namespace: wireName('namespace', wire.namespace, problems),
    hostname: wireName('hostname', wire.hostname, problems).toLowerCase(),
    vips,
    cidrVips,
    ports: wirePorts(wire.ports, problems),
    protocols: protocolsOf(wire.ports),
    // Other kinds of names are of use to other kinds of proxies.
    subjectAltNames: wire.subjectAltNames.flatMap((name) => parseIdentity(name) ?? []),
    waypoint: wireGateway('waypoint', wire.waypoint, problems),
    weightedWaypoints: wire.weightedWaypoints.flatMap(({ destination, weight }) => {
      const read = wireGateway('weighted waypoint', destination, problems);
      if (destination === undefined) problems.add('weighted waypoint has no destination');
      return read === undefined ? [] : [{ destination: read, weight } satisfies WeightedWaypoint];
    }),
    loadBalancer: loadBalancing(wire.loadBalancing, problems),
    ipFamilies: wireEnum('address families', wire.ipFamilies, FAMILIES, problems),
    canonical: wire.canonical,
    // A newer word for who may see it does not hide it from all.
    visibility: wire.visibility === Visibility.NAMESPACE ? 'Namespace' : 'Public',
  });
}

/** A protocol that is not known here is none: what is spoken is found out. */
function protocolsOf(ports: readonly WirePort[]): ReadonlyMap<number, AppProtocol> {
  return new Map(
    ports.flatMap(({ servicePort, appProtocol }) => {
      const protocol = PROTOCOLS.get(appProtocol);
      return protocol === undefined ? [] : [[servicePort, protocol] as const];
    }),
  );
}

/** An address, or with a length shorter than that a block. */
function readVip(
  { network, address, length }: WireNetworkAddress,
  to: { readonly vips: NetworkAddress[]; readonly cidrVips: NetworkCidr[] },
  problems: WireProblems,
): void {
  const [ip] = wireIp('an address', address, problems);
  if (ip === undefined) return;
  const cidr = cidrFromBytes(address, length ?? address.length * 8);
  if (cidr === undefined) problems.add(`length ${length} of ${ip}`);
  else if (isHostCidr(cidr)) to.vips.push({ network, ip });
  else to.cidrVips.push({ network, cidr });
}

function loadBalancing(
  wire: WireLoadBalancing | undefined,
  problems: WireProblems,
): LoadBalancing | undefined {
  if (wire === undefined) return undefined;
  return {
    mode: wireEnum('mode', wire.mode, MODES, problems) ?? 'Standard',
    routingPreferences: wire.routingPreference.flatMap(
      (scope) => wireEnum('routing preference', scope, SCOPES, problems) ?? [],
    ),
    healthPolicy:
      wireEnum('health policy', wire.healthPolicy, HEALTH_POLICIES, problems) ?? 'OnlyHealthy',
  };
}
