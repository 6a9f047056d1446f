// Objects of a cluster, as short as a table of decisions needs them.

import type { DaemonSet, Deployment, Node, Pod, ReplicaSet } from '#kube/resources.ts';

export const labels: Readonly<Record<string, string>> = { app: 'web' };
const template = { metadata: { labels }, spec: { containers: [{ name: 'web', image: '1' }] } };
const selector = { matchLabels: labels };
/** When everything began. */
export const START_MS: number = Date.parse('2030-01-01T00:00:00Z');

/** A moment after the start, as the API writes it. */
export function at(seconds: number): string {
  return new Date(START_MS + seconds * 1000).toISOString().replace('.000Z', 'Z');
}

export function deployment(
  spec: Partial<Deployment['spec']> = {},
  more: Partial<Deployment> = {},
): Deployment {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'web', namespace: 'shop', uid: 'web-uid', generation: 1 },
    spec: { replicas: 4, selector, template, ...spec },
    ...more,
  };
}

/** A set of `size` pods, of which `available` are; it was last sized for `desired` in all. */
export function replicaSet(
  name: string,
  size: number,
  available: number = size,
  desired = 4,
): ReplicaSet {
  const annotations = { 'deployment.kubernetes.io/desired-replicas': String(desired) };
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: { name, namespace: 'shop', uid: `${name}-uid`, generation: 1, annotations },
    spec: { replicas: size, selector, template },
    status: {
      replicas: size,
      readyReplicas: available,
      availableReplicas: available,
      observedGeneration: 1,
    },
  };
}

export function daemonSet(spec: Partial<DaemonSet['spec']> = {}): DaemonSet {
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name: 'agent', namespace: 'shop', uid: 'agent-uid', generation: 1 },
    spec: { selector, template, ...spec },
  };
}

export function node(name: string, more: Partial<Node> = {}): Node {
  return { apiVersion: 'v1', kind: 'Node', metadata: { name }, ...more };
}

export interface PodFacts {
  readonly node?: string;
  readonly ready?: boolean;
  /** Seconds after the start. */
  readonly readySince?: number;
  readonly created?: number;
  readonly phase?: string;
  readonly leaving?: boolean;
  readonly labels?: Readonly<Record<string, string>>;
  readonly ip?: string;
  readonly owner?: string;
  readonly spec?: Partial<Pod['spec']>;
}

export function pod(name: string, facts: PodFacts = {}): Pod {
  const { ready = true, readySince = 0, created = 0, phase = 'Running', owner } = facts;
  const conditions = [
    { type: 'Ready', status: ready ? 'True' : 'False', lastTransitionTime: at(readySince) },
  ];
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'shop',
      uid: `${name}-uid`,
      creationTimestamp: at(created),
      labels: facts.labels ?? labels,
      ...(facts.leaving === true ? { deletionTimestamp: at(1) } : {}),
      ...(owner === undefined ? {} : { ownerReferences: [ownedBy(owner)] }),
    },
    spec: {
      ...template.spec,
      ...(facts.node === undefined ? {} : { nodeName: facts.node }),
      ...facts.spec,
    },
    status: {
      phase,
      conditions,
      ...(facts.ip === undefined ? {} : { podIP: facts.ip, podIPs: [{ ip: facts.ip }] }),
    },
  };
}

/** A reference to a controller by its uid. */
export function ownedBy(uid: string): NonNullable<Pod['metadata']['ownerReferences']>[number] {
  const what = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: uid, uid };
  return { ...what, controller: true, blockOwnerDeletion: true };
}
