import { expect } from 'chai';
import { describe, it } from 'mocha';

import { policy, SHOP } from '#tests/support/waypoint-resources.ts';
import type { Policy } from '#waypoint/policy/model.ts';
import { PolicySet } from '#waypoint/policy/policy-set.ts';

const keys = (policies: readonly Policy[]): string[] => policies.map(({ key }) => key);

describe('PolicySet', () => {
  const everywhere = policy('everywhere', { rules: [{}] });
  const ours = policy('ours', { services: [SHOP], rules: [{}] });
  const others = policy('others', { services: [{ ...SHOP, hostname: 'x' }], rules: [{}] });

  it('gives what is attached to the service, and what is for everything', () => {
    const set = new PolicySet();
    set.apply([everywhere, ours, others], []);
    expect(keys(set.concerning(SHOP))).to.deep.equal(['default/everywhere', 'default/ours']);
    expect(keys(set.concerning(undefined))).to.deep.equal(['default/everywhere']);
    expect(keys([...set.policies()])).to.have.length(3);
  });

  it('judges by what is known now, also a service that was asked for before', () => {
    const set = new PolicySet();
    expect(set.concerning(SHOP)).to.deep.equal([]);
    expect(set.concerning(undefined)).to.deep.equal([]);
    set.apply([everywhere, ours], []);
    expect(keys(set.concerning(SHOP))).to.deep.equal(['default/everywhere', 'default/ours']);
    expect(keys(set.concerning(undefined))).to.deep.equal(['default/everywhere']);
    set.apply([], ['default/everywhere']);
    expect(keys(set.concerning(SHOP))).to.deep.equal(['default/ours']);
    expect(set.concerning(undefined)).to.deep.equal([]);
  });
});
