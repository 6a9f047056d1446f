import { createHash } from 'node:crypto';

import type {
  Endpoint,
  EndpointAddress,
  EndpointPort,
  EndpointSlice,
  EndpointSubset,
  Endpoints,
  Node,
  Pod,
  Service,
  ServicePort,
} from '#kube/resources.ts';

import { ownerReference } from './ownership.ts';
import { isOver, isReady } from './pod-state.ts';
import { canonical } from './template-hash.ts';

export const SERVICE_NAME = 'kubernetes.io/service-name';
export const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by';
export const MANAGER = 'endpointslice-controller.k8s.io';
const HEADLESS = 'service.kubernetes.io/headless';

// As other controllers: larger slices cost every watcher more for each pod that changes.
const ENDPOINTS_PER_SLICE_MAX = 100;
// The older form holds everything in one object, which is cut off at what etcd would take.
const ADDRESSES_MAX = 1_000;

/** What a service's endpoints are to be. */
export interface ServiceEndpoints {
  readonly slices: readonly EndpointSlice[];
  readonly endpoints: Endpoints;
}

/** A pod, as the endpoint of one address family, with the ports that it has for the service. */
interface Backend {
  readonly family: 'IPv4' | 'IPv6';
  readonly ip: string;
  readonly endpoint: Endpoint;
  readonly ports: readonly EndpointPort[];
}

/** Derives a service's slices and the older form of them from the pods that it selects (pure). */
export function serviceEndpoints(
  service: Service,
  pods: readonly Pod[],
  nodeOf: (name: string) => Node | undefined,
): ServiceEndpoints {
  const backends = pods.flatMap((pod) => backendsOf(service, pod, nodeOf));
  return { slices: slicesOf(service, backends), endpoints: endpointsOf(service, backends) };
}

function backendsOf(
  service: Service,
  pod: Pod,
  nodeOf: (name: string) => Node | undefined,
): readonly Backend[] {
  if (isOver(pod)) return [];
  const addresses = pod.status?.podIPs?.map(({ ip }) => ip) ?? [pod.status?.podIP ?? ''];
  const families = service.spec.ipFamilies ?? ['IPv4'];
  const ports = (service.spec.ports ?? [])
    .map((port) => endpointPort(port, pod))
    .filter((port) => port !== undefined);
  const endpoint = endpointOf(service, pod, nodeOf);
  return addresses
    .filter((ip) => ip !== '')
    .map((ip): Backend => {
      const family = ip.includes(':') ? 'IPv6' : 'IPv4';
      return { family, ip, ports, endpoint: { ...endpoint, addresses: [ip] } };
    })
    .filter(({ family }) => families.includes(family));
}

function endpointOf(
  service: Service,
  pod: Pod,
  nodeOf: (name: string) => Node | undefined,
): Endpoint {
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  const serving = isReady(pod);
  const ready = service.spec.publishNotReadyAddresses === true || (serving && !terminating);
  const { nodeName, hostname, subdomain } = pod.spec;
  const labels = nodeName === undefined ? undefined : nodeOf(nodeName)?.metadata.labels;
  const zone = labels?.['topology.kubernetes.io/zone'];
  const hasHostname = hostname !== undefined && subdomain === service.metadata.name;
  return {
    addresses: [],
    conditions: { ready, serving, terminating },
    ...(hasHostname ? { hostname } : {}),
    ...(nodeName === undefined ? {} : { nodeName }),
    ...(zone === undefined ? {} : { zone }),
    targetRef: {
      kind: 'Pod',
      ...(pod.metadata.namespace === undefined ? {} : { namespace: pod.metadata.namespace }),
      name: pod.metadata.name,
      ...(pod.metadata.uid === undefined ? {} : { uid: pod.metadata.uid }),
    },
  };
}

/** The port as this pod has it; undefined when the pod has no port of that name. */
function endpointPort(port: ServicePort, pod: Pod): EndpointPort | undefined {
  const { protocol = 'TCP', appProtocol, targetPort = port.port } = port;
  const number = typeof targetPort === 'number' ? targetPort : namedPort(pod, targetPort, protocol);
  if (number === undefined) return undefined;
  return {
    name: port.name ?? '',
    protocol,
    port: number,
    ...(appProtocol === undefined ? {} : { appProtocol }),
  };
}

