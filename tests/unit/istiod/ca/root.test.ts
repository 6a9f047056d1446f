import { generateKeyPairSync, X509Certificate } from 'node:crypto';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import { newRoot, privateKeyPem, readRoot } from '#istiod/ca/root.ts';
import { openssl } from '#tests/support/openssl.ts';
import { TestAuthority } from '#tests/support/tls-material.ts';

const YEAR_MS = 365 * 86_400_000;

describe('newRoot()', () => {
  it('makes a root that OpenSSL accepts, older than now and valid for ten years', () => {
    const nowMs = Date.now();
    const root = newRoot('cluster.local', nowMs);
    const verdict = openssl([
      'verify',
      '-x509_strict',
      '-check_ss_sig',
      '-CAfile',
      { 'root.pem': root.certificatePem },
      { 'same.pem': root.certificatePem },
    ]);
    expect(verdict.ok, verdict.text).to.equal(true);
    const certificate = new X509Certificate(root.certificatePem);
    expect(certificate.subject).to.equal('O=cluster.local');
    expect(Date.parse(certificate.validFrom)).to.be.at.most(nowMs - 3_599_000);
    expect(Date.parse(certificate.validTo) - nowMs).to.be.within(9 * YEAR_MS, 11 * YEAR_MS);
  });
});

function reasonOf(certificatePem: string, keyPem: string, nowMs: number = Date.now()): string {
  const read = readRoot(certificatePem, keyPem, nowMs);
  return read.kind === 'refused' ? read.reason : 'accepted';
}

describe('readRoot()', () => {
  const root = newRoot('cluster.local', Date.now());

  it('reads what was made', () => {
    const read = readRoot(root.certificatePem, privateKeyPem(root), Date.now());
    if (read.kind === 'refused') throw new Error(read.reason);
    expect(read.root.organization).to.equal('cluster.local');
    expect(read.root.notAfterMs - root.notAfterMs).to.be.within(-1_000, 0);
    expect(read.root.privateKey.equals(root.privateKey)).to.equal(true);
    expect(read.root.certificatePem).to.equal(root.certificatePem);
  });

  it('refuses a certificate that may not sign, has expired, or is one of several', () => {
    const key = privateKeyPem(root);
    const leaf = new TestAuthority().issue();
    expect(reasonOf(leaf.chainPem[0] ?? '', leaf.privateKeyPem)).to.equal(
      'the certificate may not sign others',
    );
    expect(reasonOf(root.certificatePem, key, root.notAfterMs)).to.match(/has expired on 20/);
    expect(reasonOf(root.certificatePem + root.certificatePem, key)).to.equal(
      'want one certificate',
    );
    expect(reasonOf('', key)).not.to.equal('accepted');
  });

  it('refuses a key of another root, of another kind, or none', () => {
    const other = newRoot('cluster.local', Date.now());
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
    const rsaPem = rsa.export({ type: 'pkcs8', format: 'pem' });
    expect(reasonOf(root.certificatePem, privateKeyPem(other))).to.equal(
      'key and certificate do not belong together',
    );
    expect(reasonOf(root.certificatePem, rsaPem)).to.match(/^the key is not accepted/);
    expect(reasonOf(root.certificatePem, 'x')).to.equal('the key cannot be read');
  });
});
