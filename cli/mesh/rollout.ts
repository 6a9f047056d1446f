import type { Event, KubeObject, Pod, StringMap } from '#kube/resources.ts';

/** What runs pods of the mesh. */
export interface Workload {
  readonly name: string;
  readonly namespace: string;
  readonly labels: StringMap;
  /** Undefined: one on each node. */
  readonly replicas: number | undefined;
}

export interface Progress {
  readonly name: string;
  readonly ready: number;
  readonly wanted: number;
}

/** A container that has been started so often will not be ready soon. */
const STARTS_MAX = 3;
/** The last so many lines of a log, and so many events. */
const SHOWN_EVENTS = 5;

interface WorkloadSpec {
  readonly replicas?: number;
  readonly selector: { readonly matchLabels?: StringMap };
}

/** The Deployments and DaemonSets among `objects`. */
export function workloadsOf(objects: readonly KubeObject[]): readonly Workload[] {
  return objects
    .filter(({ kind }) => kind === 'Deployment' || kind === 'DaemonSet')
    .map(({ kind, metadata, ...object }) => {
      const { replicas = 1, selector } = object['spec'] as WorkloadSpec;
      return {
        name: metadata.name,
        namespace: metadata.namespace ?? 'default',
        labels: selector.matchLabels ?? {},
        replicas: kind === 'DaemonSet' ? undefined : replicas,
      };
    });
}

/** How far a workload is on a cluster of so many nodes. */
export function progressOf(workload: Workload, pods: readonly Pod[], nodes: number): Progress {
  const ready = podsOf(workload, pods).filter(isReady).length;
  return { name: workload.name, ready, wanted: workload.replicas ?? nodes };
}

/** Those of its pods that are not ready and not about to go. */
export function unreadyPods(workload: Workload, pods: readonly Pod[]): readonly Pod[] {
  return podsOf(workload, pods).filter((pod) => !isReady(pod));
}

/** Whether waiting for the pod makes no sense: its image cannot be had, or its program ends again and again. */
export function isHopeless(pod: Pod): boolean {
  return (pod.status?.containerStatuses ?? []).some(
    ({ state, restartCount }) =>
      /^(?:ErrImagePull|ImagePullBackOff|InvalidImageName)$/.test(state?.waiting?.reason ?? '') ||
      restartCount >= STARTS_MAX,
  );
}

/** Why a pod is not ready, for people: what its containers wait for, the latest warnings, its last words. */
export function explainPod(pod: Pod, events: readonly Event[], log: string): string {
  const { name, uid } = pod.metadata;
  const node = pod.spec.nodeName;
  const warnings = events
    .filter(({ type, involvedObject }) => type === 'Warning' && involvedObject.uid === uid)
    .toSorted((a, b) => timeOf(a).localeCompare(timeOf(b)))
    .slice(-SHOWN_EVENTS);
  return [
    `Pod ${name}${node === undefined ? ', which has no node' : ` on ${node}`}: ${standing(pod)}`,
    ...warnings.map(({ reason, message, count }) => {
      const times = count === undefined || count === 1 ? '' : ` (${count} times)`;
      return `  ${reason}: ${message}${times}`;
    }),
    ...(log.trim() === '' ? [] : ['  Its log ends with', ...indented(log)]),
  ].join('\n');
}

function podsOf({ namespace, labels }: Workload, pods: readonly Pod[]): readonly Pod[] {
  return pods.filter(
    ({ metadata }) =>
      metadata.namespace === namespace &&
      metadata.deletionTimestamp === undefined &&
      Object.entries(labels).every(([key, value]) => metadata.labels?.[key] === value),
  );
}

export function isReady({ status }: Pod): boolean {
  const conditions = status?.conditions ?? [];
  return conditions.some((each) => each.type === 'Ready' && each.status === 'True');
}

function standing({ status }: Pod): string {
  const containers = (status?.containerStatuses ?? []).filter(({ ready }) => !ready);
  if (containers.length === 0) return (status?.phase ?? 'Pending').toLowerCase();
  return containers
    .map(({ name, state, restartCount }) => {
      const again = restartCount === 0 ? '' : `, started again ${restartCount} times`;
      return `container ${name} ${stateText(state)}${again}`;
    })
    .join('; ');
}

function stateText(
  state: NonNullable<NonNullable<Pod['status']>['containerStatuses']>[number]['state'],
): string {
  if (state?.running !== undefined) return 'runs and is not ready';
  if (state?.terminated !== undefined) return `has ended with ${state.terminated.exitCode}`;
  const { reason = 'no reason given', message } = state?.waiting ?? {};
  return `waits (${reason}${message === undefined ? '' : `: ${message}`})`;
}

function timeOf({ lastTimestamp, eventTime, metadata }: Event): string {
  return lastTimestamp ?? eventTime ?? metadata.creationTimestamp ?? '';
}

function indented(text: string): readonly string[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => `    ${line}`);
}
