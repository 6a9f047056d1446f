import { type DerElement, DerTag, readChildren, readElement } from '#common/tls/der-reader.ts';
import { readSubjectAltNames } from '#common/tls/subject-alt-names.ts';

/** What the mesh needs to know of a certificate whose chain has been verified. */
export interface PeerCertificate {
  /** URI subject alternative names from the DER, in its order. */
  readonly uris: readonly string[];
  /** DNS subject alternative names, likewise. */
  readonly dns: readonly string[];
  /** The serial number, upper-case hex without leading zeros. */
  readonly serialHex: string;
  /** Milliseconds since 1970, UTC. */
  readonly notAfterMs: number;
}

export type PeerCertificateResult =
  | { readonly kind: 'certificate'; readonly certificate: PeerCertificate }
  | { readonly kind: 'refused'; readonly message: string };

const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;
/** `[0] EXPLICIT`, tbsCertificate's version. */
const VERSION = 0xa0;
const FIELDS_MAX = 16;
// Places in tbsCertificate without its version: serial, signature, issuer, validity.
const SERIAL = 0;
const VALIDITY = 3;

/**
 * Reads a certificate in DER. One whose names could be read in two ways is refused as a whole, see
 * {@link readSubjectAltNames}.
 */
export function readPeerCertificate(der: Buffer): PeerCertificateResult {
  const names = readSubjectAltNames(der);
  if (names.kind === 'refused') return refused(names.reason);
  const fields = readFields(der);
  const serial = fields?.[SERIAL];
  const validity = fields?.[VALIDITY];
  if (serial?.tag !== DerTag.integer || validity?.tag !== DerTag.sequence) {
    return refused('Cannot read serial number and validity: want DER (RFC 5280)');
  }
  const notAfter = readChildren(der, validity, 2)?.[1];
  const notAfterMs = notAfter === undefined ? undefined : readTime(der, notAfter);
  if (notAfterMs === undefined) return refused('Cannot read notAfter: want seconds, in UTC');
  const { uris, dns } = names;
  const digits = der.toString('hex', serial.start, serial.end).toUpperCase();
  const serialHex = digits.replace(/^0+(?=.)/, '');
  return { kind: 'certificate', certificate: { uris, dns, serialHex, notAfterMs } };
}

/** The fields of tbsCertificate, without its version. */
function readFields(der: Buffer): readonly DerElement[] | undefined {
  const certificate = readElement(der, 0, der.length);
  if (certificate?.tag !== DerTag.sequence) return undefined;
  const signed = readElement(der, certificate.start, certificate.end);
  if (signed?.tag !== DerTag.sequence) return undefined;
  const fields = readChildren(der, signed, FIELDS_MAX);
  return fields?.[0]?.tag === VERSION ? fields.slice(1) : fields;
}

/** UTCTime or GeneralizedTime as RFC 5280 section 4.1.2.5 wants them: with seconds, in Z. */
function readTime(der: Buffer, value: DerElement): number | undefined {
  const text = der.toString('latin1', value.start, value.end);
  if (value.tag === UTC_TIME && /^\d{12}Z$/.test(text)) {
    // Two digits of a year mean 1950 to 2049.
    return parseTime(`${Number(text.slice(0, 2)) < 50 ? '20' : '19'}${text}`);
  }
  return value.tag === GENERALIZED_TIME && /^\d{14}Z$/.test(text) ? parseTime(text) : undefined;
}

/** `20300102030405Z` */
function parseTime(text: string): number | undefined {
  const parts = /^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/.exec(text);
  if (parts === null) return undefined;
  const [, year, month, day, hour, minute, second] = parts;
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(ms) ? undefined : ms;
}

function refused(reason: string): PeerCertificateResult {
  return { kind: 'refused', message: `The peer's certificate is refused: ${reason}` };
}
