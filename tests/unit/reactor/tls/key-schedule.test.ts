import { expect } from 'chai';
import { describe, it } from 'mocha';

import {
  cipherSuiteOf,
  cipherSuites,
  nextTrafficSecret,
  trafficKeys,
} from '#reactor/tls/key-schedule.ts';
import * as rfc8448 from '#tests/support/rfc8448.ts';

describe('trafficKeys()', () => {
  const suite = cipherSuiteOf(0x1301)!;

  it('gives the keys of RFC 8448 section 3', () => {
    expect(trafficKeys(suite, rfc8448.clientSecret)).to.deep.equal(rfc8448.clientKeys);
    expect(trafficKeys(suite, rfc8448.serverSecret)).to.deep.equal(rfc8448.serverKeys);
    expect(trafficKeys(suite, rfc8448.serverHandshakeSecret)).to.deep.equal(
      rfc8448.serverHandshakeKeys,
    );
  });

  it('gives keys of the length that each suite wants', () => {
    for (const each of cipherSuites) {
      const { key, iv } = trafficKeys(each, Buffer.alloc(each.hashLength, 7));
      expect(key.length, each.name).to.equal(each.keyLength);
      expect(iv.length, each.name).to.equal(12);
    }
  });
});

describe('nextTrafficSecret()', () => {
  // Computed with another implementation: Python's hmac module, from the definition in RFC 8446.
  const known = {
    TLS_AES_128_GCM_SHA256: 'ccaf898263a3d72bfe253928de2c80ad6be0ccc3a389336dcc99f580aa04601f',
    TLS_AES_256_GCM_SHA384:
      '1f1e0ea8272abbbc59dc6946287266f86f64239d885afed19dc5655b9267cdf8788d37f966a273f3149a90aca7d1dfe6',
    TLS_CHACHA20_POLY1305_SHA256:
      'ccaf898263a3d72bfe253928de2c80ad6be0ccc3a389336dcc99f580aa04601f',
  };

  for (const suite of cipherSuites) {
    it(`gives the secret after a KeyUpdate for ${suite.name}`, () => {
      const next = nextTrafficSecret(suite, Buffer.alloc(suite.hashLength, 0x5a));
      expect(next.toString('hex')).to.equal(known[suite.name]);
    });
  }
});
