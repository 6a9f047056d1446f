import { createPrivateKey, X509Certificate } from 'node:crypto';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import { systemClock } from '#common/clock.ts';
import { type Identity, parseIdentity } from '#common/tls/spiffe.ts';
import { CaClient } from '#dataplane/identity/ca-client.ts';
import { type CertificateChange, CertificateManager } from '#dataplane/identity/certificates.ts';
import { startCertificateAuthority } from '#tests/bed/certificate-authority.ts';

const TILL = parseIdentity('spiffe://cluster.local/ns/shop/sa/till') as Identity;

describe('a certificate that lives for 3 seconds', () => {
  it('is replaced before it ends, with another key', async () => {
    const authority = await startCertificateAuthority({ listen: '127.0.0.1:0', ttlSeconds: 3 });
    const client = new CaClient({
      address: authority.address,
      root: { kind: 'inline', text: authority.rootPem },
      token: { kind: 'inline', text: 'token' },
      clusterId: 'Kubernetes',
      certificateTtlMs: 3_000,
    });
    const seen: CertificateChange[] = [];
    const times: number[] = [];
    let manager: CertificateManager | undefined;
    await new Promise<void>((resolve) => {
      // The manager's timers do not keep a process alive.
      const alive = setInterval(() => undefined, 1_000);
      manager = new CertificateManager({
        signer: client,
        clock: systemClock,
        random: Math.random,
        onChange: (_, change) => {
          seen.push(change);
          times.push(Date.now());
          if (seen.length < 3) return;
          clearInterval(alive);
          resolve();
        },
      });
      manager.want(TILL, 'real-time');
    });
    manager?.[Symbol.dispose]();
    client[Symbol.dispose]();
    await authority[Symbol.asyncDispose]();
    const keys = new Set<string>();
    for (const [i, change] of seen.entries()) {
      if (change.kind !== 'available') throw new Error(`Want a certificate, got ${change.kind}`);
      const { chainPem, privateKeyPem, notAfterMs } = change.material;
      expect(times[i + 1] ?? 0).to.be.below(notAfterMs);
      const leaf = new X509Certificate(chainPem[0]!);
      expect(leaf.checkPrivateKey(createPrivateKey(privateKeyPem))).to.equal(true);
      keys.add(privateKeyPem);
    }
    expect(keys.size).to.equal(3);
  });
});
