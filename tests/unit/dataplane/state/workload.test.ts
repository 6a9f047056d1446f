import { expect } from 'chai';
import { describe, it } from 'mocha';

import { identityOf, workloadOf } from '#dataplane/state/workload.ts';
import { uid, workload } from '#tests/support/mesh.ts';

describe('workloadOf()', () => {
  const given = { uid: uid('u'), name: 'n', namespace: 's' };

  it('fills in the defaults of the protocol', () => {
    expect(workloadOf(given)).to.include({
      trustDomain: 'cluster.local',
      serviceAccount: 'default',
      clusterId: 'Kubernetes',
      capacity: 1,
      protocol: 'TCP',
      status: 'Healthy',
      networkMode: 'Standard',
    });
  });

  it('takes empty texts for not given where there is a default', () => {
    const empty = { trustDomain: '', serviceAccount: '', clusterId: '' };
    expect(workloadOf({ ...given, ...empty })).to.deep.equal(workloadOf(given));
  });

  it('keeps what is given, a capacity of 0 included', () => {
    const more = { trustDomain: 'td', serviceAccount: 'sa', clusterId: 'c', capacity: 0 };
    expect(workloadOf({ ...given, ...more })).to.include(more);
  });
});

describe('identityOf()', () => {
  it('joins trust domain, namespace and service account', () => {
    const one = workload('a', '', { trustDomain: 'td', namespace: 'n', serviceAccount: 's' });
    expect(identityOf(one)).to.equal('spiffe://td/ns/n/sa/s');
  });
});
