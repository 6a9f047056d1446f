import { createPrivateKey, createPublicKey } from 'node:crypto';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import { newSigningRequest } from '#common/tls/csr.ts';
import { openssl } from '#tests/support/openssl.ts';

const URI = 'spiffe://cluster.local/ns/shop/sa/till';

describe('newSigningRequest()', () => {
  it('writes a request that OpenSSL reads and whose signature it confirms', () => {
    const { csrPem } = newSigningRequest(URI);
    const verdict = openssl(['req', '-verify', '-noout', '-text', '-in', { 'a.csr': csrPem }]);
    expect(verdict.ok, verdict.text).to.equal(true);
    expect(verdict.text).to.match(/self-signature verify OK|verify OK/);
    expect(verdict.text).to.match(/Subject: *\n/);
    expect(verdict.text).to.include('ASN1 OID: prime256v1');
    expect(verdict.text).to.include('Signature Algorithm: ecdsa-with-SHA256');
    expect(verdict.text).to.match(
      /Requested Extensions:\s+X509v3 Subject Alternative Name: critical\s+URI:spiffe:\/\/cluster\.local\/ns\/shop\/sa\/till\s+Signature/,
    );
  });

  it('gives the PKCS#8 key that belongs to it', () => {
    const { csrPem, privateKeyPem } = newSigningRequest(URI);
    expect(privateKeyPem).to.match(/^-----BEGIN PRIVATE KEY-----\n/);
    const ours = createPublicKey(createPrivateKey(privateKeyPem)).export({
      type: 'spki',
      format: 'pem',
    });
    const requested = openssl(['req', '-noout', '-pubkey', '-in', { 'a.csr': csrPem }]).text;
    expect(requested.trim()).to.equal(ours.trim());
  });

  it('uses a new key for each request', () => {
    expect(newSigningRequest(URI).privateKeyPem).to.not.equal(newSigningRequest(URI).privateKeyPem);
  });

  it('refuses a URI that a certificate can not carry', () => {
    for (const uri of [
      '',
      'spiffe://cluster.local/ns/\0/sa/a',
      'spiffe://clüster/ns/a/sa/b',
      'a b',
    ])
      expect(() => newSigningRequest(uri)).to.throw('want printable ASCII');
  });
});
