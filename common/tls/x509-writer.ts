import { createHash, type KeyObject, sign } from 'node:crypto';

import {
  bitString,
  boolean,
  type Der,
  encode,
  encoded,
  explicit,
  implicit,
  integer,
  objectIdentifier,
  octetString,
  randomSerial,
  sequence,
  set,
  time,
  utf8String,
} from './der-writer.ts';
import { writePem } from './pem.ts';

const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2';
const ORGANIZATION = '2.5.4.10';
const COMMON_NAME = '2.5.4.3';
const USAGE = {
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const;

/** The names of a certificate or of a request for one. */
export interface Names {
  readonly uris?: readonly string[];
  readonly dns?: readonly string[];
  /** 4 or 16 bytes each. */
  readonly addresses?: readonly Uint8Array[];
}

/** The two attributes of a name that anybody reads; a common name is a user, organizations are groups. */
export interface DistinguishedName {
  readonly organizations?: readonly string[];
  readonly commonName?: string;
}

export interface CertificateFields {
  /** The issuer's name, a text for only an organization; must be the issuer's `subject`. */
  readonly issuer: string | DistinguishedName;
  /** The subject's name, a text for only an organization. Undefined: no subject, the certificate is about its names. */
  readonly subject: string | DistinguishedName | undefined;
  readonly names?: Names;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly publicKey: KeyObject;
  readonly issuerPrivateKey: KeyObject;
  readonly issuerPublicKey: KeyObject;
  /** May sign other certificates. */
  readonly authority: boolean;
  /** May prove itself in a handshake, as client and as server. */
  readonly endpoint: boolean;
}

/** Writes and signs an X.509 version 3 certificate (RFC 5280). The issuer's key is ECDSA P-256. */
export function writeCertificate(fields: CertificateFields): string {
  const toBeSigned = sequence(
    explicit(0, integer(Uint8Array.of(2))),
    integer(randomSerial()),
    sequence(objectIdentifier(ECDSA_WITH_SHA256)),
    name(fields.issuer),
    sequence(time(fields.notBeforeMs), time(fields.notAfterMs)),
    name(fields.subject),
    encoded(spki(fields.publicKey)),
    explicit(3, sequence(...certificateExtensions(fields))),
  );
  return writePem('CERTIFICATE', signed(toBeSigned, fields.issuerPrivateKey));
}

/** Signs with ECDSA and SHA-256 and puts content, algorithm and signature together. */
export function signed(content: Der, privateKey: KeyObject): Uint8Array {
  const signature = sign('sha256', encode(content), privateKey);
  return encode(
    sequence(content, sequence(objectIdentifier(ECDSA_WITH_SHA256)), bitString(signature)),
  );
}

/** The SubjectPublicKeyInfo of a key, DER. */
export function spki(publicKey: KeyObject): Uint8Array {
  return publicKey.export({ type: 'spki', format: 'der' });
}

/** The subjectAltName extension (RFC 5280 section 4.2.1.6). */
export function subjectAltNameExtension(names: Names, critical: boolean): Der {
  const list = [
    ...(names.uris ?? []).map((uri) => implicit(6, asciiBytes(uri))),
    ...(names.dns ?? []).map((dns) => implicit(2, asciiBytes(dns))),
    ...(names.addresses ?? []).map((address) => implicit(7, address)),
  ];
  return extension('2.5.29.17', critical, sequence(...list));
}

function certificateExtensions(fields: CertificateFields): readonly Der[] {
  const list = [
    extension('2.5.29.19', true, sequence(...(fields.authority ? [boolean(true)] : []))),
    extension('2.5.29.15', true, keyUsage(fields)),
    extension('2.5.29.14', false, octetString(keyIdentifier(fields.publicKey))),
    extension('2.5.29.35', false, sequence(implicit(0, keyIdentifier(fields.issuerPublicKey)))),
  ];
  if (fields.endpoint) {
    const usages = Object.values(USAGE).map(objectIdentifier);
    list.push(extension('2.5.29.37', false, sequence(...usages)));
  }
  // RFC 5280 section 4.2.1.6: critical exactly when there is no subject.
  if (fields.names !== undefined)
    list.push(subjectAltNameExtension(fields.names, fields.subject === undefined));
  return list;
}

// KeyUsage ::= BIT STRING: digitalSignature is bit 0; keyCertSign and cRLSign are bits 5 and 6.
function keyUsage(fields: CertificateFields): Der {
  const bits = (fields.endpoint ? 0x80 : 0) | (fields.authority ? 0x06 : 0);
  return bitString(Uint8Array.of(bits), fields.authority ? 1 : 7);
}

function extension(id: string, critical: boolean, value: Der): Der {
  return sequence(
    objectIdentifier(id),
    ...(critical ? [boolean(true)] : []),
    octetString(encode(value)),
  );
}

/** RFC 7093 section 2, method 1: the first 160 bits of the SHA-256 of the key. */
function keyIdentifier(publicKey: KeyObject): Uint8Array {
  return createHash('sha256').update(spki(publicKey)).digest().subarray(0, 20);
}

function name(given: string | DistinguishedName | undefined): Der {
  if (given === undefined) return sequence();
  const { organizations = [], commonName } =
    typeof given === 'string' ? { organizations: [given] } : given;
  return sequence(
    ...organizations.map((organization) => nameAttribute(ORGANIZATION, organization)),
    ...(commonName === undefined ? [] : [nameAttribute(COMMON_NAME, commonName)]),
  );
}

function nameAttribute(id: string, text: string): Der {
  return set(sequence(objectIdentifier(id), utf8String(text)));
}

function asciiBytes(text: string): Uint8Array {
  if (!/^[\x21-\x7e]+$/.test(text))
    throw new Error(`Cannot write the name ${JSON.stringify(text)}: want printable ASCII`);
  return Buffer.from(text, 'latin1');
}
