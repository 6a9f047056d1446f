import { expect } from 'chai';
import { describe, it } from 'mocha';

import { hostnameOf, parseNamespacedHost, parsePolicyKey } from '#dataplane/state/names.ts';
import { host } from '#tests/support/mesh.ts';

for (const parse of [parseNamespacedHost, parsePolicyKey]) {
  describe(`${parse.name}()`, () => {
    it('reads two parts', () => {
      expect(parse('shop/till')).to.equal('shop/till');
    });

    for (const text of ['', '/', 'shop', 'shop/', '/till', 'shop/till/x', 'shop /till']) {
      it(`refuses "${text}"`, () => {
        expect(parse(text)).to.equal(undefined);
      });
    }
  });
}

describe('hostnameOf()', () => {
  it('gives the part after the namespace', () => {
    expect(hostnameOf(host('shop', 'till.shop.svc.cluster.local'))).to.equal(
      'till.shop.svc.cluster.local',
    );
  });
});
