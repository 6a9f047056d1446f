import { expect } from 'chai';
import { describe, it } from 'mocha';

import { peerName } from '#hbone/peer-name.ts';

const TILL = 'spiffe://cluster.local/ns/default/sa/till';

describe('peerName()', () => {
  it('is the only URI of the certificate', () => {
    expect(peerName({ uris: [TILL] })).to.deep.equal({ name: TILL });
  });

  it('refuses a certificate without a URI', () => {
    const refusal = 'identity error: the peer has no SPIFFE name';
    expect(peerName({ uris: [] })).to.deep.equal({ refusal });
  });

  it('refuses a certificate with two, also when they are the same', () => {
    const refusal = 'identity error: the peer has more than one SPIFFE name';
    for (const other of [TILL, 'spiffe://cluster.local/ns/default/sa/admin', 'https://till'])
      expect(peerName({ uris: [TILL, other] })).to.deep.equal({ refusal });
  });
});
