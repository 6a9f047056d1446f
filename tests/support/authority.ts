import { formatSocketAddress } from '#common/net/address.ts';
import type { Authority } from '#hbone/authority.ts';

/** An authority in its one spelling. */
export function authorityText(authority: Authority): string {
  return authority.kind === 'address'
    ? formatSocketAddress(authority.address)
    : `${authority.host}:${authority.port}`;
}