function namedPort(pod: Pod, name: string, protocol: string): number | undefined {
  const sidecars = (pod.spec.initContainers ?? []).filter(
    (each) => each.restartPolicy === 'Always',
  );
  for (const { ports = [] } of [...pod.spec.containers, ...sidecars]) {
    const found = ports.find((each) => each.name === name && (each.protocol ?? 'TCP') === protocol);
    if (found !== undefined) return found.containerPort;
  }
  return undefined;
}

/** One slice per address family and set of ports, cut to size. Their names follow from what they are for. */
function slicesOf(service: Service, backends: readonly Backend[]): readonly EndpointSlice[] {
  const families = (service.spec.ipFamilies ?? ['IPv4']).filter(
    (family) => family === 'IPv4' || family === 'IPv6',
  );
  const groups = new Map<string, Backend[]>();
  for (const backend of backends) {
    const key = `${backend.family} ${canonical(backend.ports)}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [backend]);
    else group.push(backend);
  }
  const slices = [...groups].flatMap(([key, group]) =>
    chunks(group.toSorted(byIp)).map((chunk, index) =>
      slice(service, `${key} ${index}`, chunk[0]?.family ?? 'IPv4', chunk),
    ),
  );
  // A service without pods has a slice all the same: readers see that it was looked at.
  const missing = families.filter((family) => !slices.some((each) => each.addressType === family));
  return [...slices, ...missing.map((family) => slice(service, family, family, []))];
}

function slice(
  service: Service,
  purpose: string,
  addressType: string,
  backends: readonly Backend[],
): EndpointSlice {
  const { name, namespace, labels } = service.metadata;
  const suffix = createHash('sha256').update(purpose).digest('hex').slice(0, 8);
  const headless = service.spec.clusterIP === 'None' ? { [HEADLESS]: '' } : {};
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${name}-${suffix}`,
      ...(namespace === undefined ? {} : { namespace }),
      labels: { ...labels, ...headless, [SERVICE_NAME]: name, [MANAGED_BY]: MANAGER },
      ownerReferences: [ownerReference(service)],
    },
    addressType,
    endpoints: backends.map(({ endpoint }) => endpoint),
    ports: backends[0]?.ports ?? [],
  };
}

function endpointsOf(service: Service, backends: readonly Backend[]): Endpoints {
  const { name, namespace, labels } = service.metadata;
  const [primary = 'IPv4'] = service.spec.ipFamilies ?? [];
  const headless = service.spec.clusterIP === 'None' ? { [HEADLESS]: '' } : {};
  const shown = backends
    .filter(({ family, endpoint }) => family === primary && isShown(service, endpoint))
    .toSorted(byIp)
    .slice(0, ADDRESSES_MAX);
  const groups = Map.groupBy(shown, ({ ports }) => canonical(ports));
  const subsets = Array.from(groups.values(), subset);
  return {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      labels: { ...labels, ...headless },
    },
    ...(subsets.length === 0 ? {} : { subsets }),
  };
}

/** The older form knows no pods that are on their way out. */
function isShown(service: Service, { conditions }: Endpoint): boolean {
  return conditions?.terminating !== true || service.spec.publishNotReadyAddresses === true;
}

function subset(backends: readonly Backend[]): EndpointSubset {
  const ready = backends.filter(({ endpoint }) => endpoint.conditions?.ready === true);
  const notReady = backends.filter(({ endpoint }) => endpoint.conditions?.ready !== true);
  return {
    ...(ready.length === 0 ? {} : { addresses: ready.map(address) }),
    ...(notReady.length === 0 ? {} : { notReadyAddresses: notReady.map(address) }),
    ports: (backends[0]?.ports ?? []).map(({ name, ...port }) =>
      name === undefined || name === '' ? port : { name, ...port },
    ),
  };
}

function address({ ip, endpoint }: Backend): EndpointAddress {
  const { hostname, nodeName, targetRef } = endpoint;
  return {
    ip,
    ...(hostname === undefined ? {} : { hostname }),
    ...(nodeName === undefined ? {} : { nodeName }),
    ...(targetRef === undefined ? {} : { targetRef }),
  };
}

function chunks<T>(items: readonly T[]): readonly (readonly T[])[] {
  const pieces: T[][] = [];
  for (let start = 0; start < items.length; start += ENDPOINTS_PER_SLICE_MAX) {
    pieces.push(items.slice(start, start + ENDPOINTS_PER_SLICE_MAX));
  }
  return pieces;
}

function byIp(first: Backend, second: Backend): number {
  return first.ip < second.ip ? -1 : first.ip > second.ip ? 1 : 0;
}
