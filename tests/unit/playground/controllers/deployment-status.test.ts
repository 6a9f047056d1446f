import { expect } from 'chai';
import { describe, it } from 'mocha';

import type { DeploymentStatus } from '#kube/resources.ts';
import {
  deploymentStatus,
  isComplete,
  progressDeadlineMs,
} from '#playground/controllers/deployment-status.ts';
import type { RolloutSets } from '#playground/controllers/rollout.ts';
import { deployment, replicaSet, START_MS } from '#tests/support/workloads.ts';

/** The status after another one, some seconds after the start. */
function after(
  status: DeploymentStatus | undefined,
  sets: RolloutSets,
  seconds: number,
  paused = false,
): DeploymentStatus {
  const given = deployment({ paused }, status === undefined ? {} : { status });
  return deploymentStatus(given, sets, START_MS + seconds * 1000);
}

function reasons({ conditions = [] }: DeploymentStatus): readonly string[] {
  return conditions.map(({ type, status, reason }) => `${type}=${status} ${reason}`);
}

const begun: RolloutSets = { current: replicaSet('new', 4, 0), old: [] };
const half: RolloutSets = { current: replicaSet('new', 4, 2), old: [] };
const done: RolloutSets = { current: replicaSet('new', 4), old: [] };

describe('deploymentStatus()', () => {
  it('counts the pods of all sets, and those of the present template', () => {
    const sets = { current: replicaSet('new', 2, 1), old: [replicaSet('old', 3)] };
    expect(after(undefined, sets, 0)).to.deep.include({
      observedGeneration: 1,
      replicas: 5,
      updatedReplicas: 2,
      readyReplicas: 4,
      availableReplicas: 4,
      unavailableReplicas: 1,
    });
  });

  it('tells a rollout from its beginning to its end', () => {
    const first = after(undefined, begun, 0);
    expect(reasons(first)).to.deep.equal([
      'Progressing=True NewReplicaSetCreated',
      'Available=False MinimumReplicasUnavailable',
    ]);
    const second = after(first, half, 1);
    expect(reasons(second)[0]).to.equal('Progressing=True ReplicaSetUpdated');
    const third = after(second, done, 2);
    expect(reasons(third)).to.deep.equal([
      'Progressing=True NewReplicaSetAvailable',
      'Available=True MinimumReplicasAvailable',
    ]);
    expect(isComplete(deployment(), third)).to.equal(true);
  });

  it('leaves out what there is none of', () => {
    const none = { current: replicaSet('new', 0), old: [] };
    expect(after(undefined, none, 0)).to.have.all.keys('observedGeneration', 'conditions');
    const status = deploymentStatus(deployment({ replicas: 0 }), none, START_MS);
    expect(isComplete(deployment({ replicas: 0 }), status)).to.equal(true);
  });

  it('says the same again without a change of its times', () => {
    const status = after(after(undefined, begun, 0), done, 1);
    expect(after(status, done, 500)).to.deep.equal(status);
  });

  it('has failed when nothing moves for as long as the deadline says', () => {
    const status = after(undefined, begun, 0);
    expect(progressDeadlineMs(deployment(), status)).to.equal(START_MS + 600_000);
    expect(reasons(after(status, begun, 599))[0]).to.equal('Progressing=True NewReplicaSetCreated');
    const failed = after(status, begun, 600);
    expect(reasons(failed)[0]).to.equal('Progressing=False ProgressDeadlineExceeded');
    expect(reasons(after(failed, half, 700))[0]).to.equal('Progressing=True ReplicaSetUpdated');
  });

  it('does not call pods that fail long after their rollout a failed rollout', () => {
    const status = after(after(undefined, begun, 0), done, 1);
    const later = after(status, half, 5_000);
    expect(reasons(later)).to.deep.equal([
      'Progressing=True NewReplicaSetAvailable',
      'Available=False MinimumReplicasUnavailable',
    ]);
  });

  it('says when it is paused and goes on', () => {
    const paused = after(after(undefined, begun, 0), begun, 1, true);
    expect(reasons(paused)[0]).to.equal('Progressing=Unknown DeploymentPaused');
    expect(progressDeadlineMs(deployment({ paused: true }), paused)).to.equal(undefined);
    expect(reasons(after(paused, begun, 2))[0]).to.equal('Progressing=Unknown DeploymentResumed');
  });
});
