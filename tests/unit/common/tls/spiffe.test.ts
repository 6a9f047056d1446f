import { expect } from 'chai';
import { describe, it } from 'mocha';

import {
  formatIdentity,
  IDENTITY_BYTES_MAX,
  identityParts,
  parseIdentity,
  principalOf,
  sameTrustDomain,
} from '#common/tls/spiffe.ts';
import { identity } from '#tests/support/mesh.ts';

describe('parseIdentity()', () => {
  const read: readonly string[] = [
    'spiffe://cluster.local/ns/default/sa/web',
    'spiffe://td/ns/n.with.dots/sa/s.with.dots',
    'spiffe://td/ns//sa/',
    'spiffe://TD:8/ns/sa/sa/ns',
  ];
  for (const text of read) {
    it(`reads ${text}`, () => {
      expect(parseIdentity(text)).to.equal(text);
    });
  }

  it('reads a text of exactly the longest length', () => {
    const start = 'spiffe://td/ns/n/sa/';
    const text = start + 's'.repeat(IDENTITY_BYTES_MAX - start.length);
    expect(parseIdentity(text)).to.equal(text);
    expect(parseIdentity(`${text}s`)).to.equal(undefined);
  });

  const refused: readonly (readonly [why: string, text: string])[] = [
    ['no scheme', 'td/ns/n/sa/s'],
    ['another scheme', 'https://td/ns/n/sa/s'],
    ['a scheme in capitals', 'SPIFFE://td/ns/n/sa/s'],
    ['a trailing slash', 'spiffe://td/ns/n/sa/s/'],
    ['a part too few', 'spiffe://td/ns/n/sa'],
    ['a part too many', 'spiffe://td/ns/n/sa/s/t'],
    ['another word for ns', 'spiffe://td/NS/n/sa/s'],
    ['another word for sa', 'spiffe://td/ns/n/as/s'],
    ['an empty trust domain', 'spiffe:///ns/n/sa/s'],
    ['a NUL', 'spiffe://td/ns/n/sa/s\u0000'],
    ['a line break', 'spiffe://td/ns/n/sa/s\n'],
    ['a space', 'spiffe://td/ns/n/sa/ s'],
    ['a letter outside of ASCII', 'spiffe://td/ns/n/sa/ѕ'],
    ['nothing', ''],
  ];
  for (const [why, text] of refused) {
    it(`refuses ${why}`, () => {
      expect(parseIdentity(text)).to.equal(undefined);
    });
  }
});

describe('formatIdentity()', () => {
  it('prints what identityParts() takes apart', () => {
    const one = identity('spiffe://td/ns/n/sa/s');
    expect(identityParts(one)).to.deep.equal({
      trustDomain: 'td',
      namespace: 'n',
      serviceAccount: 's',
    });
    expect(formatIdentity(identityParts(one))).to.equal(one);
  });

  it('refuses a part that would change the meaning of the text', () => {
    const parts = { trustDomain: 'td', namespace: 'n/sa/admin', serviceAccount: 's' };
    expect(formatIdentity(parts)).to.equal(undefined);
  });
});

describe('principalOf()', () => {
  it('leaves out the scheme', () => {
    expect(principalOf(identity('spiffe://td/ns/n/sa/s'))).to.equal('td/ns/n/sa/s');
  });
});

describe('sameTrustDomain()', () => {
  it('compares the whole trust domain and nothing else', () => {
    const one = identity('spiffe://td/ns/n/sa/s');
    expect(sameTrustDomain(one, identity('spiffe://td/ns/m/sa/t'))).to.equal(true);
    expect(sameTrustDomain(one, identity('spiffe://td2/ns/n/sa/s'))).to.equal(false);
  });
});
