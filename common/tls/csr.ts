import { generateKeyPairSync } from 'node:crypto';

import { encoded, explicit, integer, objectIdentifier, sequence, set } from './der-writer.ts';
import { writePem } from './pem.ts';
import { signed, spki, subjectAltNameExtension } from './x509-writer.ts';

export interface SigningRequest {
  /** PKCS#10, PEM. */
  readonly csrPem: string;
  /** PKCS#8, PEM. Never logged, never dumped. */
  readonly privateKeyPem: string;
}

/** PKCS #9 extensionRequest, RFC 2985 section 5.4.2. */
const EXTENSION_REQUEST = '1.2.840.113549.1.9.14';

/**
 * Makes a new ECDSA P-256 key and a signing request for it (RFC 2986): no subject, one critical
 * subjectAltName with one URI, signed with SHA-256. A key is never used for a second request.
 *
 * @throws Error when the URI is empty or not printable ASCII.
 */
export function newSigningRequest(uri: string): SigningRequest {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const names = subjectAltNameExtension({ uris: [uri] }, true);
  const information = sequence(
    integer(Uint8Array.of(0)),
    sequence(),
    encoded(spki(publicKey)),
    explicit(0, sequence(objectIdentifier(EXTENSION_REQUEST), set(sequence(names)))),
  );
  return {
    csrPem: writePem('CERTIFICATE REQUEST', signed(information, privateKey)),
    privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }),
  };
}
