import { expect } from 'chai';
import { describe, it } from 'mocha';

import { type Certificate, halfLifeMs, readCertificates } from '#common/tls/certificate.ts';
import { selfSigned } from '#common/tls/self-signed.ts';
import { openssl } from '#tests/support/openssl.ts';

const URI = 'spiffe://cluster.local/ns/a/sa/b';
const make = (): string =>
  selfSigned({ uris: [URI], notAfterMs: Date.now() + 60_000 }).certificatePem;

function certificates(pem: string): readonly Certificate[] {
  const read = readCertificates(pem);
  if (read.kind === 'refused') throw new Error(read.reason);
  return read.certificates;
}

function reason(pem: string): string {
  const read = readCertificates(pem);
  return read.kind === 'refused' ? read.reason : 'not refused';
}

describe('readCertificates()', () => {
  it('reads what OpenSSL reads: serial number, validity, names', () => {
    const pem = make();
    const [certificate] = certificates(pem);
    const said = openssl([
      'x509',
      '-noout',
      '-serial',
      '-dates',
      '-ext',
      'subjectAltName',
      '-in',
      { 'a.pem': pem },
    ]).text;
    const serial = BigInt(certificate!.serialDecimal).toString(16).toUpperCase();
    expect(said).to.include(`serial=${serial}`);
    const dates = [...said.matchAll(/not(?:Before|After)=(.*)/g)].map(([, date]) =>
      Date.parse(date ?? ''),
    );
    expect([certificate!.notBeforeMs, certificate!.notAfterMs]).to.deep.equal(dates);
    expect(said).to.include(`URI:${URI}`);
    expect(certificate!.uris).to.deep.equal([URI]);
  });

  it('reads a bundle of several certificates in order, with text and CRLF between them', () => {
    const [one, two, three] = [make(), make(), make()];
    const bundle = `# roots\r\n${one.replaceAll('\n', '\r\n')}\nsecond:\n${two}${three}`;
    expect(certificates(bundle).map(({ pem }) => pem)).to.deep.equal([one, two, three]);
  });

  it('refuses a bundle in which one certificate is damaged', () => {
    const good = make();
    expect(reason(good + make().slice(0, 300))).to.include('cut off or damaged');
    expect(reason(good + make().replace(/\n[A-Za-z0-9]/, '\n*'))).to.include('cut off or damaged');
    const lines = make().split('\n');
    lines.splice(2, 1);
    expect(reason(good + lines.join('\n'))).to.match(/^Certificate 2: Cannot read/);
  });

  it('refuses text without a certificate, and keys where certificates should be', () => {
    const { privateKeyPem } = selfSigned({ uris: [URI], notAfterMs: Date.now() + 60_000 });
    expect(reason('')).to.include('No certificate found');
    expect(reason('/var/run/secrets/root-cert.pem')).to.include('No certificate found');
    expect(reason(privateKeyPem)).to.equal('PEM block is "PRIVATE KEY": want "CERTIFICATE"');
    expect(reason(make() + privateKeyPem)).to.include('want "CERTIFICATE"');
    expect(reason(privateKeyPem)).to.not.include(privateKeyPem.split('\n')[1]!);
  });

  it('refuses a text and a bundle that are too large', () => {
    expect(reason(' '.repeat(2 ** 20 + 1))).to.include('longer than');
    expect(reason(make().repeat(513))).to.include('want at most 512');
    expect(certificates(make().repeat(300))).to.have.length(300);
  });
});

describe('halfLifeMs()', () => {
  it('is halfway between beginning and end, not half of what remains', () => {
    expect(halfLifeMs({ notBeforeMs: 1000, notAfterMs: 2000 })).to.equal(1500);
    expect(halfLifeMs({ notBeforeMs: -1000, notAfterMs: 0 })).to.equal(-500);
  });
});
