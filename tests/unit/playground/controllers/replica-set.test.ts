import { expect } from 'chai';
import { describe, it } from 'mocha';

import {
  planReplicas,
  rankForRemoval,
  replicaSetStatus,
} from '#playground/controllers/replica-set.ts';
import { pod, replicaSet, START_MS } from '#tests/support/workloads.ts';

describe('planReplicas()', () => {
  it('makes what is missing; pods that are over or leaving do not count', () => {
    const pods = [pod('1'), pod('2', { leaving: true }), pod('3', { phase: 'Failed' })];
    expect(planReplicas(replicaSet('web', 3), pods)).to.deep.equal({
      create: 2,
      remove: [],
      more: false,
    });
  });

  it('removes what is too much', () => {
    const { create, remove } = planReplicas(replicaSet('web', 1), [pod('1'), pod('2')]);
    expect({ create, count: remove.length }).to.deep.equal({ create: 0, count: 1 });
  });

  it('does so many at a time', () => {
    expect(planReplicas(replicaSet('web', 1000), [])).to.deep.include({ create: 50, more: true });
  });
});

describe('rankForRemoval()', () => {
  it('gives up first what serves least, then doubles on a node, then the youngest', () => {
    const pods = [
      pod('oldest', { node: 'b', created: 0 }),
      pod('double', { node: 'a', created: 1 }),
      pod('young', { node: 'a', created: 2 }),
      pod('unready', { node: 'b', ready: false }),
      pod('pending', { node: 'c', phase: 'Pending', ready: false }),
      pod('unplaced', { phase: 'Pending', ready: false }),
      pod('alone', { node: 'c', created: 9 }),
    ];
    const names = rankForRemoval(pods).map(({ metadata }) => metadata.name);
    expect(names.slice(0, 3)).to.deep.equal(['unplaced', 'pending', 'unready']);
    expect(names.indexOf('young')).to.be.lessThan(names.indexOf('double'));
  });
});

describe('replicaSetStatus()', () => {
  it('counts pods, ready ones and those that have been ready for long enough', () => {
    const set = replicaSet('web', 3);
    const patient = { ...set, spec: { ...set.spec, minReadySeconds: 20 } };
    const pods = [pod('1'), pod('2', { readySince: 15 }), pod('3', { ready: false })];
    const { status, nextAtMs } = replicaSetStatus(patient, pods, undefined, START_MS + 30_000);
    expect(status).to.deep.equal({
      replicas: 3,
      fullyLabeledReplicas: 3,
      readyReplicas: 2,
      availableReplicas: 1,
      observedGeneration: 1,
    });
    expect(nextAtMs).to.equal(START_MS + 35_000);
  });

  it('says why pods cannot be made, until they can', () => {
    const set = replicaSet('web', 1);
    const failed = replicaSetStatus(set, [], 'no quota', START_MS).status;
    expect(failed.conditions?.[0]).to.include({
      type: 'ReplicaFailure',
      status: 'True',
      reason: 'FailedCreate',
      message: 'no quota',
    });
    const again = replicaSetStatus({ ...set, status: failed }, [], undefined, START_MS).status;
    expect(again).to.not.have.property('conditions');
  });
});
