import type { KubeObject, ObjectMeta, Pod } from '#kube/resources.ts';

const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

/** Without what is large and read by nobody: who manages which field, and what was applied. */
export function trimmed<O extends KubeObject>(object: O): O {
  return { ...object, metadata: trimmedMetadata(object.metadata) };
}

/** A pod with what is read of it only: there are more of them than of all else. */
export function trimmedPod(pod: Pod): Pod {
  const { apiVersion, kind, metadata, spec, status = {} } = pod;
  const { nodeName, serviceAccountName, serviceAccount, hostNetwork } = spec;
  const containers = spec.containers.map(({ name, ports = [] }) => ({ name, ports }));
  const initContainers = (spec.initContainers ?? [])
    .filter(({ restartPolicy }) => restartPolicy === 'Always')
    .map(({ name, ports = [] }) => ({ name, ports, restartPolicy: 'Always' }));
  const { phase, podIP, podIPs, conditions = [] } = status;
  return {
    apiVersion,
    kind,
    metadata: trimmedMetadata(metadata),
    spec: {
      containers,
      initContainers,
      ...defined({ nodeName, serviceAccountName, serviceAccount, hostNetwork }),
    },
    status: {
      conditions: conditions
        .filter(({ type }) => type === 'Ready')
        .map(({ type, status: said }) => ({ type, status: said })),
      ...defined({ phase, podIP, podIPs }),
    },
  };
}

function trimmedMetadata(metadata: ObjectMeta): ObjectMeta {
  const { managedFields: _managedFields, annotations, ...rest } = metadata;
  if (annotations === undefined) return rest;
  const { [LAST_APPLIED]: _lastApplied, ...others } = annotations;
  return { ...rest, annotations: others };
}

/** Without the fields that are undefined. */
export function defined<T extends object>(
  fields: T,
): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}
