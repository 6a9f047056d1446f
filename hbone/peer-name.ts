import type { PeerCertificate } from '#reactor/tls/peer-certificate.ts';

export type PeerName = { readonly name: string } | { readonly refusal: string };

/**
 * The one name of a verified peer. A certificate with several URIs is refused as a whole (X.509-SVID
 * specification, section 2): it would be a different peer to whoever reads another of them.
 */
export function peerName({ uris }: Pick<PeerCertificate, 'uris'>): PeerName {
  const [name, ...others] = uris;
  if (name === undefined) return { refusal: 'identity error: the peer has no SPIFFE name' };
  if (others.length > 0)
    return { refusal: 'identity error: the peer has more than one SPIFFE name' };
  return { name };
}
