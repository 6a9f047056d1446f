import { expect } from 'chai';
import { describe, it } from 'mocha';

import type { Deployment, ReplicaSet } from '#kube/resources.ts';
import { expiredSets, nextSizes, rolloutLimits } from '#playground/controllers/rollout.ts';
import { deployment, replicaSet } from '#tests/support/workloads.ts';

const rolling = (maxSurge: number | string, maxUnavailable: number | string) => ({
  strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge, maxUnavailable } },
});
const recreate = { strategy: { type: 'Recreate' } };

describe('rolloutLimits()', () => {
  const table: readonly (readonly [string, Partial<Deployment['spec']>, number, number])[] = [
    ['a quarter each way when nothing is said', { replicas: 4 }, 5, 3],
    ['rounded up above and down below', { replicas: 3 }, 4, 3],
    ['numbers as they are', { replicas: 4, ...rolling(2, 1) }, 6, 3],
    ['one less when nothing could ever move', { replicas: 4, ...rolling(0, 0) }, 4, 3],
    ['nothing at all when pods are recreated', { replicas: 4, ...recreate }, 4, 0],
  ];
  for (const [what, spec, most, least] of table) {
    it(`is ${what}`, () => {
      expect(rolloutLimits(deployment(spec))).to.include({ most, least });
    });
  }
});

function sizes(
  spec: Partial<Deployment['spec']>,
  current: ReplicaSet | undefined,
  ...old: ReplicaSet[]
): Record<string, number> {
  return Object.fromEntries(nextSizes(deployment(spec), { current, old }));
}

describe('nextSizes()', () => {
  it('makes room for new pods first, as far as the surge allows', () => {
    const next = sizes({}, replicaSet('new', 0), replicaSet('old', 4));
    expect(next).to.deep.equal({ new: 1 });
  });

  it('takes as many old ones away as new ones are available', () => {
    const next = sizes({}, replicaSet('new', 1), replicaSet('old', 4));
    expect(next).to.deep.equal({ old: 2 });
  });

  it('takes nothing away below the least number while new pods are not available', () => {
    expect(sizes({}, replicaSet('new', 2, 0), replicaSet('old', 3))).to.deep.equal({});
  });

  it('takes broken old pods away before those that serve', () => {
    const broken = replicaSet('broken', 1, 0);
    const next = sizes(rolling(1, 1), replicaSet('new', 1), broken, replicaSet('old', 3));
    expect(next).to.deep.equal({ broken: 0, old: 2 });
  });

  it('is done when only new pods are there', () => {
    expect(sizes({}, replicaSet('new', 4), replicaSet('old', 0))).to.deep.equal({});
  });

  it('waits until the last old pod is gone when pods are recreated', () => {
    expect(sizes(recreate, replicaSet('new', 0), replicaSet('old', 4))).to.deep.equal({ old: 0 });
    const going = { ...replicaSet('old', 0), status: { replicas: 1, observedGeneration: 1 } };
    expect(sizes(recreate, replicaSet('new', 0), going)).to.deep.equal({});
    expect(sizes(recreate, replicaSet('new', 0), replicaSet('old', 0))).to.deep.equal({ new: 4 });
  });

  it('moves nothing while it is paused, and still scales', () => {
    const paused = { paused: true };
    expect(sizes(paused, replicaSet('new', 1), replicaSet('old', 4))).to.deep.equal({});
    expect(sizes({ ...paused, replicas: 6 }, replicaSet('new', 4))).to.deep.equal({ new: 6 });
  });

  it('gives the only set all of a changed number', () => {
    expect(sizes({ replicas: 9 }, replicaSet('new', 4))).to.deep.equal({ new: 9 });
    expect(sizes({ replicas: 0 }, replicaSet('new', 4))).to.deep.equal({ new: 0 });
  });

  it('shares a changed number out in the middle of a rollout', () => {
    const spec = { replicas: 8, ...rolling(0, 1) };
    const next = sizes(spec, replicaSet('new', 1), replicaSet('old', 3));
    expect(next).to.deep.equal({ new: 2, old: 6 });
  });
});

function revision(set: ReplicaSet, number: number): ReplicaSet {
  const annotations = { 'deployment.kubernetes.io/revision': String(number) };
  return { ...set, metadata: { ...set.metadata, annotations } };
}

describe('expiredSets()', () => {
  it('names the oldest unused sets beyond the limit', () => {
    const old = [
      revision(replicaSet('third', 0), 3),
      revision(replicaSet('first', 0), 1),
      revision(replicaSet('used', 1), 2),
    ];
    const sets = { current: replicaSet('new', 4), old };
    const expired = expiredSets(deployment({ revisionHistoryLimit: 1 }), sets);
    expect(expired.map(({ metadata }) => metadata.name)).to.deep.equal(['first']);
  });
});
