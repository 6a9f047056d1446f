import { invariant } from '#common/assert.ts';

/** Where a node or pod of the bed can be reached. */
export interface Addresses {
  readonly ipv4: string;
  readonly ipv6: string;
  /** Its own on each of its links. The kernel asks for IPv6 neighbours in the name of this one. */
  readonly linkLocal: string;
}

/** The networks behind a node. */
export interface Subnets {
  readonly ipv4: string;
  readonly ipv6: string;
}

const FIRST_POD = 10;
const LAST_POD = 250;

/** The addresses that a node has on each of its interfaces; nodes count from 0. */
export function nodeAddresses(node: number): Addresses {
  return addresses(node + 1, 1);
}

/** The addresses of one pod; pods count from 0 on each node. */
export function podAddresses(node: number, pod: number): Addresses {
  const host = FIRST_POD + pod;
  invariant(host <= LAST_POD, `a node of the bed holds ${LAST_POD - FIRST_POD + 1} pods`);
  return addresses(node + 1, host);
}

/** Everything behind one node. */
export function nodeSubnets(node: number): Subnets {
  return { ipv4: `10.99.${node + 1}.0/24`, ipv6: `fd99:${node + 1}::/64` };
}

// Namespaces of their own: nothing outside can collide with these.
function addresses(subnet: number, host: number): Addresses {
  return {
    ipv4: `10.99.${subnet}.${host}`,
    ipv6: `fd99:${subnet}::${host}`,
    linkLocal: `fe80::${subnet}:${host}`,
  };
}
