import { generateKeyPairSync, X509Certificate } from 'node:crypto';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import { issueCertificate } from '#istiod/ca/issue.ts';
import { newRoot } from '#istiod/ca/root.ts';
import { openssl } from '#tests/support/openssl.ts';

const TILL = 'spiffe://cluster.local/ns/shop/sa/till';
const HOUR_MS = 3_600_000;

describe('issueCertificate()', () => {
  const nowMs = Date.UTC(2026, 5, 1, 12);
  const root = newRoot('cluster.local', nowMs);
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });

  function issue(lifeMs: number, atMs: number = nowMs): X509Certificate {
    const names = { uris: [TILL] };
    return new X509Certificate(issueCertificate(root, { names, publicKey, lifeMs, nowMs: atMs }));
  }

  it('is about its names only, for clients and servers, and signed by the root', () => {
    const pem = issue(24 * HOUR_MS).toString();
    const { text } = openssl(['x509', '-noout', '-text', '-in', { 'leaf.pem': pem }]);
    expect(text).to.match(/Subject: *\n/);
    expect(text).to.match(
      /Subject Alternative Name: critical\s+URI:spiffe:\/\/cluster\.local\/ns\/shop\/sa\/till\n/,
    );
    expect(text).to.match(/Basic Constraints: critical\s+CA:FALSE/);
    expect(text).to.match(/TLS Web Server Authentication, TLS Web Client Authentication/);
    const verdict = openssl([
      'verify',
      '-x509_strict',
      '-attime',
      String(nowMs / 1_000),
      '-CAfile',
      { 'root.pem': root.certificatePem },
      { 'leaf.pem': pem },
    ]);
    expect(verdict.ok, verdict.text).to.equal(true);
  });

  it('begins two minutes in the past, for clocks that are behind', () => {
    const leaf = issue(24 * HOUR_MS);
    expect(Date.parse(leaf.validFrom)).to.equal(nowMs - 120_000);
    expect(Date.parse(leaf.validTo)).to.equal(nowMs + 24 * HOUR_MS);
  });

  it('does not outlive its root', () => {
    const leaf = issue(24 * HOUR_MS, root.notAfterMs - HOUR_MS);
    expect(Date.parse(leaf.validTo)).to.equal(root.notAfterMs);
  });
});
