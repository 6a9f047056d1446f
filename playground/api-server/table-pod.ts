import { ageText, durationText } from './age.ts';
import { at, type Fields, listAt, NONE, numberAt, textAt } from './table-fields.ts';

/** What the containers of a pod add up to. */
interface PodSummary {
  readonly reason: string;
  readonly ready: number;
  readonly restarts: number;
  /** Milliseconds since the epoch; undefined when nothing has restarted. */
  readonly lastRestartMs: number | undefined;
}

/** Ready, Status, Restarts, Age, IP, Node, Nominated Node, Readiness Gates. */
export function podCells(object: Fields, nowMs: number): readonly unknown[] {
  const summary = summaryOf(object);
  return [
    `${summary.ready}/${containersOf(object)}`,
    statusOf(object, summary.reason),
    restartsText(summary, nowMs),
    ageText(at(object, 'metadata', 'creationTimestamp'), nowMs),
    podIp(object),
    textAt(object, 'spec', 'nodeName'),
    textAt(object, 'status', 'nominatedNodeName'),
    readinessGates(object),
  ];
}

function statusOf(object: Fields, reason: string): string {
  if (at(object, 'metadata', 'deletionTimestamp') === undefined) return reason;
  if (at(object, 'status', 'reason') === 'NodeLost') return 'Unknown';
  const phase = at(object, 'status', 'phase');
  return phase === 'Succeeded' || phase === 'Failed' ? reason : 'Terminating';
}

/** Containers, and the init containers that go on running beside them. */
function containersOf(object: Fields): number {
  const sidecars = listAt(object, 'spec', 'initContainers').filter(isSidecar);
  return listAt(object, 'spec', 'containers').length + sidecars.length;
}

function isSidecar(container: Fields): boolean {
  return container['restartPolicy'] === 'Always';
}

function summaryOf(object: Fields): PodSummary {
  const given = at(object, 'status', 'reason') ?? at(object, 'status', 'phase');
  const start = typeof given === 'string' && given !== '' ? given : 'Unknown';
  const gated = listAt(object, 'status', 'conditions').some(
    (condition) =>
      condition['type'] === 'PodScheduled' && condition['reason'] === 'SchedulingGated',
  );
  const initializing = initSummary(object, gated ? 'SchedulingGated' : start);
  if (initializing.pending && !hasCondition(object, 'Initialized')) return initializing;
  return mainSummary(object, initializing);
}

/** Walks the init containers until one that has not done its part. */
function initSummary(object: Fields, start: string): PodSummary & { readonly pending: boolean } {
  const statuses = listAt(object, 'status', 'initContainerStatuses');
  const containers = listAt(object, 'spec', 'initContainers');
  let ready = 0;
  const seen: Fields[] = [];
  for (const [index, status] of statuses.entries()) {
    seen.push(status);
    const sidecar = containers.some(
      (container) => container['name'] === status['name'] && isSidecar(container),
    );
    const terminated = at(status, 'state', 'terminated');
    if (terminated !== undefined && numberAt(terminated, 'exitCode') === 0) continue;
    if (sidecar && status['started'] === true) {
      if (status['ready'] === true) ready += 1;
      continue;
    }
    const reason = initReason(status, `${index}/${containers.length}`);
    return { reason: `Init:${reason}`, ready, ...restartsOf(seen), pending: true };
  }
  // What has finished for good no longer counts: only sidecars can still restart.
  const sidecars = statuses.filter((status) =>
    containers.some((container) => container['name'] === status['name'] && isSidecar(container)),
  );
  return { reason: start, ready, ...restartsOf(sidecars), pending: false };
}

function initReason(status: Fields, progress: string): string {
  const terminated = at(status, 'state', 'terminated');
  if (terminated !== undefined) return endReason(terminated);
  const waiting = at(status, 'state', 'waiting', 'reason');
  if (typeof waiting === 'string' && waiting !== '' && waiting !== 'PodInitializing')
    return waiting;
  return progress;
}

function mainSummary(object: Fields, before: PodSummary): PodSummary {
  const statuses = listAt(object, 'status', 'containerStatuses');
  let { reason, ready } = before;
  let running = false;
  // From the last to the first: the first container that has something to say is heard.
  for (const status of statuses.toReversed()) {
    const waiting = at(status, 'state', 'waiting', 'reason');
    const terminated = at(status, 'state', 'terminated');
    if (typeof waiting === 'string' && waiting !== '') reason = waiting;
    else if (terminated !== undefined) reason = endReason(terminated);
    else if (status['ready'] === true && at(status, 'state', 'running') !== undefined) {
      running = true;
      ready += 1;
    }
  }
  if (reason === 'Completed' && running)
    reason = hasCondition(object, 'Ready') ? 'Running' : 'NotReady';
  const own = restartsOf(statuses);
  const last = Math.max(before.lastRestartMs ?? 0, own.lastRestartMs ?? 0);
  return {
    reason,
    ready,
    restarts: before.restarts + own.restarts,
    lastRestartMs: last === 0 ? undefined : last,
  };
}

function endReason(terminated: unknown): string {
  const reason = at(terminated, 'reason');
  if (typeof reason === 'string' && reason !== '') return reason;
  const signal = numberAt(terminated, 'signal');
  return signal === 0 ? `ExitCode:${numberAt(terminated, 'exitCode')}` : `Signal:${signal}`;
}

function restartsOf(statuses: readonly Fields[]): Pick<PodSummary, 'restarts' | 'lastRestartMs'> {
  let restarts = 0;
  let lastRestartMs: number | undefined;
  for (const status of statuses) {
    restarts += numberAt(status, 'restartCount');
    const finished = at(status, 'lastState', 'terminated', 'finishedAt');
    const finishedMs = typeof finished === 'string' ? Date.parse(finished) : Number.NaN;
    if (!Number.isNaN(finishedMs)) lastRestartMs = Math.max(lastRestartMs ?? 0, finishedMs);
  }
  return { restarts, lastRestartMs };
}

function restartsText({ restarts, lastRestartMs }: PodSummary, nowMs: number): string {
  if (restarts === 0 || lastRestartMs === undefined) return String(restarts);
  return `${restarts} (${durationText(nowMs - lastRestartMs)} ago)`;
}

function podIp(object: Fields): string {
  const [first] = listAt(object, 'status', 'podIPs');
  return first === undefined ? textAt(object, 'status', 'podIP') : textAt(first, 'ip');
}

function readinessGates(object: Fields): string {
  const gates = listAt(object, 'spec', 'readinessGates');
  if (gates.length === 0) return NONE;
  const open = gates.filter((gate) => hasCondition(object, String(gate['conditionType'])));
  return `${open.length}/${gates.length}`;
}

function hasCondition(object: Fields, type: string): boolean {
  return listAt(object, 'status', 'conditions').some(
    (condition) => condition['type'] === type && condition['status'] === 'True',
  );
}
