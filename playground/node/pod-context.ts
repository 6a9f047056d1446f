import type { Logger } from '#common/log/logger.ts';
import type { Pod } from '#kube/resources.ts';

import type { ClusterAccess } from './cluster-access.ts';
import type { CniRunner } from './cni-runner.ts';
import type { PodObjects } from './environment.ts';
import type { PodPlace } from './field-value.ts';
import type { ImageMap } from './images.ts';
import type { RootEntry } from './root-filesystem.ts';
import type { PodVolumes } from './volumes.ts';

/** What all pods of a node share. */
export interface NodeContext {
  readonly name: string;
  readonly address: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly userNamespace: boolean;
  /** Other ids than the own one can be had. */
  readonly hasOtherIds: boolean;
  readonly clusterDomain: string;
  readonly clusterDns: string;
  /** Of the machine's root directory. */
  readonly entries: readonly RootEntry[];
  /** Directory of the node's control groups; undefined where there are none to be had. */
  readonly cgroups: string | undefined;
  readonly images: ImageMap;
  readonly cni: CniRunner;
  readonly access: ClusterAccess;
  readonly log: Logger;
}

/** What the containers of one pod share. */
export interface PodContext {
  readonly node: NodeContext;
  /** The object as last seen: labels and annotations may change. */
  pod(): Pod;
  readonly objects: PodObjects;
  readonly volumes: PodVolumes;
  /** Directory for what belongs to the pod and is no volume. */
  readonly directory: string;
  /** Path of the network namespace; undefined for the node's. */
  netns(): string | undefined;
  place(): PodPlace;
  /** Some container's record is another one now. */
  changed(): void;
}

/** Where a container's log files are; its n-th run writes `n.log`. */
export function containerLogDirectory(pod: Pod, container: string): string {
  const { namespace = 'default', name, uid = '' } = pod.metadata;
  return `/var/log/pods/${namespace}_${name}_${uid}/${container}`;
}

/** Where a pod's volumes and files are on the node. */
export function podDirectory(pod: Pod): string {
  return `/var/lib/kubelet/pods/${pod.metadata.uid ?? ''}`;
}
