import { parseQuantity } from '#kube/quantity.ts';
import type {
  Condition,
  Container,
  ContainerState,
  ContainerStatus,
  Pod,
  PodStatus,
} from '#kube/resources.ts';

/** Where a pod has a container. */
export type ContainerList = 'containers' | 'initContainers' | 'ephemeralContainers';

/** What the kubelet knows of one container. */
export interface ContainerRecord {
  readonly container: Container;
  /** Of the pod's `initContainers`. */
  readonly init: boolean;
  readonly state: ContainerState;
  /** How it ended the time before. */
  readonly lastState: ContainerState;
  readonly restartCount: number;
  readonly containerId: string | undefined;
  /** Its startup probe, if any, has succeeded. */
  readonly started: boolean;
  readonly ready: boolean;
}

/** What the kubelet knows of one pod. */
export interface PodRecord {
  readonly pod: Pod;
  readonly hostIp: string;
  /** Undefined as long as there is no sandbox. */
  readonly podIp: string | undefined;
  readonly startTime: string;
  readonly containers: readonly ContainerRecord[];
  /** Those that somebody has added to look around; the pod's state does not depend on them. */
  readonly ephemeral: readonly ContainerRecord[];
  /** The pod never ran, or was ended for this reason: `Evicted`, `InvalidSpec` … */
  readonly failure: { readonly reason: string; readonly message: string } | undefined;
}

/** The conditions that the kubelet decides. */
export const OWN_CONDITIONS: ReadonlySet<string> = new Set([
  'PodReadyToStartContainers',
  'Initialized',
  'Ready',
  'ContainersReady',
  'PodScheduled',
]);

/** The status to report. `now` is for conditions that have changed since `before`. */
export function podStatus(
  record: PodRecord,
  before: PodStatus | undefined,
  now: string,
): PodStatus {
  const { pod, hostIp, podIp } = record;
  const phase = podPhase(record);
  const statuses = (init: boolean): ContainerStatus[] =>
    record.containers.filter((each) => each.init === init).map((each) => containerStatus(each));
  const initContainerStatuses = statuses(true);
  return {
    phase,
    conditions: conditions(record, phase, before?.conditions ?? [], now),
    hostIP: hostIp,
    hostIPs: [{ ip: hostIp }],
    ...(podIp === undefined ? {} : { podIP: podIp, podIPs: [{ ip: podIp }] }),
    startTime: record.startTime,
    qosClass: qosClass(pod),
    ...(pod.metadata.generation === undefined
      ? {}
      : { observedGeneration: pod.metadata.generation }),
    ...(record.failure === undefined ? {} : record.failure),
    ...(initContainerStatuses.length === 0 ? {} : { initContainerStatuses }),
    containerStatuses: statuses(false),
    ...(record.ephemeral.length === 0
      ? {}
      : { ephemeralContainerStatuses: record.ephemeral.map((each) => containerStatus(each)) }),
  };
}

/** The kubelet's rules for a pod's phase. */
export function podPhase(record: PodRecord): 'Pending' | 'Running' | 'Succeeded' | 'Failed' {
  if (record.failure !== undefined) return 'Failed';
  const policy = record.pod.spec.restartPolicy ?? 'Always';
  for (const each of record.containers.filter(({ init }) => init)) {
    const { terminated } = each.state;
    if (isSidecar(each.container)) {
      if (!each.started && terminated === undefined) return 'Pending';
    } else if (terminated === undefined) return 'Pending';
    else if (terminated.exitCode !== 0) return policy === 'Never' ? 'Failed' : 'Pending';
  }
  const main = record.containers.filter(({ init }) => !init);
  if (main.some(({ state }) => state.running !== undefined)) {
    return main.some((each) => isNew(each)) ? 'Pending' : 'Running';
  }
  if (main.some((each) => isNew(each))) return 'Pending';
  if (policy === 'Always') return 'Running';
  const codes = main.map(
    ({ state, lastState }) => (state.terminated ?? lastState.terminated)?.exitCode ?? 0,
  );
  if (codes.every((code) => code === 0)) return 'Succeeded';
  return policy === 'Never' ? 'Failed' : 'Running';
}

