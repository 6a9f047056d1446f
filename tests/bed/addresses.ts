import { invariant } from '#common/assert.ts';

/** Where a node or pod of the bed can be reached. */
export interface Addresses {
  readonly ipv4: string;
  readonly ipv6: string;
}

// Namespaces of their own: nothing outside can collide with these.
const IPV4_PREFIX = '10.99';
const IPV6_PREFIX = 'fd99';
const FIRST_POD = 10;
const LAST_POD = 250;

/** The address that a node has on each of its interfaces; nodes count from 0. */
export function nodeAddresses(node: number): Addresses {
  return { ipv4: `${IPV4_PREFIX}.${node + 1}.1`, ipv6: `${IPV6_PREFIX}:${node + 1}::1` };
}

/** Everything behind one node. */
export function nodeSubnets(node: number): Addresses {
  return { ipv4: `${IPV4_PREFIX}.${node + 1}.0/24`, ipv6: `${IPV6_PREFIX}:${node + 1}::/64` };
}

/** The address of one pod; pods count from 0 on each node. */
export function podAddresses(node: number, pod: number): Addresses {
  const last = FIRST_POD + pod;
  invariant(last <= LAST_POD, `a node of the bed holds ${LAST_POD - FIRST_POD + 1} pods`);
  return {
    ipv4: `${IPV4_PREFIX}.${node + 1}.${last}`,
    ipv6: `${IPV6_PREFIX}:${node + 1}::${last}`,
  };
}
