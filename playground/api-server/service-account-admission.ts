import { randomBytes } from 'node:crypto';

import type { JsonObject } from './body.ts';

/** What a service account says about the pods that use it. */
export interface ServiceAccountFields {
  readonly automountServiceAccountToken?: boolean;
  readonly imagePullSecrets?: readonly unknown[];
}

/** Where programs in pods look for their token, the cluster's root and their namespace. */
const MOUNT_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';
const VOLUME_PREFIX = 'kube-api-access-';
/** A little more than an hour: kubelets renew tokens at 80% of their life. */
const TOKEN_SECONDS = 3607;
const READABLE_BY_ALL = 0o644;
const MIRROR_ANNOTATION = 'kubernetes.io/config.mirror';
const UNREACHABLE_SECONDS = 300;
const SYSTEM_PRIORITIES: Readonly<Record<string, number>> = {
  'system-cluster-critical': 2_000_000_000,
  'system-node-critical': 2_000_001_000,
};

/** The account that a pod will run as. */
export function serviceAccountNameOf(pod: JsonObject): string {
  const spec = fieldsOf(pod['spec']);
  return nonEmpty(spec['serviceAccountName']) ?? nonEmpty(spec['serviceAccount']) ?? 'default';
}

/** Whether the kubelet shows a pod of its own: it has no account. */
export function isMirrorPod(pod: JsonObject): boolean {
  return fieldsOf(fieldsOf(pod['metadata'])['annotations'])[MIRROR_ANNOTATION] !== undefined;
}

/**
 * Why a pod must not be shown as a kubelet's own; undefined when it may. It runs already, from a file of the node: what it
 * named here it would get without anybody having been asked.
 */
export function mirrorPodProblem(pod: JsonObject): string | undefined {
  const spec = fieldsOf(pod['spec']);
  const account = nonEmpty(spec['serviceAccountName']) ?? nonEmpty(spec['serviceAccount']);
  if (account !== undefined) return 'a mirror pod may not reference service accounts';
  for (const volume of listOf(spec['volumes']).map(fieldsOf)) {
    const projected = listOf(fieldsOf(volume['projected'])['sources']).map(fieldsOf);
    if ([volume, ...projected].some(({ secret }) => secret !== undefined))
      return 'a mirror pod may not reference secrets';
    if (projected.some(({ serviceAccountToken }) => serviceAccountToken !== undefined))
      return 'a mirror pod may not use ServiceAccountToken volume projections';
  }
  const containers = [...listOf(spec['containers']), ...listOf(spec['initContainers'])];
  const sources = containers
    .map(fieldsOf)
    .flatMap(({ env, envFrom }) => [
      ...listOf(envFrom).map((from) => fieldsOf(from)['secretRef']),
      ...listOf(env).map((one) => fieldsOf(fieldsOf(one)['valueFrom'])['secretKeyRef']),
    ]);
  return sources.some((source) => source !== undefined)
    ? 'a mirror pod may not reference secrets'
    : undefined;
}

/** A new pod with what every new pod gets: its account and the volume with its token, tolerations, priority. */
export function completePod(pod: JsonObject, account: ServiceAccountFields): JsonObject {
  const name = serviceAccountNameOf(pod);
  const spec: JsonObject = {
    ...fieldsOf(pod['spec']),
    serviceAccountName: name,
    serviceAccount: name,
  };
  if (listOf(spec['imagePullSecrets']).length === 0 && account.imagePullSecrets !== undefined)
    spec['imagePullSecrets'] = account.imagePullSecrets;
  spec['tolerations'] = withTolerations(listOf(spec['tolerations']));
  const priority = SYSTEM_PRIORITIES[nonEmpty(spec['priorityClassName']) ?? ''];
  spec['priority'] ??= priority ?? 0;
  spec['preemptionPolicy'] ??= 'PreemptLowerPriority';
  const automount =
    spec['automountServiceAccountToken'] ?? account.automountServiceAccountToken ?? true;
  return { ...pod, spec: automount === false ? spec : withTokenVolume(spec) };
}

function withTokenVolume(spec: JsonObject): JsonObject {
  const volume = `${VOLUME_PREFIX}${randomBytes(4).toString('hex').slice(0, 5)}`;
  let mounted = false;
  const mount = (container: unknown): unknown => {
    const fields = fieldsOf(container);
    const mounts = listOf(fields['volumeMounts']);
    if (mounts.some((each) => fieldsOf(each)['mountPath'] === MOUNT_PATH)) return container;
    mounted = true;
    const added = { name: volume, readOnly: true, mountPath: MOUNT_PATH };
    return { ...fields, volumeMounts: [...mounts, added] };
  };
  const containers = listOf(spec['containers']).map(mount);
  const initContainers = listOf(spec['initContainers']).map(mount);
  if (!mounted) return spec;
  return {
    ...spec,
    containers,
    ...(initContainers.length > 0 ? { initContainers } : {}),
    volumes: [...listOf(spec['volumes']), { name: volume, projected: projectedToken() }],
  };
}

function projectedToken(): JsonObject {
  const namespace = {
    path: 'namespace',
    fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' },
  };
  return {
    defaultMode: READABLE_BY_ALL,
    sources: [
      { serviceAccountToken: { expirationSeconds: TOKEN_SECONDS, path: 'token' } },
      { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
      { downwardAPI: { items: [namespace] } },
    ],
  };
}

/** A pod outlasts a node that is out of reach for a moment. */
function withTolerations(tolerations: readonly unknown[]): readonly unknown[] {
  const added = ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'].filter(
    (taint) => !tolerations.some((toleration) => tolerates(fieldsOf(toleration), taint)),
  );
  return [
    ...tolerations,
    ...added.map((key) => ({
      key,
      operator: 'Exists',
      effect: 'NoExecute',
      tolerationSeconds: UNREACHABLE_SECONDS,
    })),
  ];
}

function tolerates(toleration: JsonObject, taint: string): boolean {
  const { key, effect } = toleration;
  return (!key || key === taint) && (!effect || effect === 'NoExecute');
}

function fieldsOf(value: unknown): JsonObject {
  return typeof value === 'object' && value !== null ? (value as JsonObject) : {};
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function nonEmpty(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
