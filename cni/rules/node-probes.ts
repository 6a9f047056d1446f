/**
 * The node's own rules: what its processes send to a pod of the mesh gets a source address that the pod's rules let
 * pass. So health probes reach the app without the proxy, though they come from the same address as much else that
 * the node forwards. Pure.
 */

import type { IpAddress } from '#common/net/address.ts';

/** Which addresses belong to which pod of the mesh. */
export type ProbedPods = ReadonlyMap<string, readonly IpAddress[]>;

export interface ProbeSources {
  readonly ipv4: string;
  readonly ipv6: string;
}

export const NODE_TABLE = 'ambit-node';
const SET_V4 = 'istio-inpod-probes-v4';
const SET_V6 = 'istio-inpod-probes-v6';
/** Just before source NAT (100), where masquerading of others would take the packet first. */
const PRIORITY = 95;

/** One batch for `nft -f -` that replaces the node's table as a whole: by uid, the pods' addresses. */
export function renderNodeProbes(pods: ProbedPods, sources: ProbeSources): string {
  const owners = new Map<IpAddress, string>();
  // Addresses are used again: the pod that came last has it.
  for (const [uid, addresses] of pods) for (const ip of addresses) owners.set(ip, uid);
  const elements = (isV6: boolean): string[] =>
    Array.from(owners)
      .filter(([ip]) => ip.includes(':') === isV6)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([ip, uid]) => `${ip} comment "${uid.replaceAll(/[^\w.-]/g, '')}"`);
  return [
    `table inet ${NODE_TABLE}`,
    `delete table inet ${NODE_TABLE}`,
    `table inet ${NODE_TABLE} {`,
    renderSet(SET_V4, 'ipv4_addr', elements(false)),
    renderSet(SET_V6, 'ipv6_addr', elements(true)),
    '  chain probes {',
    `    type nat hook postrouting priority ${PRIORITY}; policy accept;`,
    renderRule('ip', SET_V4, sources.ipv4),
    renderRule('ip6', SET_V6, sources.ipv6),
    '  }',
    '}',
    '',
  ].join('\n');
}

/** One batch for `nft -f -` that removes the node's table; absence is no error. */
export function renderNodeProbesRemoval(): string {
  return `table inet ${NODE_TABLE}\ndelete table inet ${NODE_TABLE}\n`;
}

function renderSet(name: string, type: string, elements: readonly string[]): string {
  const list = elements.length === 0 ? [] : [`    elements = { ${elements.join(', ')} }`];
  return [`  set ${name} {`, `    type ${type}`, ...list, '  }'].join('\n');
}

function renderRule(family: 'ip' | 'ip6', set: string, source: string): string {
  // Forwarded packets have no socket, and so no user: only what a process of the node sends has one.
  return `    meta l4proto tcp meta skuid >= 0 ${family} daddr @${set} counter snat ${family} to ${source} comment "health probes of the node"`;
}
