import type { Brand } from '#common/brand.ts';

/**
 * Who a workload is: `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`, always in this
 * spelling. Two identities are the same exactly when the texts are equal.
 */
export type Identity = Brand<string, 'Identity'>;

export interface IdentityParts {
  readonly trustDomain: string;
  readonly namespace: string;
  readonly serviceAccount: string;
}

const SCHEME = 'spiffe://';

/** The SPIFFE ID specification, section 2.3: an ID is at most 2,048 bytes long. */
export const IDENTITY_BYTES_MAX = 2_048;

/** Printable ASCII without the space: a NUL, a line break or a look-alike letter in a name never reaches a policy or a log. */
const PRINTABLE = /^[\x21-\x7e]+$/;

/**
 * Reads the URI of a certificate. Undefined for any other scheme, for more or fewer than five parts,
 * an empty trust domain, a character that is not printable ASCII, or a text over
 * {@link IDENTITY_BYTES_MAX}. Empty namespaces and service accounts are read: some issuers send them,
 * and no policy that names one can match them.
 */
export function parseIdentity(text: string): Identity | undefined {
  if (text.length > IDENTITY_BYTES_MAX || !PRINTABLE.test(text)) return undefined;
  if (!text.startsWith(SCHEME)) return undefined;
  const parts = text.slice(SCHEME.length).split('/');
  const wellFormed =
    parts.length === 5 && parts[0] !== '' && parts[1] === 'ns' && parts[3] === 'sa';
  return wellFormed ? (text as Identity) : undefined;
}

/** Prints an identity; undefined when the parts hold a slash or a character that no identity may hold. */
export function formatIdentity(parts: IdentityParts): Identity | undefined {
  return parseIdentity(
    `${SCHEME}${parts.trustDomain}/ns/${parts.namespace}/sa/${parts.serviceAccount}`,
  );
}

/** Takes an identity apart. */
export function identityParts(identity: Identity): IdentityParts {
  const [trustDomain = '', , namespace = '', , serviceAccount = ''] = identity
    .slice(SCHEME.length)
    .split('/');
  return { trustDomain, namespace, serviceAccount };
}

/** The part that policies compare: the identity without its scheme, `td/ns/…/sa/…`. */
export function principalOf(identity: Identity): string {
  return identity.slice(SCHEME.length);
}

export function sameTrustDomain(one: Identity, other: Identity): boolean {
  return identityParts(one).trustDomain === identityParts(other).trustDomain;
}