/** `Guaranteed`: every container has the same limits and requests; `BestEffort`: none has any. */
export function qosClass(pod: Pod): string {
  const containers = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])];
  let any = false;
  let guaranteed = true;
  for (const { resources } of containers) {
    for (const name of ['cpu', 'memory']) {
      const limit = parseQuantity(resources?.limits?.[name] ?? '');
      const request = parseQuantity(resources?.requests?.[name] ?? '') ?? limit;
      if (limit !== undefined || request !== undefined) any = true;
      if (limit === undefined || request !== limit) guaranteed = false;
    }
  }
  if (!any) return 'BestEffort';
  return guaranteed ? 'Guaranteed' : 'Burstable';
}

/** An init container that stays. */
export function isSidecar(container: Container): boolean {
  return container.restartPolicy === 'Always';
}

/** Has never run: it waits, and there is nothing from before. */
function isNew({ state, lastState }: ContainerRecord): boolean {
  return state.waiting !== undefined && lastState.terminated === undefined;
}

function containerStatus(record: ContainerRecord): ContainerStatus {
  const { container, containerId } = record;
  const image = container.image ?? '';
  const isRunning = record.state.running !== undefined;
  return {
    name: container.name,
    state: record.state,
    lastState: record.lastState,
    // An init container is ready when it has done its work.
    ready: record.ready || (record.init && record.state.terminated?.exitCode === 0),
    restartCount: record.restartCount,
    image,
    // Nothing is pulled, so there is no digest to show.
    imageID: containerId === undefined ? '' : `ambit://${image}`,
    ...(containerId === undefined ? {} : { containerID: `ambit://${containerId}` }),
    started: isRunning && record.started,
  };
}

function conditions(
  record: PodRecord,
  phase: string,
  before: readonly Condition[],
  now: string,
): readonly Condition[] {
  const own = ownConditions(record, phase).map((condition) => {
    const old = before.find(({ type }) => type === condition.type);
    const unchanged = old?.status === condition.status && old.lastTransitionTime !== undefined;
    return {
      ...condition,
      lastProbeTime: null,
      lastTransitionTime: unchanged ? old.lastTransitionTime : now,
    };
  });
  // Those of the scheduler and of readiness gates stay as they are.
  const foreign = before.filter(({ type }) => !OWN_CONDITIONS.has(type));
  return [...own, ...foreign];
}

function ownConditions(record: PodRecord, phase: string): readonly Condition[] {
  const { pod } = record;
  const unready = record.containers
    .filter((each) => (!each.init || isSidecar(each.container)) && !each.ready)
    .map(({ container }) => container.name);
  const incomplete = record.containers
    .filter((each) => each.init && !isInitialized(each))
    .map(({ container }) => container.name);
  const containersReady = completed(phase) ?? unreadyCondition(unready);
  const gates = (pod.spec.readinessGates ?? [])
    .map(({ conditionType }) => conditionType)
    .filter(
      (type) => !pod.status?.conditions?.some((one) => one.type === type && one.status === 'True'),
    );
  const ready =
    containersReady.status === 'True' && gates.length > 0
      ? {
          status: 'False',
          reason: 'ReadinessGatesNotReady',
          message: `the status of pod readiness gate ${gates.map((gate) => JSON.stringify(gate)).join(', ')} is not "True", but False`,
        }
      : containersReady;
  const initialized =
    incomplete.length === 0
      ? { status: 'True' }
      : {
          status: 'False',
          reason: 'ContainersNotInitialized',
          message: `containers with incomplete status: [${incomplete.join(' ')}]`,
        };
  return [
    {
      type: 'PodReadyToStartContainers',
      status: record.podIp === undefined || completed(phase) !== undefined ? 'False' : 'True',
    },
    { type: 'Initialized', ...initialized },
    { type: 'Ready', ...ready },
    { type: 'ContainersReady', ...containersReady },
    { type: 'PodScheduled', status: 'True' },
  ];
}

type Standing = Pick<Condition, 'status' | 'reason' | 'message'>;

function completed(phase: string): Standing | undefined {
  if (phase === 'Succeeded') return { status: 'False', reason: 'PodCompleted' };
  return phase === 'Failed' ? { status: 'False', reason: 'PodFailed' } : undefined;
}

function unreadyCondition(unready: readonly string[]): Standing {
  if (unready.length === 0) return { status: 'True' };
  return {
    status: 'False',
    reason: 'ContainersNotReady',
    message: `containers with unready status: [${unready.join(' ')}]`,
  };
}

function isInitialized({ container, state, started }: ContainerRecord): boolean {
  return isSidecar(container) ? started : state.terminated?.exitCode === 0;
}
