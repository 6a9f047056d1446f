import { defaultBindings, defaultRoles } from './default-roles.ts';
import { ApiError } from './errors.ts';
import type { Store, WriteOptions } from './store.ts';

/** How pods reach the API server. */
export interface ServerEndpoint {
  /** Cluster address of the service `kubernetes`. */
  readonly clusterAddress: string;
  /** Where this server listens for the nodes and their pods. */
  readonly address: string;
  readonly port: number;
}

const NAMESPACES = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];
const HTTPS_PORT = 443;

const asServer: WriteOptions = {
  user: 'system:apiserver',
  dryRun: false,
  fieldManager: 'kube-apiserver',
  fieldValidation: 'Ignore',
  warn: () => undefined,
};

/** Creates what every cluster has from the start; what is there already stays as it is. */
export function bootstrap(store: Store, endpoint: ServerEndpoint | undefined): void {
  for (const name of NAMESPACES)
    ensure(store, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  for (const object of [...defaultRoles(), ...defaultBindings()]) ensure(store, object);
  for (const [name, value] of SYSTEM_PRIORITIES)
    ensure(store, {
      apiVersion: 'scheduling.k8s.io/v1',
      kind: 'PriorityClass',
      metadata: { name },
      value,
    });
  if (endpoint === undefined) return;
  for (const object of kubernetesService(endpoint)) ensure(store, object);
}

const SYSTEM_PRIORITIES = [
  ['system-cluster-critical', 2_000_000_000],
  ['system-node-critical', 2_000_001_000],
] as const;

interface Bootstrapped {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly value?: number;
}

function ensure(store: Store, object: Bootstrapped): void {
  const kind = store.registry.findKind(object.apiVersion, object.kind);
  if (kind === undefined) return;
  try {
    store.create(kind, object.metadata.namespace, object, asServer);
  } catch (error) {
    if (!(error instanceof ApiError) || error.reason !== 'AlreadyExists') throw error;
  }
}

function kubernetesService(endpoint: ServerEndpoint): readonly Bootstrapped[] {
  const metadata = { name: 'kubernetes', namespace: 'default' };
  const labels = { component: 'apiserver', provider: 'kubernetes' };
  const { clusterAddress, address, port } = endpoint;
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { ...metadata, labels },
    spec: {
      type: 'ClusterIP',
      clusterIP: clusterAddress,
      clusterIPs: [clusterAddress],
      ports: [{ name: 'https', port: HTTPS_PORT, protocol: 'TCP', targetPort: port }],
    },
  };
  const ports = [{ name: 'https', port, protocol: 'TCP' }];
  const slice = {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { ...metadata, labels: { 'kubernetes.io/service-name': 'kubernetes' } },
    addressType: 'IPv4',
    endpoints: [{ addresses: [address], conditions: { ready: true } }],
    ports,
  };
  const endpoints = {
    apiVersion: 'v1',
    kind: 'Endpoints',
    metadata: { ...metadata, labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' } },
    subsets: [{ addresses: [{ ip: address }], ports }],
  };
  return [service, slice, endpoints];
}
