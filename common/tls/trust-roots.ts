import { getCACertificates } from 'node:tls';

import { readTextSource, type TextSource } from '#common/text-source.ts';

import { readCertificates } from './certificate.ts';

/** Whom to trust: PEM, a file of it, or what the operating system trusts. */
export type TrustRootsSource = TextSource | { readonly kind: 'system' };

export type TrustRootsRead =
  | { readonly kind: 'roots'; readonly pem: string }
  | { readonly kind: 'failed'; readonly reason: string };

/** Reads a bundle of roots. One that can't be read refuses all: see {@link readCertificates}. */
export async function readTrustRoots(source: TrustRootsSource): Promise<TrustRootsRead> {
  if (source.kind === 'system') return { kind: 'roots', pem: systemRoots() };
  const text = await readTextSource(source);
  if (text.kind === 'failed') return text;
  const read = readCertificates(text.text);
  if (read.kind === 'refused') {
    const where = source.kind === 'file' ? `"${source.path}"` : 'the text given';
    return { kind: 'failed', reason: `Cannot use ${where}: ${read.reason}` };
  }
  return { kind: 'roots', pem: read.certificates.map(({ pem }) => pem).join('') };
}

// Not checked one by one: these are whatever the administrator of the machine installed.
function systemRoots(): string {
  return getCACertificates('system').join('\n');
}
