import { randomBytes } from 'node:crypto';

import forge from 'node-forge';

const { asn1 } = forge;

/** A piece of a DER document; only {@link encode} looks inside. */
export type Der = forge.asn1.Asn1;

const UNIVERSAL = asn1.Class.UNIVERSAL;
// Context-specific tags are plain numbers, which forge's types do not know.
const create: (tagClass: number, tag: number, constructed: boolean, value: string | Der[]) => Der =
  asn1.create;

export function sequence(...children: readonly Der[]): Der {
  return create(UNIVERSAL, asn1.Type.SEQUENCE, true, [...children]);
}

export function set(...children: readonly Der[]): Der {
  return create(UNIVERSAL, asn1.Type.SET, true, [...children]);
}

export function objectIdentifier(dotted: string): Der {
  return create(UNIVERSAL, asn1.Type.OID, false, asn1.oidToDer(dotted).getBytes());
}

/** A non-negative integer, given as its bytes, most significant first. */
export function integer(bytes: Uint8Array): Der {
  const first = bytes.findIndex((byte) => byte !== 0);
  const digits = first < 0 ? Uint8Array.of(0) : bytes.subarray(first);
  // The top bit is the sign: a zero octet keeps the number positive.
  const positive = (digits[0] ?? 0) >= 0x80 ? Buffer.concat([Uint8Array.of(0), digits]) : digits;
  return create(UNIVERSAL, asn1.Type.INTEGER, false, binary(positive));
}

export function boolean(value: boolean): Der {
  return create(UNIVERSAL, asn1.Type.BOOLEAN, false, value ? '\xff' : '\x00');
}

export function octetString(content: Uint8Array): Der {
  return create(UNIVERSAL, asn1.Type.OCTETSTRING, false, binary(content));
}

/** A bit string; the last `unused` bits of its last byte don't count. */
export function bitString(content: Uint8Array, unused = 0): Der {
  const body = String.fromCharCode(unused) + binary(content);
  return create(UNIVERSAL, asn1.Type.BITSTRING, false, body);
}

export function utf8String(text: string): Der {
  return create(UNIVERSAL, asn1.Type.UTF8, false, binary(Buffer.from(text, 'utf8')));
}

/** RFC 5280 section 4.1.2.5: UTCTime until the end of 2049, GeneralizedTime from then on. */
export function time(ms: number): Der {
  const date = new Date(ms);
  return date.getUTCFullYear() < 2050
    ? create(UNIVERSAL, asn1.Type.UTCTIME, false, asn1.dateToUtcTime(date))
    : create(UNIVERSAL, asn1.Type.GENERALIZEDTIME, false, asn1.dateToGeneralizedTime(date));
}

/** [number] around whole elements. */
export function explicit(number: number, ...children: readonly Der[]): Der {
  return create(asn1.Class.CONTEXT_SPECIFIC, number, true, [...children]);
}

/** [number] in place of the tag of a primitive element. */
export function implicit(number: number, content: Uint8Array): Der {
  return create(asn1.Class.CONTEXT_SPECIFIC, number, false, binary(content));
}

/** An element that already is DER, such as the public key that node:crypto exports. */
export function encoded(der: Uint8Array): Der {
  return asn1.fromDer(binary(der));
}

export function encode(der: Der): Uint8Array {
  return new Uint8Array(Buffer.from(asn1.toDer(der).getBytes(), 'latin1'));
}

/** A serial number nobody can guess or repeat: 127 random bits, positive (RFC 5280 section 4.1.2.2). */
export function randomSerial(): Uint8Array {
  const bytes = new Uint8Array(randomBytes(16));
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes;
}

// forge's byte strings: one character per byte.
function binary(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}
