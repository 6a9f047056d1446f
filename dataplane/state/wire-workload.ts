import {
  ApplicationTunnel_Protocol as AppTunnel,
  NetworkMode,
  TunnelProtocol,
  type Workload as WireWorkload,
  WorkloadStatus,
  WorkloadType,
} from '#api/gen/workload_pb.ts';
import { formatIdentity } from '#common/tls/spiffe.ts';

import {
  type NamespacedHost,
  type PolicyKey,
  parseNamespacedHost,
  parsePolicyKey,
  type WorkloadUid,
} from './names.ts';
import {
  type WireProblems,
  wireEnum,
  wireGateway,
  wireIp,
  wireName,
  wireOptionalName,
  wirePort,
  wirePorts,
} from './wire-values.ts';
import { type ApplicationTunnel, type PortMap, type Workload, workloadOf } from './workload.ts';

// Workloads with sidecars take plain connections from us.
const PROTOCOLS: ReadonlyMap<number, Workload['protocol']> = new Map([
  [TunnelProtocol.NONE, 'TCP'],
  [TunnelProtocol.HBONE, 'HBONE'],
  [TunnelProtocol.LEGACY_ISTIO_MTLS, 'TCP'],
]);
const TYPES: ReadonlyMap<number, Workload['workloadType']> = new Map([
  [WorkloadType.DEPLOYMENT, 'deployment'],
  [WorkloadType.CRONJOB, 'cronjob'],
  [WorkloadType.POD, 'pod'],
  [WorkloadType.JOB, 'job'],
]);
const STATUSES: ReadonlyMap<number, Workload['status']> = new Map([
  [WorkloadStatus.HEALTHY, 'Healthy'],
  [WorkloadStatus.UNHEALTHY, 'Unhealthy'],
]);
const NETWORK_MODES: ReadonlyMap<number, Workload['networkMode']> = new Map([
  [NetworkMode.STANDARD, 'Standard'],
  [NetworkMode.HOST_NETWORK, 'HostNetwork'],
]);
const TUNNELS: ReadonlyMap<number, ApplicationTunnel['protocol']> = new Map([
  [AppTunnel.NONE, 'NONE'],
  [AppTunnel.PROXY, 'PROXY'],
]);

/** Reads a workload as the control plane sends it; what isn't given gets the defaults of {@link workloadOf}. */
export function workloadFromWire(wire: WireWorkload, problems: WireProblems): Workload {
  if (wire.uid === '') problems.add('uid is empty');
  const { network, node, canonicalName, canonicalRevision, workloadName, nativeTunnel } = wire;
  const { region = '', zone = '', subzone = '' } = wire.locality ?? {};
  const workload = workloadOf({
    uid: wire.uid as WorkloadUid,
    name: wireName('name', wire.name, problems),
    namespace: wireName('namespace', wire.namespace, problems),
    ips: wire.addresses.flatMap((bytes) => wireIp('an address', bytes, problems)),
    hostname: wireOptionalName('hostname', wire.hostname, problems).toLowerCase(),
    network,
    protocol: wireEnum('tunnel protocol', wire.tunnelProtocol, PROTOCOLS, problems) ?? 'TCP',
    trustDomain: wireOptionalName('trust domain', wire.trustDomain, problems),
    serviceAccount: wireOptionalName('service account', wire.serviceAccount, problems),
    waypoint: wireGateway('waypoint', wire.waypoint, problems),
    networkGateway: wireGateway('network gateway', wire.networkGateway, problems),
    node,
    clusterId: wire.clusterId,
    canonicalName,
    canonicalRevision,
    workloadName,
    workloadType: wireEnum('type', wire.workloadType, TYPES, problems) ?? 'pod',
    nativeTunnel,
    applicationTunnel: applicationTunnel(wire, problems),
    authorizationPolicies: wire.authorizationPolicies.map((key) => policyKeyOf(key, problems)),
    status: wireEnum('status', wire.status, STATUSES, problems) ?? 'Unhealthy',
    locality: { region, zone, subzone },
    networkMode: wireEnum('network mode', wire.networkMode, NETWORK_MODES, problems) ?? 'Standard',
    capacity: wire.capacity ?? 1,
    services: servicesOf(wire, problems),
  });
  if (formatIdentity(workload) === undefined) problems.add('its identity is too long');
  return workload;
}

function applicationTunnel(
  { applicationTunnel: wire }: WireWorkload,
  problems: WireProblems,
): ApplicationTunnel | undefined {
  if (wire === undefined) return undefined;
  const protocol = wireEnum('application tunnel', wire.protocol, TUNNELS, problems) ?? 'NONE';
  const port =
    wire.port === 0 ? undefined : wirePort('port of application tunnel', wire.port, problems);
  return { protocol, port };
}

/** A policy that can't be named can't be found: the workload would go without it. */
function policyKeyOf(text: string, problems: WireProblems): PolicyKey {
  const key = parsePolicyKey(text);
  if (key === undefined) problems.add(`policy ${JSON.stringify(text)}: want namespace/name`);
  return key ?? (text as PolicyKey);
}

function servicesOf(
  { services }: WireWorkload,
  problems: WireProblems,
): ReadonlyMap<NamespacedHost, PortMap> {
  const read = new Map<NamespacedHost, PortMap>();
  for (const [name, { ports }] of Object.entries(services)) {
    const key = parseNamespacedHost(name.toLowerCase());
    if (key === undefined) problems.add(`service ${JSON.stringify(name)}: want namespace/hostname`);
    else read.set(key, wirePorts(ports, problems));
  }
  return read;
}
