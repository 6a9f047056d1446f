import { expect } from 'chai';
import { describe, it } from 'mocha';

import { doubtsAbout } from '#dataplane/state/doubts.ts';
import { key, policy, workload } from '#tests/support/mesh.ts';

const workloads = [
  workload('till', '10.0.0.1'),
  workload('shop', '10.0.0.2', { authorizationPolicies: [key('default/named')] }),
];

describe('doubtsAbout()', () => {
  it('has none about policies that restrict somebody', () => {
    const policies = [
      policy('everybody', {}, { scope: 'Global', namespace: 'istio-system' }),
      policy('here', {}),
      policy('named', {}, { scope: 'WorkloadSelector' }),
    ];
    expect(doubtsAbout({ workloads, services: [], policies })).to.deep.equal([]);
  });

  it('names policies that restrict nobody, and why', () => {
    const policies = [
      policy('typo', {}, { namespace: 'defualt' }),
      policy('forgotten', {}, { scope: 'WorkloadSelector' }),
    ];
    expect(doubtsAbout({ workloads, services: [], policies })).to.deep.equal([
      'policy "defualt/typo" restricts nobody: no workload is in namespace "defualt"',
      'policy "default/forgotten" restricts nobody: no workload names it in "authorizationPolicies"',
    ]);
  });

  it('names two workloads that have one address, in one network and not that of their node', () => {
    const all = [
      ...workloads,
      workload('away', '10.0.0.1', { network: 'other' }),
      workload('daemon', '10.0.0.1', { networkMode: 'HostNetwork' }),
      workload('twin', '10.0.0.2'),
    ];
    expect(doubtsAbout({ workloads: all, services: [], policies: [] })).to.deep.equal([
      'address 10.0.0.2 is that of two workloads: "Kubernetes//Pod/default/shop" and "Kubernetes//Pod/default/twin"',
    ]);
  });
});
