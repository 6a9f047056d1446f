import { generateKeyPairSync } from 'node:crypto';

import { expect } from 'chai';
import { after, describe, it } from 'mocha';

import { TlsContext, type TlsMaterial } from '#reactor/tls/context.ts';
import { TestAuthority } from '#tests/support/tls-material.ts';

describe('TlsContext', () => {
  const authority = new TestAuthority();
  const material = authority.issue();
  const other = authority.issue();
  after(() => authority.dispose());

  it('takes a leaf, its key and roots, and is freed more than once without harm', () => {
    const context = new TlsContext(material);
    context.free();
    context.free();
    expect(() => context.pointer).to.throw('before it is freed');
  });

  it('takes several certificates in one text', () => {
    const chainPem = [`${material.chainPem[0]}${authority.rootPem}`];
    const rootsPem = authority.rootPem + new TestAuthority('Second').rootPem;
    new TlsContext({ ...material, chainPem, rootsPem }).free();
  });

  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const encrypted = privateKey.export({
    type: 'pkcs8',
    format: 'pem',
    cipher: 'aes-256-cbc',
    passphrase: 'secret',
  });
  const small = generateKeyPairSync('rsa', { modulusLength: 1_024 }).privateKey.export({
    type: 'pkcs8',
    format: 'pem',
  });
  const problems: readonly (readonly [string, Partial<TlsMaterial>, RegExp])[] = [
    ['no certificate', { chainPem: [] }, /certificate 1 of the certificate chain .*want PEM/],
    ['a chain that is no PEM', { chainPem: ['x'] }, /certificate 1 of the certificate chain/],
    [
      'an intermediate certificate that is broken',
      { chainPem: [...material.chainPem, material.chainPem[0]!.replace('MII', 'AAA')] },
      /certificate 2 of the certificate chain/,
    ],
    ['a key that is no PEM', { privateKeyPem: 'x' }, /private key .*want PKCS#8/],
    ['a key with a password', { privateKeyPem: encrypted }, /private key .*want PKCS#8/],
    [
      'the key of another certificate',
      { privateKeyPem: other.privateKeyPem },
      /private key .*want that of the first certificate/,
    ],
    [
      'the key of another kind',
      { privateKeyPem: small },
      /private key .*want that of the first certificate/,
    ],
    ['no roots', { rootsPem: '' }, /certificate 1 of the roots/],
    ['roots that are no PEM', { rootsPem: 'none' }, /certificate 1 of the roots/],
  ];
  for (const [what, change, message] of problems) {
    it(`refuses ${what}, and says nothing of the key`, () => {
      const given = { ...material, ...change };
      let said = '';
      try {
        new TlsContext(given).free();
      } catch (error) {
        said = String(error);
      }
      expect(said).to.match(message);
      for (const line of given.privateKeyPem.split('\n')) {
        if (line.length > 10) expect(said).to.not.include(line);
      }
    });
  }

  it('refuses limits that would use a key for too long', () => {
    for (const recordsPerKeyMax of [0, 1, 2 ** 24 + 1, Number.NaN]) {
      expect(() => new TlsContext(material, { recordsPerKeyMax })).to.throw('records per key');
    }
  });
});
