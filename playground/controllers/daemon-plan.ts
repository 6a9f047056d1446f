import type {
  DaemonSet,
  DaemonSetStatus,
  Node,
  Pod,
  PodSpec,
  Toleration,
} from '#kube/resources.ts';

import { isSelected, nodeOfAffinity, untolerated } from './placement.ts';
import { availability, isOver, isReady } from './pod-state.ts';
import { countOf } from './rollout.ts';
import { templateHash } from './template-hash.ts';

export const HASH_LABEL = 'controller-revision-hash';

/** What to do for a DaemonSet, and what to say of it. */
export interface DaemonPlan {
  /** Nodes that get a pod. */
  readonly create: readonly string[];
  readonly remove: readonly Pod[];
  readonly status: DaemonSetStatus;
  /** When a pod will have been ready for long enough. */
  readonly nextAtMs: number | undefined;
}

/** One node, seen by one DaemonSet. */
interface Place {
  readonly node: string;
  readonly shouldRun: boolean;
  readonly mayStay: boolean;
  /** Of this set on this node, those that are going included. */
  readonly pods: readonly Pod[];
  readonly current: Pod | undefined;
  readonly old: Pod | undefined;
}

// A DaemonSet's pods run on nodes that others are kept away from (Kubernetes documentation, "DaemonSet").
const ALWAYS_TOLERATED: readonly Toleration[] = [
  { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute' },
  { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute' },
  { key: 'node.kubernetes.io/disk-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/memory-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/pid-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/unschedulable', operator: 'Exists', effect: 'NoSchedule' },
];
const NETWORK: Toleration = {
  key: 'node.kubernetes.io/network-unavailable',
  operator: 'Exists',
  effect: 'NoSchedule',
};

/** The tolerations of the set's pods: its own and those that every DaemonSet's pods have. */
export function daemonTolerations(spec: PodSpec): readonly Toleration[] {
  const added = spec.hostNetwork === true ? [...ALWAYS_TOLERATED, NETWORK] : ALWAYS_TOLERATED;
  const own = spec.tolerations ?? [];
  const missing = added.filter(
    ({ key, effect }) => !own.some((each) => each.key === key && each.effect === effect),
  );
  return [...own, ...missing];
}

/** Decides for all nodes at once (pure). `pods` are the set's own. */
export function planDaemons(
  set: DaemonSet,
  nodes: readonly Node[],
  pods: readonly Pod[],
  nowMs: number,
): DaemonPlan {
  const hash = templateHash(set.spec.template);
  const places = nodes.map((node) => placeOf(set, node, pods, hash));
  const names = new Set(nodes.map(({ metadata }) => metadata.name));
  // Their node is gone for good.
  const stray = pods.filter((pod) => !isLeaving(pod) && !names.has(nodeOf(pod)));
  const plan = { create: new Set<string>(), remove: new Set<Pod>(stray) };
  for (const place of places) keepOne(place, plan);
  if (set.spec.updateStrategy?.type !== 'OnDelete') update(set, places, plan, nowMs);
  const { status, nextAtMs } = statusOf(set, places, nowMs);
  return { create: [...plan.create], remove: [...plan.remove], status, nextAtMs };
}

interface Draft {
  readonly create: Set<string>;
  readonly remove: Set<Pod>;
}

function placeOf(set: DaemonSet, node: Node, pods: readonly Pod[], hash: string): Place {
  const { spec } = set.spec.template;
  const selected = isSelected(node, spec);
  const tolerations = daemonTolerations(spec);
  const mine = pods.filter((pod) => nodeOf(pod) === node.metadata.name);
  const living = mine.filter((pod) => !isLeaving(pod) && !isOver(pod)).toSorted(byAge);
  const isCurrent = (pod: Pod): boolean => pod.metadata.labels?.[HASH_LABEL] === hash;
  return {
    node: node.metadata.name,
    shouldRun:
      selected && untolerated(node, tolerations, ['NoSchedule', 'NoExecute']) === undefined,
    mayStay: selected && untolerated(node, tolerations, ['NoExecute']) === undefined,
    pods: mine,
    current: living.find(isCurrent),
    old: living.find((pod) => !isCurrent(pod)),
  };
}

/** One pod where there should be one, none where there should not; an update may have two for a while. */
function keepOne(place: Place, draft: Draft): void {
  const { pods, current, old } = place;
  if (pods.length === 0 && place.shouldRun) draft.create.add(place.node);
  for (const pod of pods) {
    if (isLeaving(pod)) continue;
    const isKept = place.mayStay && (pod === current || pod === old);
    if (!isKept) draft.remove.add(pod);
  }
}

function update(set: DaemonSet, places: readonly Place[], draft: Draft, nowMs: number): void {
  const wanted = places.filter(({ shouldRun }) => shouldRun);
  const { maxSurge = 0, maxUnavailable = 1 } = set.spec.updateStrategy?.rollingUpdate ?? {};
  const surge = countOf(maxSurge, wanted.length, Math.ceil);
  const isAvailable = (pod: Pod): boolean =>
    availability(pod, set.spec.minReadySeconds ?? 0, nowMs).available;
  if (surge > 0) {
    updateWithSurge(wanted, surge, draft, isAvailable);
  } else {
    const unavailable = countOf(maxUnavailable, wanted.length, Math.ceil);
    updateInPlace(wanted, Math.max(1, unavailable), draft, isAvailable);
  }
}

/** Takes old pods away, so many at a time; where they are gone, keepOne() makes new ones. */
function updateInPlace(
  places: readonly Place[],
  maxUnavailable: number,
  draft: Draft,
  isAvailable: (pod: Pod) => boolean,
): void {
  const candidates: Pod[] = [];
  let unavailable = 0;
  for (const { current, old } of places) {
    const only = current ?? old;
    const counts = only !== undefined && !(current !== undefined && old !== undefined);
    if (!counts || !isAvailable(only)) unavailable += 1;
    if (old === undefined) continue;
    // A broken or doubled old pod is in nobody's way.
    if (current !== undefined || !isAvailable(old)) draft.remove.add(old);
    else candidates.push(old);
  }
  for (const pod of candidates.slice(0, Math.max(0, maxUnavailable - unavailable))) {
    draft.remove.add(pod);
  }
}

/** Makes new pods beside the old ones, so many at a time; takes an old one away when its successor serves. */
function updateWithSurge(
  places: readonly Place[],
  maxSurge: number,
  draft: Draft,
  isAvailable: (pod: Pod) => boolean,
): void {
  const candidates: string[] = [];
  let surging = 0;
  for (const { node, current, old, pods } of places) {
    if (current === undefined && old !== undefined) {
      if (isAvailable(old)) candidates.push(node);
      else draft.create.add(node);
    } else if (current !== undefined && isAvailable(current)) {
      if (old !== undefined) draft.remove.add(old);
    } else if (current !== undefined && pods.length > 1) {
      surging += 1;
    }
  }
  for (const node of candidates.slice(0, Math.max(0, maxSurge - surging))) draft.create.add(node);
}

function statusOf(
  set: DaemonSet,
  places: readonly Place[],
  nowMs: number,
): { readonly status: DaemonSetStatus; readonly nextAtMs: number | undefined } {
  const counts = { desired: 0, scheduled: 0, misscheduled: 0, ready: 0, available: 0, updated: 0 };
  let nextAtMs: number | undefined;
  for (const { shouldRun, current, old } of places) {
    // The older one serves until the newer one does.
    const shown = old ?? current;
    if (!shouldRun) {
      if (shown !== undefined) counts.misscheduled += 1;
      continue;
    }
    counts.desired += 1;
    if (shown === undefined) continue;
    counts.scheduled += 1;
    const serving = [current, old].find((pod) => pod !== undefined && isReady(pod)) ?? shown;
    if (isReady(serving)) counts.ready += 1;
    const state = availability(serving, set.spec.minReadySeconds ?? 0, nowMs);
    if (state.available) counts.available += 1;
    else if (state.atMs !== undefined) nextAtMs = Math.min(nextAtMs ?? state.atMs, state.atMs);
    if (current !== undefined) counts.updated += 1;
  }
  const unavailable = counts.desired - counts.available;
  const status: DaemonSetStatus = {
    currentNumberScheduled: counts.scheduled,
    desiredNumberScheduled: counts.desired,
    numberMisscheduled: counts.misscheduled,
    numberReady: counts.ready,
    updatedNumberScheduled: counts.updated,
    observedGeneration: set.metadata.generation ?? 0,
    // Zeros are left out, as other servers do it.
    ...(counts.available === 0 ? {} : { numberAvailable: counts.available }),
    ...(unavailable === 0 ? {} : { numberUnavailable: unavailable }),
  };
  return { status, nextAtMs };
}

function nodeOf(pod: Pod): string {
  return pod.spec.nodeName ?? nodeOfAffinity(pod.spec) ?? '';
}

function isLeaving(pod: Pod): boolean {
  return pod.metadata.deletionTimestamp !== undefined;
}

function byAge(first: Pod, second: Pod): number {
  return createdMs(first) - createdMs(second);
}

function createdMs(pod: Pod): number {
  return Date.parse(pod.metadata.creationTimestamp ?? '1970-01-01T00:00:00Z');
}
