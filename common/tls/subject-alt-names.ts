import { contentOf, type DerElement, DerTag, readChildren, readElement } from './der-reader.ts';

/** What a certificate says about whose it is. */
export type SubjectAltNames =
  | {
      readonly kind: 'names';
      /** The uniformResourceIdentifier names, in the order of the certificate. */
      readonly uris: readonly string[];
      /** The dNSName names, in the order of the certificate. */
      readonly dns: readonly string[];
    }
  | { readonly kind: 'refused'; readonly reason: string };

/** Honest certificates of a mesh have one name, those of gateways a few dozen. */
export const NAMES_MAX = 1024;
// A certificate has at most ten fields and in practice fewer than fifteen extensions.
const FIELDS_MAX = 16;
const EXTENSIONS_MAX = 64;

const EXTENSIONS_TAG = 0xa3;
const DNS_NAME_TAG = 0x82;
const URI_TAG = 0x86;
/** id-ce-subjectAltName, 2.5.29.17. */
const SUBJECT_ALT_NAME = Uint8Array.of(0x55, 0x1d, 0x11);

/**
 * Reads the names of a certificate from its DER (RFC 5280 section 4.2.1.6). A certificate without the
 * extension has no names. A certificate is refused as a whole when it has the extension twice, when
 * the extension is not DER, or when a URI or DNS name is empty or holds anything but printable ASCII:
 * what one program ends at a NUL or a comma, another reads on, and the two see different identities.
 */
export function readSubjectAltNames(certificateDer: Uint8Array): SubjectAltNames {
  const extensions = findExtensions(certificateDer);
  if (extensions === undefined) return refused('Cannot read certificate: want DER (RFC 5280)');
  let found: DerElement | undefined;
  for (const extension of extensions) {
    const value = subjectAltNameValue(certificateDer, extension);
    if (value === 'malformed') return refused('Cannot read a certificate extension: want DER');
    if (value === undefined) continue;
    if (found !== undefined) return refused('Certificate has two subjectAltName extensions');
    found = value;
  }
  return found === undefined
    ? { kind: 'names', uris: [], dns: [] }
    : readGeneralNames(certificateDer, found);
}

/** The extensions of the certificate (possibly none); undefined when it can't be read. */
function findExtensions(der: Uint8Array): readonly DerElement[] | undefined {
  const certificate = readElement(der, 0, der.length);
  if (certificate?.tag !== DerTag.sequence || certificate.end !== der.length) return undefined;
  const signed = readElement(der, certificate.start, certificate.end);
  if (signed?.tag !== DerTag.sequence) return undefined;
  const fields = readChildren(der, signed, FIELDS_MAX);
  if (fields === undefined) return undefined;
  const tagged = fields.filter((field) => field.tag === EXTENSIONS_TAG);
  if (tagged.length > 1) return undefined;
  const [wrapper] = tagged;
  if (wrapper === undefined) return [];
  const list = readElement(der, wrapper.start, wrapper.end);
  if (list?.tag !== DerTag.sequence || list.end !== wrapper.end) return undefined;
  return readChildren(der, list, EXTENSIONS_MAX);
}

/** The OCTET STRING of a subjectAltName extension; undefined for another extension. */
function subjectAltNameValue(
  der: Uint8Array,
  extension: DerElement,
): DerElement | 'malformed' | undefined {
  // Extension ::= SEQUENCE { extnID, critical BOOLEAN DEFAULT FALSE, extnValue OCTET STRING }
  const parts = extension.tag === DerTag.sequence ? readChildren(der, extension, 3) : undefined;
  const id = parts?.[0];
  const value = parts?.at(-1);
  if (parts === undefined || parts.length < 2 || id?.tag !== DerTag.objectIdentifier)
    return 'malformed';
  if (Buffer.compare(contentOf(der, id), SUBJECT_ALT_NAME) !== 0) return undefined;
  const criticalOk = parts.length === 2 || parts[1]?.tag === DerTag.boolean;
  return criticalOk && value?.tag === DerTag.octetString ? value : 'malformed';
}

function readGeneralNames(der: Uint8Array, value: DerElement): SubjectAltNames {
  const list = readElement(der, value.start, value.end);
  const names =
    list?.tag === DerTag.sequence && list.end === value.end
      ? readChildren(der, list, NAMES_MAX)
      : undefined;
  if (names === undefined)
    return refused(`Cannot read subjectAltName: want DER and at most ${NAMES_MAX} names`);
  const uris: string[] = [];
  const dns: string[] = [];
  for (const name of names) {
    if (name.tag !== URI_TAG && name.tag !== DNS_NAME_TAG) continue;
    const text = printableText(contentOf(der, name));
    if (text === undefined)
      return refused('A name in subjectAltName is empty or not printable ASCII');
    (name.tag === URI_TAG ? uris : dns).push(text);
  }
  return { kind: 'names', uris, dns };
}

function printableText(bytes: Uint8Array): string | undefined {
  for (const byte of bytes) {
    if (byte <= 0x20 || byte >= 0x7f) return undefined;
  }
  return bytes.length === 0 ? undefined : Buffer.from(bytes).toString('latin1');
}

function refused(reason: string): SubjectAltNames {
  return { kind: 'refused', reason };
}
