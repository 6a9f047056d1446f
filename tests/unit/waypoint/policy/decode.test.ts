import { expect } from 'chai';
import { describe, it } from 'mocha';

import { Action } from '#api/gen/waypoint_pb.ts';
import { policyBytes, SHOP } from '#tests/support/waypoint-resources.ts';
import { decodePolicy } from '#waypoint/policy/decode.ts';

const UNREADABLE = [{ when: [{ key: 'request.auth.claims[sub]', values: [] }] }];
const NAME = 'default/p';

describe('decodePolicy() of what can not be judged', () => {
  const everything = [{ from: [], to: [], when: [] }];

  it('denies instead what the policy is for, whatever it would have done', () => {
    for (const action of [Action.ALLOW, Action.DENY, 7 as Action]) {
      const given = { action, services: [SHOP], rules: UNREADABLE };
      const decoded = decodePolicy(NAME, policyBytes('p', given));
      expect(decoded.kind === 'refused' && decoded.instead).to.deep.equal({
        key: NAME,
        action: 'deny',
        dryRun: false,
        services: [SHOP],
        rules: everything,
      });
    }
  });

  it('denies everything when not even that can be read', () => {
    const decoded = decodePolicy(NAME, Buffer.from('no policy'));
    expect(decoded.kind === 'refused' && decoded.instead).to.deep.include({
      key: NAME,
      action: 'deny',
      services: [],
    });
  });

  it('denies nothing for one that only tells', () => {
    for (const given of [{ action: Action.AUDIT }, { action: Action.DENY, dryRun: true }]) {
      const decoded = decodePolicy(NAME, policyBytes('p', { ...given, rules: UNREADABLE }));
      expect(decoded).to.include({ kind: 'refused', instead: undefined });
    }
  });
});
