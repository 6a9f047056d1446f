import type { SocketAddress } from '#common/net/address.ts';

import { getsockopt } from './libc.ts';
import { localAddress } from './socket.ts';
import { readSocketAddress, SOCKET_ADDRESS_SIZE } from './socket-address.ts';

const SOL_IP = 0;
const SOL_IPV6 = 41;
/** SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST (linux/netfilter_ipv4.h, netfilter_ipv6/ip6_tables.h). */
const ORIGINAL_DESTINATION = 80;

const addressBytes = Buffer.alloc(SOCKET_ADDRESS_SIZE);
const addressLength = Buffer.alloc(4);

/**
 * Where an accepted connection was going before a rule redirected it to us; for one that was not redirected
 * the address that it reached. Canonical. Undefined only when the descriptor is no connected TCP socket.
 */
export function originalDestination(fd: number): SocketAddress | undefined {
  // An IPv4 connection to a dual-stack listener is tracked as IPv4, so this level comes first for both.
  return readAt(fd, SOL_IP) ?? readAt(fd, SOL_IPV6) ?? localAddress(fd);
}

function readAt(fd: number, level: number): SocketAddress | undefined {
  addressLength[0] = SOCKET_ADDRESS_SIZE;
  if (getsockopt(fd, level, ORIGINAL_DESTINATION, addressBytes, addressLength) < 0)
    return undefined;
  return readSocketAddress(addressBytes);
}
