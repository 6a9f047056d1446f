import { X509Certificate } from 'node:crypto';

import { expect } from 'chai';
import { after, describe, it } from 'mocha';

import { readPeerCertificate } from '#reactor/tls/peer-certificate.ts';
import { TestAuthority } from '#tests/support/tls-material.ts';

describe('readPeerCertificate()', () => {
  const authority = new TestAuthority();
  after(() => authority.dispose());

  it('gives names in order, serial number and end as Node reads them', () => {
    const uris = ['spiffe://b/ns/x/sa/y', 'spiffe://a/ns/x/sa/y'];
    const notAfterMs = Date.UTC(2049, 11, 31, 23, 59, 58);
    const [pem] = authority.issue({ names: { uris, dns: ['a.test'] }, notAfterMs }).chainPem;
    const result = readPeerCertificate(der(pem));
    const serialHex = new X509Certificate(pem!).serialNumber.replace(/^0+/, '');
    expect(result).to.deep.equal({
      kind: 'certificate',
      certificate: { uris, dns: ['a.test'], serialHex, notAfterMs },
    });
  });

  it('reads an end after 2049, which is written in another way', () => {
    const notAfterMs = Date.UTC(2050, 0, 1);
    const [pem] = authority.issue({ notAfterMs }).chainPem;
    expect(readPeerCertificate(der(pem))).to.have.nested.property(
      'certificate.notAfterMs',
      notAfterMs,
    );
  });

  it('gives no names for a certificate without them', () => {
    const result = readPeerCertificate(der(authority.rootPem));
    expect(result).to.have.nested.property('certificate.uris').that.deep.equals([]);
  });

  it('refuses a name with a NUL, a space or a byte beyond ASCII, and every truncation', () => {
    const good = der(authority.issue().chainPem[0]);
    const at = good.indexOf('spiffe://') + 12;
    for (const byte of [0, 0x20, 0x0a, 0x7f, 0xc3]) {
      const bad = Buffer.from(good);
      bad[at] = byte;
      expect(readPeerCertificate(bad).kind, `byte ${byte}`).to.equal('refused');
    }
    for (let length = 0; length < good.length; length++) {
      expect(readPeerCertificate(good.subarray(0, length)).kind).to.equal('refused');
    }
  });
});

function der(pem: string | undefined): Buffer {
  return Buffer.from(new X509Certificate(pem ?? '').raw);
}
