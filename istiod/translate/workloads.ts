import { create } from '@bufbuild/protobuf';

import {
  ApplicationTunnelSchema,
  ApplicationTunnel_Protocol as AppTunnel,
  type GatewayAddress,
  type Locality,
  LocalitySchema,
  NetworkMode,
  type Port,
  PortListSchema,
  PortSchema,
  TunnelProtocol,
  type Workload,
  WorkloadSchema,
  WorkloadStatus,
  WorkloadType,
} from '#api/gen/workload_pb.ts';
import { ipToBytes } from '#common/net/address.ts';

import type { Labels } from '../krt/filter.ts';
import type { EndpointAddress, EndpointSliceRecord } from '../model/endpoint-slice.ts';
import { DEFAULT_TRUST_DOMAIN, type MeshSettings } from '../model/mesh.ts';
import type { Locality as LocalityRecord } from '../model/place.ts';
import { isFinished, type PodRecord } from '../model/pod.ts';
import { type ServicePort, type ServiceRecord, serviceKey } from '../model/service.ts';

/** What a workload's message holds besides its own record. */
export interface WorkloadSurroundings {
  readonly mesh: MeshSettings;
  readonly network: string;
  readonly locality: LocalityRecord | undefined;
  readonly services: readonly ServiceRecord[];
  /** Names of the policies that select it. */
  readonly policies: readonly string[];
  readonly waypoint: GatewayAddress | undefined;
  /** It is a waypoint's own pod, which wants to be reached so: `PROXY/15088`. */
  readonly inboundBinding: string | undefined;
}

/** Whether a pod is sent at all: it has an address that is still its own. */
export function isPublished(pod: PodRecord): boolean {
  return !isFinished(pod) && pod.addresses.length > 0;
}

/** The message that node tunnels get for a pod. */
export function podMessage(pod: PodRecord, around: WorkloadSurroundings): Workload {
  const { mesh } = around;
  const hbone = pod.redirected || pod.nativeTunnel;
  return create(WorkloadSchema, {
    uid: `${mesh.clusterId}//Pod/${pod.namespace}/${pod.name}`,
    name: pod.name,
    namespace: pod.namespace,
    addresses: pod.addresses.map(ipToBytes),
    network: around.network,
    tunnelProtocol: hbone ? TunnelProtocol.HBONE : TunnelProtocol.NONE,
    nativeTunnel: pod.nativeTunnel,
    trustDomain: trustDomainField(mesh),
    serviceAccount: pod.serviceAccount,
    node: pod.node,
    ...canonical(pod.labels, pod.workloadName),
    workloadType: WorkloadType.POD,
    workloadName: pod.workloadName,
    authorizationPolicies: [...around.policies],
    status: pod.ready ? WorkloadStatus.HEALTHY : WorkloadStatus.UNHEALTHY,
    clusterId: mesh.clusterId,
    networkMode: pod.hostNetwork ? NetworkMode.HOST_NETWORK : NetworkMode.STANDARD,
    services: portLists(around.services, (service, port) => podPort(pod, service, port)),
    ...localityField(around.locality),
    ...(around.waypoint === undefined ? {} : { waypoint: around.waypoint }),
    ...applicationTunnel(around.inboundBinding),
  });
}

/** The message for an endpoint of a service that is no pod. */
export function endpointMessage(
  slice: EndpointSliceRecord,
  endpoint: EndpointAddress,
  around: Pick<WorkloadSurroundings, 'mesh' | 'network' | 'services'>,
): Workload {
  const { mesh } = around;
  const numbers = new Map(slice.ports.map(({ name, number }) => [name, number]));
  return create(WorkloadSchema, {
    uid: `${mesh.clusterId}/discovery.k8s.io/EndpointSlice/${slice.namespace}/${slice.name}/${endpoint.ip}`,
    name: slice.name,
    namespace: slice.namespace,
    addresses: [ipToBytes(endpoint.ip)],
    network: around.network,
    tunnelProtocol: TunnelProtocol.NONE,
    trustDomain: trustDomainField(mesh),
    ...canonical({}, slice.name),
    workloadType: WorkloadType.POD,
    workloadName: slice.name,
    status: endpoint.ready ? WorkloadStatus.HEALTHY : WorkloadStatus.UNHEALTHY,
    clusterId: mesh.clusterId,
    // The node of such an address is not known: it must not be taken for a pod of the client's own node.
    networkMode: NetworkMode.HOST_NETWORK,
    services: portLists(around.services, (_service, port) => numbers.get(port.name)),
  });
}

/** The field's value: node tunnels fill in the default themselves. */
export function trustDomainField(mesh: MeshSettings): string {
  return mesh.trustDomain === DEFAULT_TRUST_DOMAIN ? '' : mesh.trustDomain;
}

export function canonical(
  labels: Labels,
  workloadName: string,
): { canonicalName: string; canonicalRevision: string } {
  return {
    canonicalName:
      firstOf(labels, ['service.istio.io/canonical-name', 'app.kubernetes.io/name', 'app']) ??
      workloadName,
    canonicalRevision:
      firstOf(labels, [
        'service.istio.io/canonical-revision',
        'app.kubernetes.io/version',
        'version',
      ]) ?? 'latest',
  };
}

/**
 * Service → the ports under which the workload serves it. A port without a target is left out. The keys
 * are in order, so that the bytes depend on the content only.
 */
export function portLists(
  services: readonly ServiceRecord[],
  targetOf: (service: ServiceRecord, port: ServicePort) => number | undefined,
): Workload['services'] {
  const lists = services.map((service) => {
    const ports = service.ports.flatMap((port): Port[] => {
      const targetPort = targetOf(service, port);
      if (targetPort === undefined) return [];
      const { number: servicePort, protocol } = port;
      return [create(PortSchema, { servicePort, targetPort, appProtocol: protocol })];
    });
    return [serviceKey(service), create(PortListSchema, { ports })] as const;
  });
  return Object.fromEntries(lists.toSorted(([one], [other]) => (one < other ? -1 : 1)));
}

export function localityField(locality: LocalityRecord | undefined): { locality?: Locality } {
  if (locality === undefined) return {};
  const { region, zone, subzone } = locality;
  if (region === '' && zone === '' && subzone === '') return {};
  return { locality: create(LocalitySchema, { region, zone, subzone }) };
}

function podPort(pod: PodRecord, service: ServiceRecord, port: ServicePort): number | undefined {
  if (service.kind === 'ServiceEntry') {
    const named = pod.namedPorts.get(port.name);
    if (named !== undefined) return named;
  }
  return typeof port.target === 'number' ? port.target : pod.namedPorts.get(port.target);
}

/** `PROXY/15088`, `PROXY`, `NONE`. */
function applicationTunnel(
  binding: string | undefined,
): Partial<Pick<Workload, 'applicationTunnel'>> {
  if (binding === undefined) return {};
  const [protocol, port = ''] = binding.split('/');
  if (protocol !== 'PROXY') return {};
  const number = /^[0-9]{1,5}$/.test(port) ? Number(port) : 0;
  return {
    applicationTunnel: create(ApplicationTunnelSchema, { protocol: AppTunnel.PROXY, port: number }),
  };
}

function firstOf(labels: Labels, names: readonly string[]): string | undefined {
  const name = names.find((one) => Object.hasOwn(labels, one) && labels[one] !== '');
  return name === undefined ? undefined : labels[name];
}
