import { X509Certificate } from 'node:crypto';

import { readPem, writePem } from './pem.ts';
import { readSubjectAltNames } from './subject-alt-names.ts';

/** A certificate as read: nothing about whether to trust it. */
export interface Certificate {
  /** One PEM block, in the standard form whatever the input looked like. */
  readonly pem: string;
  readonly serialDecimal: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** URI names from the DER, in order. */
  readonly uris: readonly string[];
  /** DNS names from the DER, in order. */
  readonly dns: readonly string[];
  /** For questions about keys and issuers. */
  readonly x509: X509Certificate;
}

export type CertificatesRead =
  | { readonly kind: 'certificates'; readonly certificates: readonly Certificate[] }
  | { readonly kind: 'refused'; readonly reason: string };

/** From when until when, in milliseconds since the epoch. */
export interface Validity {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** Public trust stores hold about 150 roots. */
const CERTIFICATES_MAX = 512;

/**
 * Reads one or more certificates from PEM text: a leaf, a chain, a bundle of roots. At least one is
 * required, and one that can't be read refuses all.
 */
export function readCertificates(pem: string): CertificatesRead {
  const read = readPem(pem, 'CERTIFICATE');
  if (read.kind === 'refused') return read;
  if (read.blocks.length === 0) return refused('No certificate found: want PEM');
  if (read.blocks.length > CERTIFICATES_MAX)
    return refused(`${read.blocks.length} certificates: want at most ${CERTIFICATES_MAX}`);
  const certificates: Certificate[] = [];
  for (const [index, der] of read.blocks.entries()) {
    const certificate = readCertificate(der);
    if (typeof certificate === 'string') return refused(`Certificate ${index + 1}: ${certificate}`);
    certificates.push(certificate);
  }
  return { kind: 'certificates', certificates };
}

/** Halfway through the life of a certificate, in milliseconds since the epoch. */
export function halfLifeMs(validity: Validity): number {
  return validity.notBeforeMs + (validity.notAfterMs - validity.notBeforeMs) / 2;
}

function readCertificate(der: Uint8Array): Certificate | string {
  const names = readSubjectAltNames(der);
  if (names.kind === 'refused') return names.reason;
  let x509: X509Certificate;
  try {
    x509 = new X509Certificate(der);
  } catch (error) {
    return `Cannot read certificate: ${error instanceof Error ? error.message : String(error)}`;
  }
  const notBeforeMs = x509.validFromDate.getTime();
  const notAfterMs = x509.validToDate.getTime();
  if (Number.isNaN(notBeforeMs) || Number.isNaN(notAfterMs)) return 'Cannot read its validity';
  if (notAfterMs <= notBeforeMs) return 'Its validity ends before it begins';
  return {
    pem: writePem('CERTIFICATE', der),
    serialDecimal: BigInt(`0x${x509.serialNumber}`).toString(),
    notBeforeMs,
    notAfterMs,
    uris: names.uris,
    dns: names.dns,
    x509,
  };
}

function refused(reason: string): CertificatesRead {
  return { kind: 'refused', reason };
}
