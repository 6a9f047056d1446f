import { createPublicKey, generateKeyPairSync } from 'node:crypto';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import { newSigningRequest } from '#common/tls/csr.ts';
import { readSigningRequest } from '#common/tls/signing-request.ts';
import { openssl } from '#tests/support/openssl.ts';

const URI = 'spiffe://cluster.local/ns/shop/sa/till';

/** A request that the openssl command makes with a key of the given kind. */
function requestWith(
  key: { readonly privateKey: { export(options: object): string | Buffer } },
  ...more: readonly string[]
): string {
  const pem = key.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return openssl(['req', '-new', '-subj', '/O=x', ...more, '-key', { 'key.pem': pem }]).text;
}

function reasonOf(pem: string): string {
  const read = readSigningRequest(pem);
  return read.kind === 'refused' ? read.reason : 'accepted';
}

describe('readSigningRequest()', () => {
  it('answers the key of what node tunnels send', () => {
    const { csrPem, privateKeyPem } = newSigningRequest(URI);
    const read = readSigningRequest(csrPem);
    if (read.kind === 'refused') throw new Error(read.reason);
    expect(read.publicKey.equals(createPublicKey(privateKeyPem))).to.equal(true);
  });

  it('takes P-256, P-384 and RSA from 2048 bits, of any author', () => {
    for (const key of [
      generateKeyPairSync('ec', { namedCurve: 'P-256' }),
      generateKeyPairSync('ec', { namedCurve: 'P-384' }),
      generateKeyPairSync('rsa', { modulusLength: 2048 }),
    ]) {
      const read = readSigningRequest(requestWith(key, '-sha384'));
      if (read.kind === 'refused') throw new Error(read.reason);
      expect(read.publicKey.equals(key.publicKey)).to.equal(true);
    }
  });

  it('refuses keys that are weak or that no peer understands', () => {
    const weak = generateKeyPairSync('rsa', { modulusLength: 1024 });
    const other = generateKeyPairSync('ec', { namedCurve: 'secp256k1' });
    expect(reasonOf(requestWith(weak))).to.match(/^Its key is not accepted: want P-256/);
    expect(reasonOf(requestWith(other))).to.match(/^Its key is not accepted: want P-256/);
    const edwards = generateKeyPairSync('ed25519');
    expect(reasonOf(requestWith(edwards))).to.match(/^Signed with an unknown algorithm/);
  });

  it('refuses a signature with SHA-1', () => {
    const key = generateKeyPairSync('rsa', { modulusLength: 2048 });
    expect(reasonOf(requestWith(key, '-sha1'))).to.match(/^Signed with an unknown algorithm/);
  });

  it('refuses a request whose author does not have the key', () => {
    const pem = newSigningRequest(URI).csrPem;
    const other = newSigningRequest('spiffe://cluster.local/ns/shop/sa/cook').csrPem;
    const [der, otherDer] = [derOf(pem), derOf(other)];
    // Bytes before the signature are those of one, the signature is of the other.
    const signed = der.subarray(0, der.length - 60);
    const forged = Buffer.concat([signed, otherDer.subarray(otherDer.length - 60)]);
    expect(['Not signed with its own key', 'Not PKCS#10']).to.include(reasonOf(pemOf(forged)));
    const changed = Buffer.from(der);
    const at = changed.indexOf('till');
    changed.write('cook', at);
    expect(reasonOf(pemOf(changed))).to.equal('Not signed with its own key');
  });

  it('refuses what is no request, wherever it ends', () => {
    const der = derOf(newSigningRequest(URI).csrPem);
    for (let length = 0; length < der.length; length += 3) {
      expect(reasonOf(pemOf(der.subarray(0, length))), `${length} bytes`).not.to.equal('accepted');
    }
    expect(reasonOf('')).not.to.equal('accepted');
    expect(reasonOf('-----BEGIN CERTIFICATE REQUEST-----\n!\n')).not.to.equal('accepted');
  });

  it('refuses two requests in one, and one that is far too long', () => {
    const { csrPem } = newSigningRequest(URI);
    expect(reasonOf(csrPem + csrPem)).to.equal('Want one PEM block');
    expect(reasonOf(pemOf(Buffer.alloc(20_000, 0x30)))).to.equal('Longer than 16384 bytes');
  });
});

function derOf(pem: string): Buffer {
  return Buffer.from(pem.replaceAll(/-----.*-----|\n/g, ''), 'base64');
}

function pemOf(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE REQUEST-----\n${lines.join('\n')}\n-----END CERTIFICATE REQUEST-----\n`;
}
