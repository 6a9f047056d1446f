import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto';

import { expect } from 'chai';
import { describe, it } from 'mocha';

import { newTokenKey } from '#playground/api-server/certificates.ts';
import { ServiceAccountTokens, type TokenRequest } from '#playground/api-server/tokens.ts';

const issuer = 'https://kubernetes.default.svc.cluster.local';
const nowMs = Date.UTC(2026, 0, 1);
const request: TokenRequest = {
  namespace: 'shop',
  serviceAccount: { name: 'till', uid: 'account-uid' },
  audiences: ['istio-ca'],
  lifeSeconds: 3600,
  pod: { name: 'till-1', uid: 'pod-uid' },
  node: { name: 'node-1', uid: 'node-uid' },
};

const rsaKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({
  type: 'pkcs8',
  format: 'pem',
});
const makers = {
  ES256: () => new ServiceAccountTokens({ signingKeyPem: newTokenKey(), issuer }),
  RS256: () => new ServiceAccountTokens({ signingKeyPem: rsaKey, issuer }),
};

function payloadOf(token: string): Record<string, unknown> {
  const part = token.split('.')[1] ?? '';
  return JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>;
}

/** The same token with other claims and the old signature. */
function withClaims(token: string, claims: Record<string, unknown>): string {
  const [header, , signature] = token.split('.');
  const payload = JSON.stringify({ ...payloadOf(token), ...claims });
  return [header, Buffer.from(payload).toString('base64url'), signature].join('.');
}

for (const [algorithm, make] of Object.entries(makers)) {
  describe(`ServiceAccountTokens with ${algorithm}`, () => {
    const tokens = make();
    const { token, expiresMs } = tokens.issue(request, nowMs);

    it('issue() says who, where and until when', () => {
      expect(expiresMs).to.equal(nowMs + 3_600_000);
      expect(payloadOf(token)).to.deep.include({
        iss: issuer,
        sub: 'system:serviceaccount:shop:till',
        aud: ['istio-ca'],
        exp: expiresMs / 1000,
        'kubernetes.io': {
          namespace: 'shop',
          serviceaccount: { name: 'till', uid: 'account-uid' },
          pod: { name: 'till-1', uid: 'pod-uid' },
          node: { name: 'node-1', uid: 'node-uid' },
        },
      });
    });

    it('verify() reads what issue() wrote', () => {
      const verified = tokens.verify(token, nowMs);
      expect(verified.kind).to.equal('claims');
      if (verified.kind !== 'claims') return;
      const { id, ...claims } = verified.claims;
      expect(id).to.be.a('string');
      expect(claims).to.deep.equal({
        namespace: 'shop',
        serviceAccount: request.serviceAccount,
        audiences: ['istio-ca'],
        expiresMs,
        pod: request.pod,
        secret: undefined,
        node: request.node,
      });
    });

    it('verify() refuses when it has expired', () => {
      expect(tokens.verify(token, expiresMs)).to.deep.equal({
        kind: 'refused',
        reason: 'service account token has expired',
      });
    });

    it('verify() refuses when a claim was changed', () => {
      const forged = withClaims(token, { sub: 'system:serviceaccount:shop:admin' });
      expect(tokens.verify(forged, nowMs)).to.include({ reason: 'invalid signature' });
    });

    it('verify() refuses the token of another key', () => {
      const other = algorithm === 'RS256' ? makers.ES256() : make();
      expect(tokens.verify(other.issue(request, nowMs).token, nowMs).kind).to.equal('refused');
    });

    it('verify() refuses a token without a signature, whatever its header says', () => {
      const header = Buffer.from(JSON.stringify({ alg: 'none' })).toString('base64url');
      const unsigned = `${header}.${token.split('.')[1] ?? ''}.`;
      expect(tokens.verify(unsigned, nowMs).kind).to.equal('refused');
    });

    for (const wrong of ['', 'a', 'a.b', 'a.b.c', 'a.b.c.d', '..', `${'x'.repeat(20_000)}.b.c`]) {
      it(`verify() refuses ${JSON.stringify(wrong.slice(0, 10))}`, () => {
        expect(tokens.verify(wrong, nowMs).kind).to.equal('refused');
      });
    }

    it('keySet() has the key that verifies', () => {
      const [key] = tokens.keySet()['keys'] as Record<string, string>[];
      const publicKey = createPublicKey({ key: key ?? {}, format: 'jwk' });
      const [header, payload, signature = ''] = token.split('.');
      const encoding = algorithm === 'ES256' ? ({ dsaEncoding: 'ieee-p1363' } as const) : {};
      const content = Buffer.from(`${header}.${payload}`);
      const bytes = Buffer.from(signature, 'base64url');
      expect(verify('sha256', content, { key: publicKey, ...encoding }, bytes)).to.equal(true);
      expect(key).to.include({ alg: algorithm, use: 'sig' });
    });
  });
}

describe('ServiceAccountTokens', () => {
  it('throws for a key that is neither RSA nor P-256', () => {
    const { privateKey } = generateKeyPairSync('ed25519');
    const signingKeyPem = privateKey.export({ type: 'pkcs8', format: 'pem' });
    expect(() => new ServiceAccountTokens({ signingKeyPem, issuer })).to.throw(
      'want RSA or ECDSA P-256',
    );
  });
});
