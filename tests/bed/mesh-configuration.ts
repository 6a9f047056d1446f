import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { Pod, World } from './world.ts';

export interface MeshOptions {
  /** YAML list of policies, as a local configuration has it. Default: none. */
  readonly policies?: string;
  /** YAML list of services. Default: none. */
  readonly services?: string | ((world: World) => string);
  /** Pods whose own address is reached through another pod, by their names. Default: none. */
  readonly waypoints?: Readonly<Record<string, string>>;
  /** Keys (`namespace/name`) of the policies that select a pod, by the pod's name. Default: none. */
  readonly selected?: Readonly<Record<string, readonly string[]>>;
  /** Pods that are reached in plain text. Default: none, all have tunnels. */
  readonly outside?: readonly string[];
  /** Pods that the configuration does not have (yet). Default: none. */
  readonly unknown?: readonly string[];
}

export const TRUST_DOMAIN = 'cluster.local';
export const CLUSTER_ID = 'Kubernetes';

/** The SPIFFE identity of a pod of the bed. */
export function identityOf(pod: Pod): string {
  return `spiffe://${TRUST_DOMAIN}/ns/${pod.namespace}/sa/${pod.serviceAccount}`;
}

/**
 * Writes what a node tunnel should know of the world, as local configuration (`LOCAL_XDS_PATH`), and
 * returns its path. Writing it again changes it for tunnels that watch the file.
 */
export function writeMeshConfiguration(world: World, options: MeshOptions = {}): string {
  const known = world.pods.filter(({ name }) => options.unknown?.includes(name) !== true);
  const workloads = known.map((pod) => workloadOf(world, pod, options));
  const { policies = '[]', services = '[]' } = options;
  const ofWorld = typeof services === 'string' ? services : services(world);
  const path = join(world.directory, 'mesh.yaml');
  // JSON is YAML; policies come as text because their matches are YAML tags.
  const beside = `${path}.new`;
  writeFileSync(
    beside,
    `workloads: ${JSON.stringify(workloads)}\npolicies: ${policies}\nservices: ${ofWorld}\n`,
  );
  // Whoever follows it takes it up at once: it is whole.
  renameSync(beside, path);
  return path;
}

function workloadOf(world: World, pod: Pod, options: MeshOptions): object {
  const { outside = [], selected = {}, waypoints = {} } = options;
  const waypoint = waypoints[pod.name];
  return {
    uid: `${CLUSTER_ID}//v1/Pod/${pod.namespace}/${pod.name}`,
    name: pod.name,
    namespace: pod.namespace,
    serviceAccount: pod.serviceAccount,
    workloadName: pod.name,
    canonicalName: pod.name,
    canonicalRevision: 'latest',
    workloadIps: world.ipv6 ? [pod.ipv4, pod.ipv6] : [pod.ipv4],
    protocol: outside.includes(pod.name) ? 'TCP' : 'HBONE',
    node: pod.node.name,
    network: '',
    clusterId: CLUSTER_ID,
    trustDomain: TRUST_DOMAIN,
    services: {},
    authorizationPolicies: selected[pod.name] ?? [],
    ...(waypoint === undefined
      ? {}
      : { waypoint: { destination: `/${world.pod(waypoint).ipv4}`, hboneMtlsPort: 15_008 } }),
  };
}
