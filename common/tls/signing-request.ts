import { createPublicKey, type KeyObject, verify } from 'node:crypto';

import { contentOf, type DerElement, readChildren, readElement } from './der-reader.ts';
import { readPem } from './pem.ts';

export type SigningRequestRead =
  | { readonly kind: 'request'; readonly publicKey: KeyObject }
  | { readonly kind: 'refused'; readonly reason: string };

// A request is a key, a name and a few attributes: with an RSA 4096 key about 1 KB.
const REQUEST_BYTES_MAX = 16_384;
const PARTS_MAX = 32;
const RSA_BITS_MIN = 2_048;
const RSA_BITS_MAX = 8_192;
const CURVES: readonly string[] = ['prime256v1', 'secp384r1'];

/** Signature algorithms (RFC 5758, RFC 8017), as the hexadecimal content of their identifiers → digest. */
const DIGESTS: ReadonlyMap<string, string> = new Map([
  ['2a8648ce3d040302', 'sha256'],
  ['2a8648ce3d040303', 'sha384'],
  ['2a8648ce3d040304', 'sha512'],
  ['2a864886f70d01010b', 'sha256'],
  ['2a864886f70d01010c', 'sha384'],
  ['2a864886f70d01010d', 'sha512'],
]);

/**
 * Reads a PKCS#10 request (RFC 2986) from PEM and checks that whoever wrote it has the key. Only the key
 * is answered: who may have a certificate, and for which name, is not for the request to say.
 */
export function readSigningRequest(pem: string): SigningRequestRead {
  const read = readPem(pem, 'CERTIFICATE REQUEST');
  if (read.kind === 'refused') return read;
  const [der, ...more] = read.blocks;
  if (der === undefined || more.length > 0) return refused('Want one PEM block');
  if (der.length > REQUEST_BYTES_MAX) return refused(`Longer than ${REQUEST_BYTES_MAX} bytes`);
  const whole = readElement(der, 0, der.length);
  if (whole?.end !== der.length) return refused('Not PKCS#10');
  const [information, algorithm, signature] = children(der, whole);
  const [, , key] = children(der, information);
  const [identifier] = children(der, algorithm);
  if (!information || !signature || !key || !identifier) return refused('Not PKCS#10');
  const digest = DIGESTS.get(Buffer.from(contentOf(der, identifier)).toString('hex'));
  if (digest === undefined) {
    return refused('Signed with an unknown algorithm: want ECDSA or RSA with SHA-2');
  }
  const publicKey = readKey(der.subarray(key.first, key.end));
  if (typeof publicKey === 'string') return refused(publicKey);
  const signed = der.subarray(information.first, information.end);
  // The first content byte of a BIT STRING counts the unused bits.
  const bits = contentOf(der, signature).subarray(1);
  if (!isSigned(digest, signed, publicKey, bits)) return refused('Not signed with its own key');
  return { kind: 'request', publicKey };
}

function readKey(spki: Uint8Array): KeyObject | string {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
  } catch {
    return 'Its key cannot be read';
  }
  const { namedCurve = '', modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
  const good =
    (key.asymmetricKeyType === 'ec' && CURVES.includes(namedCurve)) ||
    (key.asymmetricKeyType === 'rsa' &&
      modulusLength >= RSA_BITS_MIN &&
      modulusLength <= RSA_BITS_MAX);
  return good ? key : `Its key is not accepted: want P-256, P-384 or RSA from ${RSA_BITS_MIN} bits`;
}

function isSigned(
  digest: string,
  data: Uint8Array,
  key: KeyObject,
  signature: Uint8Array,
): boolean {
  try {
    return verify(digest, data, key, signature);
  } catch {
    // A signature whose form does not even fit the key.
    return false;
  }
}

function children(der: Uint8Array, element: DerElement | undefined): readonly DerElement[] {
  return (element && readChildren(der, element, PARTS_MAX)) ?? [];
}

function refused(reason: string): SigningRequestRead {
  return { kind: 'refused', reason };
}
