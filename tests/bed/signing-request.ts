import { createPublicKey, type KeyObject, verify } from 'node:crypto';

import {
  contentOf,
  type DerElement,
  DerTag,
  readChildren,
  readElement,
} from '#common/tls/der-reader.ts';
import { readPem } from '#common/tls/pem.ts';

export interface SigningRequestRead {
  readonly publicKey: KeyObject;
  /** The first URI that is asked for. */
  readonly uri: string | undefined;
}

/**
 * Reads a PKCS#10 request (RFC 2986) and checks that whoever wrote it has the key.
 *
 * @throws Error when it is not one or the signature is wrong.
 */
export function readSigningRequest(pem: string): SigningRequestRead {
  const read = readPem(pem, 'CERTIFICATE REQUEST');
  const der = read.kind === 'blocks' ? read.blocks[0] : undefined;
  if (der === undefined) throw new Error('Cannot read signing request: want one PEM block');
  const whole = readElement(der, 0, der.length);
  const [information, , signature] = children(der, whole);
  const [, , key] = children(der, information);
  if (information === undefined || key === undefined || signature === undefined)
    throw new Error('Cannot read signing request: want PKCS#10');
  const publicKey = createPublicKey({
    key: Buffer.from(der.subarray(key.first, key.end)),
    format: 'der',
    type: 'spki',
  });
  const signed = der.subarray(information.first, information.end);
  // The first content byte of a BIT STRING counts the unused bits.
  if (!verify('sha256', signed, publicKey, contentOf(der, signature).subarray(1)))
    throw new Error('The signing request is not signed with its key');
  return { publicKey, uri: firstUri(der, information) };
}

// GeneralName [6], wherever it is: this reader serves tests, which write plain requests.
function firstUri(der: Uint8Array, element: DerElement): string | undefined {
  if (element.tag === 0x86) return Buffer.from(contentOf(der, element)).toString('latin1');
  const inside = element.tag === DerTag.octetString || (element.tag & 0x20) !== 0;
  if (!inside) return undefined;
  for (const child of children(der, element)) {
    const uri = firstUri(der, child);
    if (uri !== undefined) return uri;
  }
  return undefined;
}

function children(der: Uint8Array, element: DerElement | undefined): readonly DerElement[] {
  return (element && readChildren(der, element, 64)) ?? [];
}
