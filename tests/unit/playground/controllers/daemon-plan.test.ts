import { expect } from 'chai';
import { describe, it } from 'mocha';

import type { DaemonSet, Node, Pod } from '#kube/resources.ts';
import {
  type DaemonPlan,
  daemonTolerations,
  HASH_LABEL,
  planDaemons,
} from '#playground/controllers/daemon-plan.ts';
import { templateHash } from '#playground/controllers/template-hash.ts';
import { daemonSet, node, type PodFacts, pod, START_MS } from '#tests/support/workloads.ts';

const nodes = [node('a'), node('b'), node('c')];
const hash = templateHash(daemonSet().spec.template);

function current(on: string, facts: PodFacts = {}): Pod {
  return pod(`new-${on}`, { ...facts, node: on, labels: { [HASH_LABEL]: hash } });
}

function old(on: string, facts: PodFacts = {}): Pod {
  return pod(`old-${on}`, { ...facts, node: on, labels: { [HASH_LABEL]: 'old' } });
}

function plan(pods: readonly Pod[], spec: Partial<DaemonSet['spec']> = {}, on = nodes): DaemonPlan {
  return planDaemons(daemonSet(spec), on, pods, START_MS + 10_000);
}

const removed = ({ remove }: DaemonPlan): readonly string[] =>
  remove.map(({ metadata }) => metadata.name);
const rolling = (maxUnavailable: number | string, maxSurge: number | string = 0) => ({
  updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable, maxSurge } },
});

function tainted(effect: string): Node[] {
  return [node('a', { spec: { taints: [{ key: 'x', effect }] } })];
}

describe('planDaemons()', () => {
  it('makes one pod for every node', () => {
    expect(plan([current('b')]).create).to.deep.equal(['a', 'c']);
  });

  it('makes none where the template or a taint keeps it away', () => {
    const taints = [{ key: 'dedicated', value: 'db', effect: 'NoSchedule' }];
    const some = [
      node('a', { metadata: { name: 'a', labels: { disk: 'fast' } } }),
      node('b'),
      node('c', { metadata: { name: 'c', labels: { disk: 'fast' } }, spec: { taints } }),
    ];
    const { template } = daemonSet().spec;
    const picky = { ...template, spec: { ...template.spec, nodeSelector: { disk: 'fast' } } };
    expect(plan([], { template: picky }, some).create).to.deep.equal(['a']);
    const brave = {
      ...picky,
      spec: { ...picky.spec, tolerations: [{ operator: 'Exists' }] },
    };
    expect(plan([], { template: brave }, some).create).to.deep.equal(['a', 'c']);
  });

  it('leaves a pod where it is when a taint only keeps new ones away', () => {
    expect(removed(plan([current('a')], {}, tainted('NoSchedule')))).to.deep.equal([]);
    expect(removed(plan([current('a')], {}, tainted('NoExecute')))).to.deep.equal(['new-a']);
  });

  it('removes pods of nodes that are gone, and all but one of those on one node', () => {
    const twin = pod('twin', { node: 'a', created: 5, labels: { [HASH_LABEL]: hash } });
    const pods = [current('a'), twin, current('gone')];
    expect(removed(plan(pods))).to.have.members(['twin', 'new-gone']);
  });

  it('replaces a pod that is over', () => {
    expect(removed(plan([current('a', { phase: 'Failed' })]))).to.deep.equal(['new-a']);
  });

  it('updates as many at a time as may be unavailable', () => {
    const pods = [old('a'), old('b'), old('c')];
    expect(removed(plan(pods))).to.have.length(1);
    expect(removed(plan(pods, rolling(2)))).to.have.length(2);
    expect(removed(plan(pods, rolling('100%')))).to.have.length(3);
    expect(removed(plan([current('a', { ready: false }), old('b'), old('c')]))).to.deep.equal([]);
    expect(removed(plan([old('a', { leaving: true }), old('b'), old('c')]))).to.deep.equal([]);
  });

  it('removes old pods that serve nobody at once', () => {
    const pods = [old('a', { ready: false }), old('b', { ready: false }), old('c')];
    expect(removed(plan(pods))).to.have.members(['old-a', 'old-b']);
  });

  it('makes the new pod beside the old one when it may surge', () => {
    const surging = rolling(0, 1);
    const first = plan([old('a'), old('b')], surging);
    expect(first.create).to.have.length(2).and.include('c');
    expect(removed(first)).to.deep.equal([]);
    const starting = plan(
      [old('a'), current('a', { ready: false }), old('b'), current('c')],
      surging,
    );
    expect(starting.create).to.deep.equal([]);
    expect(removed(starting)).to.deep.equal([]);
    const ready = plan([old('a'), current('a'), old('b'), current('c')], surging);
    expect(removed(ready)).to.deep.equal(['old-a']);
    expect(ready.create).to.deep.equal(['b']);
  });

  it('updates nothing by itself when that is left to those who delete', () => {
    const manual = { updateStrategy: { type: 'OnDelete' } };
    expect(removed(plan([old('a'), old('b'), old('c')], manual))).to.deep.equal([]);
  });

  it('counts in the status what is wanted, there and served', () => {
    const pods = [current('a'), old('b', { ready: false })];
    expect(plan(pods).status).to.deep.equal({
      currentNumberScheduled: 2,
      desiredNumberScheduled: 3,
      numberMisscheduled: 0,
      numberReady: 1,
      updatedNumberScheduled: 1,
      observedGeneration: 1,
      numberAvailable: 1,
      numberUnavailable: 2,
    });
  });

  it('calls a pod available when it has been ready for long enough, and says when', () => {
    const { status, nextAtMs } = plan([current('a', { readySince: 5 })], { minReadySeconds: 30 });
    expect(status).to.not.have.property('numberAvailable');
    expect(nextAtMs).to.equal(START_MS + 35_000);
  });
});

describe('daemonTolerations()', () => {
  it('adds what every daemon bears, and the missing network for those who use the host', () => {
    const own = [{ key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute' }];
    const containers = [{ name: 'a' }];
    const added = daemonTolerations({ containers, tolerations: own });
    expect(added.filter(({ key }) => key === 'node.kubernetes.io/not-ready')).to.have.length(1);
    const keys = (list: typeof added): readonly unknown[] => list.map(({ key }) => key);
    expect(keys(added)).to.include('node.kubernetes.io/unschedulable');
    expect(keys(added)).to.not.include('node.kubernetes.io/network-unavailable');
    expect(keys(daemonTolerations({ containers, hostNetwork: true }))).to.include(
      'node.kubernetes.io/network-unavailable',
    );
  });
});
