import type { KeyObject } from 'node:crypto';

import { type Names, writeCertificate } from '#common/tls/x509-writer.ts';

import type { CertificateRoot } from './root.ts';

export interface IssueOptions {
  readonly names: Names;
  readonly publicKey: KeyObject;
  readonly lifeMs: number;
  readonly nowMs: number;
}

// Certificates begin a little in the past: the clocks of a cluster differ.
const SKEW_MS = 120_000;

/** A certificate for clients and servers, PEM. It does not outlive its root. */
export function issueCertificate(root: CertificateRoot, options: IssueOptions): string {
  const { names, publicKey, lifeMs, nowMs } = options;
  return writeCertificate({
    issuer: root.organization,
    subject: undefined,
    names,
    notBeforeMs: nowMs - SKEW_MS,
    notAfterMs: Math.min(nowMs + lifeMs, root.notAfterMs),
    publicKey,
    issuerPrivateKey: root.privateKey,
    issuerPublicKey: root.publicKey,
    authority: false,
    endpoint: true,
  });
}
