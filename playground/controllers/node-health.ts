import type { Condition, Lease, Node, Pod, Taint, Toleration } from '#kube/resources.ts';

import { findCondition } from './conditions.ts';
import { isTolerated } from './placement.ts';

/** What follows from how a node is, or when to look again: milliseconds since 1970. */
export interface NodeHealth {
  /** To be set; undefined when the node has spoken for itself. */
  readonly condition: Condition | undefined;
  /** All that the node is to have. */
  readonly taints: readonly Taint[];
  readonly nextAtMs: number | undefined;
}

/** A pod that may not stay, and from when on. */
export interface Eviction {
  readonly pod: Pod;
  readonly atMs: number;
}

const NOT_READY = 'node.kubernetes.io/not-ready';
const UNREACHABLE = 'node.kubernetes.io/unreachable';
const UNSCHEDULABLE = 'node.kubernetes.io/unschedulable';
const OURS = new Set([NOT_READY, UNREACHABLE, UNSCHEDULABLE]);

// A kubelet renews every 10 s: four in a row have failed.
const SILENCE_MS_MAX = 40_000;
// A node that has just been made has not said anything yet.
const START_MS_MAX = 60_000;
// What a pod that does not say it bears of a node that is not ready: the API's default.
const DEFAULT_TOLERATION_SECONDS = 300;

/** How a node is, by what it says of itself and when it last renewed its lease (pure). */
export function nodeHealth(node: Node, lease: Lease | undefined, nowMs: number): NodeHealth {
  const ready = findCondition(node.status?.conditions, 'Ready');
  const dueMs = silentFromMs(node, lease);
  const isSilent = nowMs >= dueMs;
  const condition = isSilent && ready?.status !== 'Unknown' ? silent(ready) : undefined;
  const status = condition?.status ?? ready?.status;
  return {
    condition,
    taints: taintsOf(node, status, nowMs),
    nextAtMs: isSilent ? undefined : dueMs,
  };
}

/** The pods that a node's taints drive away (pure); a pod's own tolerations say after how long. */
export function evictions(node: Node, pods: readonly Pod[]): readonly Eviction[] {
  const taints = (node.spec?.taints ?? []).filter(({ effect }) => effect === 'NoExecute');
  if (taints.length === 0) return [];
  return pods
    .filter(({ metadata, spec }) => {
      return spec.nodeName === node.metadata.name && metadata.deletionTimestamp === undefined;
    })
    .flatMap((pod) => {
      const times = taints.flatMap((taint) => leavesAtMs(taint, pod) ?? []);
      return times.length === 0 ? [] : [{ pod, atMs: Math.min(...times) }];
    });
}

function silentFromMs({ metadata }: Node, lease: Lease | undefined): number {
  const createdMs = Date.parse(metadata.creationTimestamp ?? '');
  const renewedMs = Date.parse(lease?.spec?.renewTime ?? '');
  const fromStart = (Number.isNaN(createdMs) ? 0 : createdMs) + START_MS_MAX;
  return Number.isNaN(renewedMs) ? fromStart : Math.max(fromStart, renewedMs + SILENCE_MS_MAX);
}

function silent(ready: Condition | undefined): Condition {
  return {
    ...ready,
    type: 'Ready',
    status: 'Unknown',
    reason: 'NodeStatusUnknown',
    message: 'Kubelet stopped posting node status.',
  };
}

function taintsOf(node: Node, ready: string | undefined, nowMs: number): readonly Taint[] {
  const known = node.spec?.taints ?? [];
  const wanted: Taint[] = [];
  if (node.spec?.unschedulable === true) wanted.push({ key: UNSCHEDULABLE, effect: 'NoSchedule' });
  // One that has never said how it is may be about to.
  const key = ready === 'False' ? NOT_READY : ready === 'Unknown' ? UNREACHABLE : undefined;
  if (key !== undefined) {
    const timeAdded = new Date(nowMs).toISOString().replace(/\.\d+Z$/, 'Z');
    for (const effect of ['NoSchedule', 'NoExecute']) wanted.push({ key, effect, timeAdded });
  }
  const others = known.filter((taint) => !OURS.has(taint.key));
  const same = (taint: Taint): Taint =>
    known.find(({ key: each, effect }) => each === taint.key && effect === taint.effect) ?? taint;
  return [...others, ...wanted.map(same)];
}

function leavesAtMs(taint: Taint, { spec }: Pod): number | undefined {
  const addedMs = Date.parse(taint.timeAdded ?? '') || 0;
  const tolerations = (spec.tolerations ?? []).filter((each) => isTolerated(taint, [each]));
  if (tolerations.length > 0) return shortest(tolerations, addedMs);
  const isUsual = taint.key === NOT_READY || taint.key === UNREACHABLE;
  return isUsual ? addedMs + DEFAULT_TOLERATION_SECONDS * 1000 : addedMs;
}

/** Undefined: for ever. */
function shortest(tolerations: readonly Toleration[], addedMs: number): number | undefined {
  const seconds = tolerations.flatMap(({ tolerationSeconds }) => tolerationSeconds ?? []);
  return seconds.length === 0 ? undefined : addedMs + Math.max(0, Math.min(...seconds)) * 1000;
}
