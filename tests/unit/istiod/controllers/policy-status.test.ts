import { expect } from 'chai';
import { describe, it } from 'mocha';

import { policyCondition } from '#istiod/controllers/policy-status.ts';

const name = 'shop/rule';

describe('policyCondition()', () => {
  it('says that a policy is accepted', () => {
    expect(policyCondition({ name, enforced: true, limitation: undefined })).to.deep.equal({
      status: 'True',
      reason: 'Accepted',
      message: 'attached to ztunnel',
    });
  });

  it('says what is not enforced, in whole or in part', () => {
    const limitation = 'no HTTP';
    expect(policyCondition({ name, enforced: true, limitation })).to.deep.equal({
      status: 'True',
      reason: 'UnsupportedValue',
      message: limitation,
    });
    const whole = policyCondition({ name, enforced: false, limitation });
    expect(whole).to.deep.include({ status: 'False', reason: 'UnsupportedValue' });
  });
});
