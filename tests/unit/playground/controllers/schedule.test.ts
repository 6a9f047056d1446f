import { expect } from 'chai';
import { describe, it } from 'mocha';

import type { Node, Pod } from '#kube/resources.ts';
import { affinityToNode } from '#playground/controllers/placement.ts';
import { schedule } from '#playground/controllers/schedule.ts';
import { node, pod } from '#tests/support/workloads.ts';

const nodes = [node('a'), node('b')];

function choice(wanted: Pod, on: readonly Node[] = nodes, pods: readonly Pod[] = []): string {
  const chosen = schedule(wanted, on, pods);
  return chosen.kind === 'placed' ? chosen.node : chosen.message;
}

function asking(cpu: string, on?: string): Pod {
  const containers = [{ name: 'web', resources: { requests: { cpu } } }];
  return pod(`cpu-${cpu}`, { spec: { containers }, ...(on === undefined ? {} : { node: on }) });
}

function onPort(hostPort: number, on?: string): Pod {
  const containers = [{ name: 'web', ports: [{ containerPort: 80, hostPort }] }];
  return pod(`port-${hostPort}`, {
    spec: { containers },
    ...(on === undefined ? {} : { node: on }),
  });
}

describe('schedule()', () => {
  it('spreads the pods of one owner, then all pods', () => {
    const siblings = [
      pod('1', { node: 'a', owner: 'web' }),
      pod('2', { node: 'b' }),
      pod('3', { node: 'b' }),
    ];
    expect(choice(pod('4', { owner: 'web' }), nodes, siblings)).to.equal('b');
    expect(choice(pod('4'), nodes, siblings)).to.equal('a');
  });

  it('does not count pods that are over', () => {
    const pods = [pod('1', { node: 'a', phase: 'Succeeded' }), pod('2', { node: 'b' })];
    expect(choice(pod('3'), nodes, pods)).to.equal('a');
  });

  it('goes where a selector or an affinity says', () => {
    const fast = node('b', { metadata: { name: 'b', labels: { disk: 'fast' } } });
    expect(
      choice(pod('1', { spec: { nodeSelector: { disk: 'fast' } } }), [node('a'), fast]),
    ).to.equal('b');
    expect(choice(pod('1', { spec: { affinity: affinityToNode('b') } }))).to.equal('b');
  });

  it('keeps what a node has left', () => {
    const small = [node('a', { status: { allocatable: { cpu: '1' } } })];
    expect(choice(asking('500m'), small, [asking('500m', 'a')])).to.equal('a');
    expect(choice(asking('501m'), small, [asking('500m', 'a')])).to.equal(
      '0/1 nodes are available: 1 Insufficient cpu.',
    );
    const full = [node('a', { status: { allocatable: { pods: '1' } } })];
    expect(choice(pod('2'), full, [pod('1', { node: 'a' })])).to.equal(
      '0/1 nodes are available: 1 Too many pods.',
    );
  });

  it('gives a port of a node to one pod only', () => {
    expect(choice(onPort(80), nodes, [onPort(80, 'a')])).to.equal('b');
    expect(choice(onPort(80), [node('a')], [onPort(80, 'a')])).to.equal(
      "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
    );
  });

  it('says of every node why not', () => {
    const taints = [{ key: 'dedicated', value: 'db', effect: 'NoSchedule' }];
    const all = [node('a', { spec: { unschedulable: true } }), node('b', { spec: { taints } })];
    expect(choice(pod('1'), all)).to.equal(
      '0/2 nodes are available: 1 node(s) were unschedulable, 1 node(s) had untolerated taint {dedicated: db}.',
    );
    expect(choice(pod('1'), [])).to.equal('no nodes available to schedule pods');
  });

  it('goes to a tainted node that it tolerates', () => {
    const taints = [{ key: 'dedicated', value: 'db', effect: 'NoSchedule' }];
    const tainted = [node('a', { spec: { taints } })];
    const bear = (toleration: object): string =>
      choice(pod('1', { spec: { tolerations: [toleration] } }), tainted);
    expect(bear({ key: 'dedicated', value: 'db' })).to.equal('a');
    expect(bear({ key: 'dedicated', operator: 'Exists', effect: 'NoSchedule' })).to.equal('a');
    expect(bear({ operator: 'Exists' })).to.equal('a');
    expect(bear({ key: 'dedicated', value: 'web' })).to.include('untolerated taint');
    expect(bear({ key: 'dedicated', value: 'db', effect: 'NoExecute' })).to.include('untolerated');
  });
});
