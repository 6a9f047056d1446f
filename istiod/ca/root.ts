import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';

import { readCertificates } from '#common/tls/certificate.ts';
import { writeCertificate } from '#common/tls/x509-writer.ts';

/** What signs all certificates of the mesh. */
export interface CertificateRoot {
  readonly certificatePem: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  /** The organization in its subject: what it issues names it as issuer. */
  readonly organization: string;
  readonly notAfterMs: number;
}

export type RootRead =
  | { readonly kind: 'root'; readonly root: CertificateRoot }
  | { readonly kind: 'refused'; readonly reason: string };

const ROOT_LIFE_MS = 10 * 365 * 24 * 3_600_000;
// The clocks of a cluster differ; a root is also older than anything it signs.
const ROOT_SKEW_MS = 3_600_000;

/** A new root with a new key. */
export function newRoot(organization: string, nowMs: number): CertificateRoot {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const notAfterMs = nowMs + ROOT_LIFE_MS;
  const certificatePem = writeCertificate({
    issuer: organization,
    subject: organization,
    notBeforeMs: nowMs - ROOT_SKEW_MS,
    notAfterMs,
    publicKey,
    issuerPrivateKey: privateKey,
    issuerPublicKey: publicKey,
    authority: true,
    endpoint: false,
  });
  return { certificatePem, privateKey, publicKey, organization, notAfterMs };
}

/** PKCS#8, PEM. Never logged. */
export function privateKeyPem(root: CertificateRoot): string {
  return root.privateKey.export({ type: 'pkcs8', format: 'pem' });
}

/** Reads a root back, and refuses one that could sign nothing that others accept. */
export function readRoot(certificatePem: string, keyPem: string, nowMs: number): RootRead {
  const read = readCertificates(certificatePem);
  if (read.kind === 'refused') return read;
  const [certificate, ...more] = read.certificates;
  if (certificate === undefined || more.length > 0) return refused('want one certificate');
  const { x509, notAfterMs } = certificate;
  if (!x509.ca) return refused('the certificate may not sign others');
  if (notAfterMs <= nowMs)
    return refused(`the certificate has expired on ${new Date(notAfterMs).toISOString()}`);
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey(keyPem);
  } catch {
    return refused('the key cannot be read');
  }
  if (privateKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1')
    return refused('the key is not accepted: want ECDSA P-256');
  if (!x509.checkPrivateKey(privateKey))
    return refused('key and certificate do not belong together');
  const organization = /^O=(.+)$/.exec(x509.subject)?.[1];
  if (organization === undefined || x509.subject !== x509.issuer)
    return refused('want a self-signed certificate whose subject is one organization');
  const publicKey = createPublicKey(privateKey);
  return {
    kind: 'root',
    root: { certificatePem: certificate.pem, privateKey, publicKey, organization, notAfterMs },
  };
}

function refused(reason: string): RootRead {
  return { kind: 'refused', reason };
}
