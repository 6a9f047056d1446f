import type { Clock } from '#common/clock.ts';
import type { Logger } from '#common/log/logger.ts';
import type { KubeClient } from '#kube/client.ts';
import { Informer } from '#kube/informer.ts';
import {
  CONFIG_MAPS,
  type ConfigMap,
  CRDS,
  type CustomResourceDefinition,
  DAEMON_SETS,
  type DaemonSet,
  DEPLOYMENTS,
  type Deployment,
  ENDPOINT_SLICES,
  ENDPOINTS,
  type EndpointSlice,
  type Endpoints,
  type KubeObject,
  LEASES,
  type Lease,
  NAMESPACES,
  type Namespace,
  NODES,
  type Node,
  PODS,
  type Pod,
  REPLICA_SETS,
  type ReplicaSet,
  type ResourceKind,
  SERVICE_ACCOUNTS,
  SERVICES,
  type Service,
  type ServiceAccount,
} from '#kube/resources.ts';

/** What the controllers watch, once for all of them. */
export interface Watched {
  readonly namespaces: Informer<Namespace>;
  readonly nodes: Informer<Node>;
  readonly pods: Informer<Pod>;
  readonly services: Informer<Service>;
  readonly endpoints: Informer<Endpoints>;
  readonly endpointSlices: Informer<EndpointSlice>;
  readonly serviceAccounts: Informer<ServiceAccount>;
  readonly configMaps: Informer<ConfigMap>;
  readonly deployments: Informer<Deployment>;
  readonly replicaSets: Informer<ReplicaSet>;
  readonly daemonSets: Informer<DaemonSet>;
  readonly leases: Informer<Lease>;
  readonly definitions: Informer<CustomResourceDefinition>;
}

/** Informers for everything, not yet started. */
export function watchAll(client: KubeClient, clock: Clock, log: Logger): Watched {
  const watch = <T extends KubeObject>(
    kind: ResourceKind<T>,
    transform: (object: T) => T = withoutManagedFields,
  ): Informer<T> => new Informer(client, kind, { clock, log, transform });
  return {
    namespaces: watch(NAMESPACES),
    nodes: watch(NODES),
    pods: watch(PODS),
    services: watch(SERVICES),
    endpoints: watch(ENDPOINTS),
    endpointSlices: watch(ENDPOINT_SLICES),
    serviceAccounts: watch(SERVICE_ACCOUNTS),
    configMaps: watch(CONFIG_MAPS),
    deployments: watch(DEPLOYMENTS),
    replicaSets: watch(REPLICA_SETS),
    daemonSets: watch(DAEMON_SETS),
    leases: watch(LEASES),
    definitions: watch(CRDS),
  };
}

/** Managed fields are about a third of an object, and nothing here reads them. */
function withoutManagedFields<T extends KubeObject>(object: T): T {
  if (object.metadata.managedFields === undefined) return object;
  const { managedFields: _, ...metadata } = object.metadata;
  return { ...object, metadata };
}

/** For those who only want to know what is there and whose it is. */
export function onlyMetadata<T extends KubeObject>(object: T): T {
  const { apiVersion, kind, metadata } = withoutManagedFields(object);
  return { apiVersion, kind, metadata } as T;
}
