import { once } from 'node:events';
import { connect, createServer, type TLSSocket } from 'node:tls';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import { readCertificates } from '#common/tls/certificate.ts';
import { selfSigned } from '#common/tls/self-signed.ts';
import { openssl } from '#tests/support/openssl.ts';

const URIS = ['spiffe://cluster.local/ns/a/sa/b', 'spiffe://cluster.local/ns/a/sa/c'];

describe('selfSigned()', () => {
  // Made when the file is read; its tests may run much later.
  const notAfterMs = Date.now() + 86_400_000;
  const { certificatePem, privateKeyPem } = selfSigned({ uris: URIS, notAfterMs });

  it('is a root and an end of a connection in both roles, for OpenSSL at its strictest', () => {
    for (const purpose of ['sslserver', 'sslclient']) {
      const file = { 'self.pem': certificatePem };
      const verdict = openssl([
        'verify',
        '-x509_strict',
        '-check_ss_sig',
        '-purpose',
        purpose,
        '-CAfile',
        file,
        file,
      ]);
      expect(verdict.ok, verdict.text).to.equal(true);
    }
  });

  it('carries its names in order and ends when it should', () => {
    const read = readCertificates(certificatePem);
    expect(read.kind).to.equal('certificates');
    if (read.kind !== 'certificates') return;
    expect(read.certificates[0]?.uris).to.deep.equal(URIS);
    expect(read.certificates[0]?.notAfterMs).to.equal(Math.floor(notAfterMs / 1000) * 1000);
  });

  it('is accepted by both ends of a TLS 1.3 handshake that trust nothing else', async () => {
    const material = { cert: certificatePem, key: privateKeyPem, ca: certificatePem };
    const server = createServer({ ...material, minVersion: 'TLSv1.3', requestCert: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('Want a port');
    const accepted = once(server, 'secureConnection') as Promise<[TLSSocket]>;
    const client = connect({
      ...material,
      host: '127.0.0.1',
      port: address.port,
      checkServerIdentity: () => undefined,
    });
    try {
      await once(client, 'secureConnect');
      const [socket] = await accepted;
      expect(client.authorized).to.equal(true);
      expect(socket.authorized).to.equal(true);
      socket.destroy();
    } finally {
      client.destroy();
      server.close();
    }
  });

  it('ends after 2049 too, where the form of a time changes', () => {
    const late = selfSigned({ uris: URIS, notAfterMs: Date.UTC(2061, 4, 6, 7, 8, 9) });
    const verdict = openssl([
      'x509',
      '-noout',
      '-enddate',
      '-in',
      { 'a.pem': late.certificatePem },
    ]);
    expect(verdict.text).to.include('May  6 07:08:09 2061 GMT');
  });
});
