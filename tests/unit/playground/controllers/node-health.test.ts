import { expect } from 'chai';
import { describe, it } from 'mocha';

import type { Lease, Node, Pod, Toleration } from '#kube/resources.ts';
import { evictions, nodeHealth } from '#playground/controllers/node-health.ts';
import { at, node, pod, START_MS } from '#tests/support/workloads.ts';

const NOT_READY = 'node.kubernetes.io/not-ready';

/** A node that was made at the start and says this of itself. */
function saying(ready: 'True' | 'False' | undefined, more: Partial<Node> = {}): Node {
  const conditions = ready === undefined ? [] : [{ type: 'Ready', status: ready, reason: 'Told' }];
  return node('a', {
    metadata: { name: 'a', creationTimestamp: at(0) },
    status: { conditions },
    ...more,
  });
}

function renewed(seconds: number): Lease {
  const metadata = { name: 'a', namespace: 'kube-node-lease' };
  const spec = { renewTime: at(seconds).replace('Z', '.000000Z') };
  return { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec };
}

const after = (seconds: number): number => START_MS + seconds * 1000;

describe('nodeHealth()', () => {
  it('leaves a node alone that renews its lease, and says when it will be overdue', () => {
    const health = nodeHealth(saying('True'), renewed(100), after(139));
    expect(health).to.deep.equal({ condition: undefined, taints: [], nextAtMs: after(140) });
  });

  it('calls a node unknown whose lease is overdue, and keeps pods away from it', () => {
    const { condition, taints, nextAtMs } = nodeHealth(saying('True'), renewed(100), after(140));
    expect(condition).to.include({ type: 'Ready', status: 'Unknown', reason: 'NodeStatusUnknown' });
    expect(taints.map(({ key, effect }) => `${key}:${effect}`)).to.deep.equal([
      'node.kubernetes.io/unreachable:NoSchedule',
      'node.kubernetes.io/unreachable:NoExecute',
    ]);
    expect(nextAtMs).to.equal(undefined);
  });

  it('gives a new node time to say something', () => {
    expect(nodeHealth(saying(undefined), undefined, after(59))).to.deep.include({
      condition: undefined,
      taints: [],
    });
    const late = nodeHealth(saying(undefined), undefined, after(60));
    expect(late.condition).to.include({ status: 'Unknown' });
  });

  it('keeps pods away from a node that is not ready or cordoned, and other taints as they are', () => {
    const own = { key: 'dedicated', value: 'db', effect: 'NoSchedule' };
    const tainted = saying('False', { spec: { unschedulable: true, taints: [own] } });
    const { taints } = nodeHealth(tainted, renewed(100), after(101));
    expect(taints.map(({ key, effect }) => `${key}:${effect}`)).to.deep.equal([
      'dedicated:NoSchedule',
      'node.kubernetes.io/unschedulable:NoSchedule',
      `${NOT_READY}:NoSchedule`,
      `${NOT_READY}:NoExecute`,
    ]);
    const again = { ...tainted, spec: { unschedulable: true, taints } };
    expect(nodeHealth(again, renewed(100), after(110)).taints).to.deep.equal(taints);
    const recovered = { ...saying('True'), spec: { taints } };
    expect(nodeHealth(recovered, renewed(100), after(120)).taints).to.deep.equal([own]);
  });
});

function bearing(...tolerations: Toleration[]): Pod {
  return pod('p', { node: 'a', spec: { tolerations } });
}

describe('evictions()', () => {
  const taints = [{ key: NOT_READY, effect: 'NoExecute', timeAdded: at(0) }];
  const bad = node('a', { spec: { taints } });
  const seconds = (...pods: Parameters<typeof evictions>[1]): readonly number[] =>
    evictions(bad, pods).map(({ atMs }) => (atMs - START_MS) / 1000);

  it('lets pods stay for five minutes when they say nothing', () => {
    expect(seconds(pod('p', { node: 'a' }))).to.deep.equal([300]);
  });

  it('lets pods stay as long as they say', () => {
    const toleration = { key: NOT_READY, operator: 'Exists', effect: 'NoExecute' };
    expect(seconds(bearing({ ...toleration, tolerationSeconds: 20 }))).to.deep.equal([20]);
    expect(seconds(bearing(toleration))).to.deep.equal([]);
    expect(seconds(bearing({ operator: 'Exists' }))).to.deep.equal([]);
  });

  it('sends pods away at once from a taint that somebody has made', () => {
    const other = node('a', { spec: { taints: [{ key: 'leave', effect: 'NoExecute' }] } });
    expect(evictions(other, [pod('p', { node: 'a' })])[0]?.atMs).to.equal(0);
  });

  it('is about the pods of this node that are not leaving already', () => {
    expect(seconds(pod('p', { node: 'b' }), pod('q', { node: 'a', leaving: true }))).to.deep.equal(
      [],
    );
    expect(evictions(node('a'), [pod('p', { node: 'a' })])).to.deep.equal([]);
  });
});
