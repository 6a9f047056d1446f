import { expect } from 'chai';
import { describe, it } from 'mocha';

import { nextConditions } from '#istiod/controllers/policy-status.ts';
import type { PolicyVerdict } from '#istiod/translate/derive-policies.ts';
import type { AuthorizationPolicy, Condition } from '#kube/resources.ts';

const NOW_MS = Date.UTC(2026, 0, 2);

function policy(conditions?: readonly Condition[]): AuthorizationPolicy {
  return {
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: { name: 'rule', namespace: 'shop', generation: 3 },
    ...(conditions === undefined ? {} : { status: { conditions } }),
  };
}
function verdict(more: Partial<PolicyVerdict> = {}): PolicyVerdict {
  return { name: 'shop/rule', enforced: true, limitation: undefined, ...more };
}
const accepted: Condition = {
  type: 'ZtunnelAccepted',
  status: 'True',
  reason: 'Accepted',
  message: 'attached to ztunnel',
  observedGeneration: 3,
  lastTransitionTime: '2026-01-01T00:00:00Z',
};
const foreign: Condition = { type: 'WaypointAccepted', status: 'True' };

describe('nextConditions()', () => {
  it('says that a policy is accepted', () => {
    expect(nextConditions(policy(), verdict(), NOW_MS)).to.deep.equal([
      { ...accepted, lastTransitionTime: '2026-01-02T00:00:00Z' },
    ]);
  });

  it('says what is not enforced, in whole or in part', () => {
    const limitation = 'no HTTP';
    const part = nextConditions(policy(), verdict({ limitation }), NOW_MS);
    expect(part?.[0]).to.deep.include({
      status: 'True',
      reason: 'UnsupportedValue',
      message: limitation,
    });
    const whole = nextConditions(policy(), verdict({ limitation, enforced: false }), NOW_MS);
    expect(whole?.[0]).to.deep.include({ status: 'False', reason: 'UnsupportedValue' });
  });

  it('writes nothing when all of it is there', () => {
    expect(nextConditions(policy([foreign, accepted]), verdict(), NOW_MS)).to.equal(undefined);
    expect(nextConditions(policy([foreign]), undefined, NOW_MS)).to.equal(undefined);
  });

  it('leaves the conditions of others, and the time when nothing turned', () => {
    const old = { ...accepted, observedGeneration: 2 };
    expect(nextConditions(policy([old, foreign]), verdict(), NOW_MS)).to.deep.equal([
      foreign,
      accepted,
    ]);
    const turned = nextConditions(
      policy([accepted]),
      verdict({ enforced: false, limitation: 'x' }),
      NOW_MS,
    );
    expect(turned?.[0]?.lastTransitionTime).to.equal('2026-01-02T00:00:00Z');
  });

  it('takes its condition back from a policy that is not for node tunnels any more', () => {
    expect(nextConditions(policy([accepted, foreign]), undefined, NOW_MS)).to.deep.equal([foreign]);
  });
});
