import { expect } from 'chai';
import { describe, it } from 'mocha';

import { podRecord } from '#istiod/inputs/pods.ts';
import { trimmedPod } from '#istiod/inputs/trim.ts';
import type { Pod } from '#kube/resources.ts';

const metadata = { name: 'till-7d9-x', namespace: 'shop', uid: 'u1' };
const ready = { conditions: [{ type: 'Ready', status: 'True' }] };

function pod(more: { metadata?: object; spec?: object; status?: object } = {}): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...metadata, ...more.metadata },
    spec: { containers: [{ name: 'main', image: 'x' }], ...more.spec },
    status: more.status ?? {},
  };
}

/** Of a pod as it is kept. */
function recordOf(more: Parameters<typeof pod>[0] = {}) {
  return podRecord(trimmedPod(pod(more)));
}

const port = (name: string, containerPort: number, protocol = 'TCP') => ({
  name,
  containerPort,
  protocol,
});

const owner = (kind: string, name: string, more = {}) => ({
  generateName: `${name}-`,
  ownerReferences: [{ apiVersion: 'x', kind, name, uid: 'o', controller: true }],
  ...more,
});

describe('podRecord()', () => {
  it('keeps what the mesh needs to know', () => {
    const record = recordOf({
      metadata: {
        labels: { app: 'till' },
        annotations: { 'ambient.istio.io/redirection': 'enabled' },
        creationTimestamp: '2026-01-01T00:00:00Z',
      },
      spec: { nodeName: 'node-a', serviceAccountName: 'cashier' },
      status: { phase: 'Running', podIPs: [{ ip: '10.0.0.7' }, { ip: 'fd00::7' }], ...ready },
    });
    expect(record).to.deep.equal({
      namespace: 'shop',
      name: 'till-7d9-x',
      labels: { app: 'till' },
      createdAt: '2026-01-01T00:00:00Z',
      uid: 'u1',
      phase: 'Running',
      addresses: ['10.0.0.7', 'fd00::7'],
      node: 'node-a',
      serviceAccount: 'cashier',
      hostNetwork: false,
      ready: true,
      redirected: true,
      nativeTunnel: false,
      workloadName: 'till-7d9-x',
      namedPorts: new Map(),
    });
  });

  it('reads the single address of a pod that has no list, and none of one that is unreadable', () => {
    expect(recordOf({ status: { podIP: '10.0.0.7' } }).addresses).to.deep.equal(['10.0.0.7']);
    const half = { podIPs: [{ ip: '10.0.0.7' }, { ip: 'nonsense' }] };
    expect(recordOf({ status: half }).addresses).to.deep.equal([]);
    expect(recordOf().addresses).to.deep.equal([]);
  });

  it('is not ready while it ends', () => {
    expect(recordOf({ status: ready }).ready).to.equal(true);
    const ending = { deletionTimestamp: '2026-01-01T00:00:00Z' };
    expect(recordOf({ metadata: ending, status: ready }).ready).to.equal(false);
    const not = { conditions: [{ type: 'Ready', status: 'False' }] };
    expect(recordOf({ status: not }).ready).to.equal(false);
  });

  it('knows redirection by what the agent has written, and native tunnels by their label', () => {
    const pending = { annotations: { 'ambient.istio.io/redirection': 'pending' } };
    expect(recordOf({ metadata: pending }).redirected).to.equal(false);
    const native = { labels: { 'networking.istio.io/tunnel': 'http' } };
    expect(recordOf({ metadata: native }).nativeTunnel).to.equal(true);
  });

  it('finds ports by name in containers and in sidecars that go on running, and only of TCP', () => {
    const record = recordOf({
      spec: {
        containers: [
          { name: 'a', image: 'x', ports: [port('web', 8080), port('dns', 53, 'UDP')] },
          { name: 'b', image: 'x', ports: [port('web', 9090)] },
        ],
        initContainers: [
          { name: 'c', image: 'x', restartPolicy: 'Always', ports: [port('side', 7)] },
          { name: 'd', image: 'x', ports: [port('setup', 8)] },
        ],
      },
    });
    expect([...record.namedPorts]).to.deep.equal([
      ['web', 8080],
      ['side', 7],
    ]);
  });

  const hash = { labels: { 'pod-template-hash': '7d9' } };
  const names: readonly (readonly [string, object, string])[] = [
    ['a Deployment', owner('ReplicaSet', 'till-7d9', hash), 'till'],
    ['a ReplicaSet of its own', owner('ReplicaSet', 'till'), 'till'],
    ['a DaemonSet', owner('DaemonSet', 'till'), 'till'],
    ['a CronJob', owner('Job', 'till-28912345'), 'till'],
    ['a Job', owner('Job', 'till-1'), 'till-1'],
    [
      'a Rollout',
      owner('ReplicaSet', 'till-7d9', { labels: { 'rollouts-pod-template-hash': '7d9' } }),
      'till',
    ],
    ['nobody', {}, 'till-7d9-x'],
    [
      'an owner, but under its own name',
      { ...owner('X', 'y'), generateName: undefined },
      'till-7d9-x',
    ],
    ['who it says', { labels: { 'service.istio.io/workload-name': 'cash' } }, 'cash'],
  ];
  for (const [who, more, expected] of names) {
    it(`is called ${expected} when it belongs to ${who}`, () => {
      expect(recordOf({ metadata: more }).workloadName).to.equal(expected);
    });
  }
});
