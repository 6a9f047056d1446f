import { generateKeyPairSync } from 'node:crypto';

import { writeCertificate } from './x509-writer.ts';

export interface SelfSignedOptions {
  /** The URI names, at least one. */
  readonly uris: readonly string[];
  readonly notAfterMs: number;
  /** Default: one minute ago, for clocks that are a little behind. */
  readonly notBeforeMs?: number;
}

export interface SelfSigned {
  readonly certificatePem: string;
  /** PKCS#8, PEM. */
  readonly privateKeyPem: string;
}

const CLOCK_SKEW_MS = 60_000;

/**
 * A certificate that signs itself, with a new key: good as leaf (client and server) and as its own
 * root. For checking that this process can do TLS at all, and for tests. Nobody else trusts it.
 */
export function selfSigned(options: SelfSignedOptions): SelfSigned {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const certificatePem = writeCertificate({
    issuer: 'self-signed',
    subject: 'self-signed',
    names: { uris: options.uris },
    notBeforeMs: options.notBeforeMs ?? Date.now() - CLOCK_SKEW_MS,
    notAfterMs: options.notAfterMs,
    publicKey,
    issuerPrivateKey: privateKey,
    issuerPublicKey: publicKey,
    authority: true,
    endpoint: true,
  });
  return {
    certificatePem,
    privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }),
  };
}
