import type { Condition, Deployment, DeploymentStatus } from '#kube/resources.ts';

import { findCondition, withCondition } from './conditions.ts';
import { allSets, availableOf, type RolloutSets, rolloutLimits, sizeOf, sum } from './rollout.ts';

// The API's default of progressDeadlineSeconds.
const PROGRESS_DEADLINE_SECONDS = 600;

/** What a Deployment's status says of its sets (pure); `kubectl rollout status` reads nothing else. */
export function deploymentStatus(
  deployment: Deployment,
  sets: RolloutSets,
  nowMs: number,
): DeploymentStatus {
  const counts = countsOf(deployment, sets);
  return {
    ...withoutZeros(counts),
    ...(deployment.status?.collisionCount === undefined
      ? {}
      : { collisionCount: deployment.status.collisionCount }),
    conditions: withCondition(
      withProgress(deployment, sets, counts, nowMs),
      availableCondition(deployment, counts.availableReplicas ?? 0),
      nowMs,
      { updateTime: true },
    ),
  };
}

/** Whether the present template, and only it, runs as often as it should. */
export function isComplete(deployment: Deployment, status: DeploymentStatus): boolean {
  const wanted = deployment.spec.replicas ?? 1;
  return (
    (status.updatedReplicas ?? 0) === wanted &&
    (status.replicas ?? 0) === wanted &&
    (status.availableReplicas ?? 0) === wanted &&
    (status.observedGeneration ?? 0) >= (deployment.metadata.generation ?? 0)
  );
}

/** When a rollout that makes no progress will have failed; undefined when none is under way. */
export function progressDeadlineMs(
  deployment: Deployment,
  status: DeploymentStatus,
): number | undefined {
  const progressing = findCondition(status.conditions, 'Progressing');
  if (progressing?.lastUpdateTime === undefined || progressing.status === 'False') return undefined;
  if (isComplete(deployment, status) || deployment.spec.paused === true) return undefined;
  const seconds = deployment.spec.progressDeadlineSeconds ?? PROGRESS_DEADLINE_SECONDS;
  return Date.parse(progressing.lastUpdateTime) + seconds * 1000;
}

function countsOf(deployment: Deployment, sets: RolloutSets): DeploymentStatus {
  const all = allSets(sets);
  const availableReplicas = sum(all, availableOf);
  return {
    observedGeneration: deployment.metadata.generation ?? 0,
    replicas: sum(all, (set) => set.status?.replicas ?? 0),
    updatedReplicas: sets.current?.status?.replicas ?? 0,
    readyReplicas: sum(all, (set) => set.status?.readyReplicas ?? 0),
    availableReplicas,
    unavailableReplicas: Math.max(0, sum(all, sizeOf) - availableReplicas),
  };
}

/** Zeros are left out, as other servers do it. */
function withoutZeros(counts: DeploymentStatus): DeploymentStatus {
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count !== 0));
}

function availableCondition(deployment: Deployment, available: number): Condition {
  return available >= rolloutLimits(deployment).least
    ? {
        type: 'Available',
        status: 'True',
        reason: 'MinimumReplicasAvailable',
        message: 'Deployment has minimum availability.',
      }
    : {
        type: 'Available',
        status: 'False',
        reason: 'MinimumReplicasUnavailable',
        message: 'Deployment does not have minimum availability.',
      };
}

function withProgress(
  deployment: Deployment,
  sets: RolloutSets,
  counts: DeploymentStatus,
  nowMs: number,
): readonly Condition[] {
  const before = deployment.status?.conditions ?? [];
  const known = findCondition(before, 'Progressing');
  const name = sets.current?.metadata.name;
  if (name === undefined) return before;
  const set = (
    status: string,
    reason: string,
    message: string,
    touch = false,
  ): readonly Condition[] =>
    withCondition(before, { type: 'Progressing', status, reason, message }, nowMs, {
      updateTime: true,
      touch,
    });
  if (deployment.spec.paused === true) {
    return set('Unknown', 'DeploymentPaused', 'Deployment is paused');
  }
  if (known?.reason === 'DeploymentPaused') {
    return set('Unknown', 'DeploymentResumed', 'Deployment is resumed');
  }
  if (isComplete(deployment, counts)) {
    const message = `ReplicaSet "${name}" has successfully progressed.`;
    return set('True', 'NewReplicaSetAvailable', message);
  }
  const resumed = known?.reason === 'DeploymentResumed';
  if (!resumed && known?.message?.includes(`"${name}"`) !== true) {
    return set('True', 'NewReplicaSetCreated', `Created new replica set "${name}"`);
  }
  if (hasProgressed(deployment, counts)) {
    // Written anew each time, so that its update time says when something last moved.
    return set('True', 'ReplicaSetUpdated', `ReplicaSet "${name}" is progressing.`, true);
  }
  const deadlineMs = progressDeadlineMs(deployment, { ...counts, conditions: before });
  const settled = known?.reason === 'NewReplicaSetAvailable';
  if (deadlineMs === undefined || nowMs < deadlineMs || settled) return before;
  const message = `ReplicaSet "${name}" has timed out progressing.`;
  return set('False', 'ProgressDeadlineExceeded', message);
}

/** More new pods, fewer old ones, or more of them available than the status said last. */
function hasProgressed(deployment: Deployment, counts: DeploymentStatus): boolean {
  const before = deployment.status ?? {};
  const oldBefore = (before.replicas ?? 0) - (before.updatedReplicas ?? 0);
  const oldNow = (counts.replicas ?? 0) - (counts.updatedReplicas ?? 0);
  return (
    (counts.updatedReplicas ?? 0) > (before.updatedReplicas ?? 0) ||
    oldNow < oldBefore ||
    (counts.readyReplicas ?? 0) > (before.readyReplicas ?? 0) ||
    (counts.availableReplicas ?? 0) > (before.availableReplicas ?? 0)
  );
}
