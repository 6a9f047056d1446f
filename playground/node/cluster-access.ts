import type { ConfigMap, Pod, PodStatus, Secret, Service } from '#kube/resources.ts';

import type { ContainerList } from './pod-status.ts';

/** One object that is kept up to date as long as somebody holds it. */
export interface WatchedObject<T> {
  /** As last seen; undefined when there is none. */
  current(): T | undefined;
  /** Resolves when it has been looked for once. */
  readonly synced: Promise<void>;
  /** Calls `listener` when it comes, changes or goes; until it is released. */
  onChange(listener: () => void): void;
  release(): void;
}

export interface IssuedToken {
  readonly token: string;
  readonly expiresAtMs: number;
}

/** What happened to a pod, for people. */
export interface PodEvent {
  readonly pod: Pod;
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
  /** The container that it is about. */
  readonly container?: { readonly name: string; readonly list: ContainerList };
}

/** What the pods of a node need of the API server. Reports (status, events) are sent in the background and tried again. */
export interface ClusterAccess {
  configMap(namespace: string, name: string): WatchedObject<ConfigMap>;
  secret(namespace: string, name: string): WatchedObject<Secret>;
  services(): readonly Service[];
  /** A token of the pod's service account, bound to the pod. */
  token(pod: Pod, audience: string | undefined, expirationSeconds: number): Promise<IssuedToken>;
  reportStatus(pod: Pod, status: PodStatus): void;
  /** The pod has ended and nothing of it is left here: its object may go. */
  reportGone(pod: Pod): void;
  reportEvent(event: PodEvent): void;
}
