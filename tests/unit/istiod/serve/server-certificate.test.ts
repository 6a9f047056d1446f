import { X509Certificate } from 'node:crypto';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import type { ServerCertificate } from '#common/grpc/server.ts';
import { newRoot } from '#istiod/ca/root.ts';
import { ServerCertificates, serverNames } from '#istiod/serve/server-certificate.ts';
import { ManualClock } from '#tests/support/manual-clock.ts';

const HOUR_MS = 3_600_000;

describe('serverNames()', () => {
  it('has the names of the services that lead here', () => {
    expect(serverNames('istio-system', 'default', [])).to.deep.equal([
      'istiod.istio-system.svc',
      'istiod-remote.istio-system.svc',
      'istio-pilot.istio-system.svc',
    ]);
    expect(serverNames('mesh', 'canary', ['istiod.example'])).to.deep.equal([
      'istiod.mesh.svc',
      'istiod-remote.mesh.svc',
      'istio-pilot.mesh.svc',
      'istiod-canary.mesh.svc',
      'istiod.example',
    ]);
  });
});

describe('ServerCertificates', () => {
  const clock = new ManualClock();
  const root = newRoot('cluster.local', clock.now());
  const names = serverNames('istio-system', 'default', []);

  it('makes a certificate for its names that the root has signed, with its chain', () => {
    using own = new ServerCertificates({ root, names, clock });
    const { chainPem } = own.issue();
    const leaf = new X509Certificate(chainPem);
    expect(leaf.checkHost('istiod.istio-system.svc')).to.equal('istiod.istio-system.svc');
    expect(leaf.checkHost('istiod.other.svc')).to.equal(undefined);
    expect(leaf.verify(root.publicKey)).to.equal(true);
    expect(chainPem.endsWith(root.certificatePem)).to.equal(true);
  });

  it('makes a new one halfway through the life of the last, again and again', async () => {
    const own = new ServerCertificates({ root, names, clock });
    const made: ServerCertificate[] = [];
    own.renew((certificate) => made.push(certificate));
    await clock.advance(12 * HOUR_MS - 1);
    expect(made).to.have.length(0);
    await clock.advance(1);
    expect(made).to.have.length(1);
    await clock.advance(24 * HOUR_MS);
    expect(made).to.have.length(3);
    const keys = new Set(made.map(({ privateKeyPem }) => privateKeyPem));
    expect(keys.size).to.equal(3);
    own[Symbol.dispose]();
    expect(clock.pending).to.equal(0);
  });
});
