import { createPrivateKey } from 'node:crypto';

import { type Certificate, readCertificates } from '#common/tls/certificate.ts';
import type { Identity } from '#common/tls/spiffe.ts';

/** What a workload proves itself with, and whom it trusts. `privateKeyPem` never leaves the process but for its successor. */
export interface IdentityMaterial {
  /** The leaf, then the intermediates: one PEM block each. */
  readonly chainPem: readonly string[];
  /** PKCS#8. */
  readonly privateKeyPem: string;
  /** One or more roots: the peers of this identity must lead to one of them. */
  readonly rootsPem: string;
  readonly notBeforeMs: number;
  /** When the first certificate of the chain ends. */
  readonly notAfterMs: number;
}

export type MaterialRead =
  | { readonly kind: 'material'; readonly material: IdentityMaterial }
  | { readonly kind: 'refused'; readonly reason: string };

/** Longer chains of intermediates exist nowhere. */
const CHAIN_LENGTH_MAX = 16;

/**
 * Checks what an authority answered: the first entry begins with the leaf, the last one is the bundle
 * of roots, intermediates are between. The leaf must be for this identity alone and for our key.
 * An answer without roots is refused: nobody could be trusted with it.
 */
export function readSignedChain(
  chain: readonly string[],
  identity: Identity,
  privateKeyPem: string,
): MaterialRead {
  if (chain.length === 0) return refused('The chain is empty');
  if (chain.length === 1) return refused('The chain has no roots: want them as its last entry');
  if (chain.length > CHAIN_LENGTH_MAX)
    return refused(`The chain has ${chain.length} entries: want at most ${CHAIN_LENGTH_MAX}`);
  const roots = readCertificates(chain.at(-1) ?? '');
  if (roots.kind === 'refused') return refused(`Roots: ${roots.reason}`);
  const path = readCertificates(chain.slice(0, -1).join('\n'));
  if (path.kind === 'refused') return refused(path.reason);
  const [leaf] = path.certificates;
  const wrong =
    leaf === undefined ? 'The chain is empty' : leafProblem(leaf, identity, privateKeyPem);
  if (leaf === undefined || wrong !== undefined) return refused(wrong ?? '');
  return {
    kind: 'material',
    material: {
      chainPem: path.certificates.map(({ pem }) => pem),
      privateKeyPem,
      rootsPem: roots.certificates.map(({ pem }) => pem).join(''),
      notBeforeMs: leaf.notBeforeMs,
      notAfterMs: Math.min(...path.certificates.map(({ notAfterMs }) => notAfterMs)),
    },
  };
}

function leafProblem(
  leaf: Certificate,
  identity: Identity,
  privateKeyPem: string,
): string | undefined {
  const { uris } = leaf;
  if (uris.length !== 1 || uris[0] !== identity)
    return `SAN mismatch: want the one URI "${identity}", the certificate has ${quoted(uris)}`;
  if (!leaf.x509.checkPrivateKey(createPrivateKey(privateKeyPem)))
    return 'The certificate is for another key than the one in the request';
  return undefined;
}

// A wrong answer may be long: three names tell enough.
function quoted(uris: readonly string[]): string {
  if (uris.length === 0) return 'none';
  const more = uris.length > 3 ? ` and ${uris.length - 3} more` : '';
  return (
    uris
      .slice(0, 3)
      .map((uri) => `"${uri.slice(0, 200)}"`)
      .join(', ') + more
  );
}

function refused(reason: string): MaterialRead {
  return { kind: 'refused', reason };
}
