import { expect } from 'chai';
import { describe, it } from 'mocha';

import {
  explainPod,
  isHopeless,
  progressOf,
  unreadyPods,
  type Workload,
  workloadsOf,
} from '#cli/mesh/rollout.ts';
import type { ContainerStatus, Event, Pod } from '#kube/resources.ts';

const tunnels: Workload = {
  name: 'ztunnel',
  namespace: 'istio-system',
  labels: { app: 'ztunnel' },
  replicas: undefined,
};

function pod(name: string, ready: boolean, more: Partial<Pod['metadata']> = {}): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'istio-system',
      uid: `uid-of-${name}`,
      labels: { app: 'ztunnel', 'pod-template-hash': '1' },
      ...more,
    },
    spec: { nodeName: 'node-1', containers: [] },
    status: { phase: 'Running', conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }] },
  };
}

function container(more: Partial<ContainerStatus>): ContainerStatus {
  return { name: 'proxy', ready: false, restartCount: 0, image: 'a', imageID: 'a', ...more };
}

function withContainer(more: Partial<ContainerStatus>): Pod {
  const made = pod('ztunnel-a', false);
  return { ...made, status: { ...made.status, containerStatuses: [container(more)] } };
}

function event(reason: string, more: Partial<Event> = {}): Event {
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: reason, namespace: 'istio-system' },
    involvedObject: { kind: 'Pod', uid: 'uid-of-ztunnel-a' },
    type: 'Warning',
    reason,
    message: `${reason} happened`,
    ...more,
  };
}

describe('workloadsOf()', () => {
  it('finds what runs pods, and how many', () => {
    const found = workloadsOf([
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'istiod' } },
      {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { name: 'istiod', namespace: 'istio-system' },
        spec: { replicas: 2, selector: { matchLabels: { app: 'istiod' } } },
      },
      {
        apiVersion: 'apps/v1',
        kind: 'DaemonSet',
        metadata: { name: 'ztunnel', namespace: 'istio-system' },
        spec: { selector: { matchLabels: { app: 'ztunnel' } } },
      },
    ]);
    const istiod = { name: 'istiod', labels: { app: 'istiod' }, replicas: 2 };
    expect(found).to.deep.equal([{ namespace: 'istio-system', ...istiod }, tunnels]);
  });
});

describe('progressOf()', () => {
  it('counts the ready pods with the labels, of one on each node', () => {
    const pods = [
      pod('a', true),
      pod('b', false),
      pod('other', true, { labels: { app: 'istiod' } }),
      pod('elsewhere', true, { namespace: 'default' }),
    ];
    expect(progressOf(tunnels, pods, 2)).to.deep.equal({ name: 'ztunnel', ready: 1, wanted: 2 });
    expect(progressOf({ ...tunnels, replicas: 1 }, pods, 2).wanted).to.equal(1);
  });

  it('does not count a pod that is about to go', () => {
    const going = pod('a', true, { deletionTimestamp: '2026-01-01T00:00:00Z' });
    expect(progressOf(tunnels, [going], 1).ready).to.equal(0);
    expect(unreadyPods(tunnels, [going])).to.deep.equal([]);
  });
});

describe('isHopeless()', () => {
  it('is true for an image that nobody has, and for a program that ends again and again', () => {
    expect(isHopeless(withContainer({ state: { waiting: { reason: 'ErrImagePull' } } }))).to.equal(
      true,
    );
    expect(isHopeless(withContainer({ restartCount: 3 }))).to.equal(true);
  });

  it('is false for one that has ended once, or has not begun', () => {
    expect(isHopeless(withContainer({ restartCount: 1 }))).to.equal(false);
    expect(
      isHopeless(withContainer({ state: { waiting: { reason: 'ContainerCreating' } } })),
    ).to.equal(false);
  });
});

describe('explainPod()', () => {
  it('tells what a container waits for, the warnings in their order, and the last words', () => {
    const waiting = { reason: 'CrashLoopBackOff', message: 'back-off 10s' };
    const text = explainPod(
      withContainer({ state: { waiting }, restartCount: 2 }),
      [
        event('Later', { lastTimestamp: '2026-01-01T00:00:02Z', count: 3 }),
        event('Earlier', { lastTimestamp: '2026-01-01T00:00:01Z' }),
        event('Fine', { type: 'Normal' }),
        event('Others', { involvedObject: { kind: 'Pod', uid: 'uid-of-another' } }),
      ],
      'first\nCannot read the token\n',
    );
    expect(text.split('\n')).to.deep.equal([
      'Pod ztunnel-a on node-1: container proxy waits (CrashLoopBackOff: back-off 10s), started again 2 times',
      '  Earlier: Earlier happened',
      '  Later: Later happened (3 times)',
      '  Its log ends with',
      '    first',
      '    Cannot read the token',
    ]);
  });

  it('says when a pod has no node', () => {
    const homeless = { ...pod('a', false), spec: { containers: [] }, status: { phase: 'Pending' } };
    expect(explainPod(homeless, [], '')).to.equal('Pod a, which has no node: pending');
  });
});
