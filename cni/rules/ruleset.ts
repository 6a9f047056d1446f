/**
 * What makes a pod's traffic pass through the node tunnel, as data: nftables chains for the pod's own
 * network namespace and the routing that belongs to them. `render.ts` turns it into text for `nft`
 * and `ip`.
 *
 * How a packet goes:
 *
 *     app ──tcp──▶ out: redirect ──▶ :15001 ──(marked own)──▶ leaves the pod, nothing matches
 *     peer ──tcp─▶ in: redirect ───▶ :15006 ──┐          (guard: or not at all)
 *     peer ──tcp─▶ in: accept ─────▶ :15008 ──┤ proxy dials the app from the peer's own address,
 *                                             ▼ marked own; the packet comes in through lo
 *     app ◀── in: accept ◀── remember: this flow belongs to the proxy (connection mark)
 *      └─ answers to the peer's address ─▶ recall: packet mark from the connection mark ─▶ routing
 *         table `localTable`: everything is local ─▶ lo ─▶ the proxy's socket
 */

/** A packet or connection mark, compared under a mask: the other bits belong to others. */
export interface Mark {
  readonly value: number;
  readonly mask: number;
}

export type Family = 'ip' | 'ip6';

/** One condition of a rule. All conditions of a rule must hold. */
export type Match =
  | { readonly kind: 'protocol'; readonly protocol: 'tcp' | 'udp' }
  | {
      readonly kind: 'port';
      readonly protocol: 'tcp' | 'udp';
      readonly side: 'source' | 'destination';
      readonly ports: readonly number[];
    }
  | {
      readonly kind: 'address';
      readonly family: Family;
      readonly side: 'source' | 'destination';
      readonly address: string;
      readonly negated?: true;
    }
  | { readonly kind: 'packet-mark'; readonly mark: Mark; readonly negated?: true }
  | { readonly kind: 'connection-mark'; readonly mark: Mark }
  | { readonly kind: 'leaves-by-loopback'; readonly negated?: true }
  | { readonly kind: 'arrives-by-loopback' }
  | { readonly kind: 'not-the-first-packet' }
  | { readonly kind: 'not-redirected' };

export type Action =
  | { readonly kind: 'accept' }
  | { readonly kind: 'drop' }
  | { readonly kind: 'redirect'; readonly port: number }
  /** Sets the masked bits of the connection's mark, keeps the others. */
  | { readonly kind: 'remember'; readonly mark: Mark }
  | { readonly kind: 'copy-connection-mark' }
  | { readonly kind: 'conntrack-zone'; readonly zone: number };

export interface Rule {
  readonly matches: readonly Match[];
  readonly action: Action;
  /** Why the rule stands; also shown by `nft list ruleset`. At most 128 bytes, no double quotes. */
  readonly why: string;
}

export interface Chain {
  readonly name: string;
  readonly type: 'filter' | 'nat' | 'route';
  readonly hook: 'prerouting' | 'output';
  /** Lower runs earlier: raw -300, mangle -150, destination NAT -100. */
  readonly priority: number;
  readonly rules: readonly Rule[];
}

/** Sends packets that carry `mark` to a table in which every address is local. */
export interface LocalRouting {
  readonly families: readonly Family[];
  readonly mark: Mark;
  readonly preference: number;
  readonly table: number;
}

export interface Ruleset {
  /** Name of the one `inet` table that holds all chains. */
  readonly table: string;
  readonly chains: readonly Chain[];
  readonly routing: LocalRouting;
}

export interface CaptureOptions {
  /** Redirect DNS (TCP and UDP port 53) to the proxy. Default false. */
  readonly dns?: boolean;
  /** Also IPv6 routing; the rules themselves always cover both families. Default true. */
  readonly ipv6?: boolean;
  /** `keep`: connections that were open before the rules came stay as they are. Default `keep`. */
  readonly established?: 'keep' | 'cut';
  /** Redirect what comes in from outside. Default true. 15008 is reachable either way. */
  readonly inbound?: boolean;
  /** Where health probes of the node come from, after the host has rewritten their source. */
  readonly probeSourceIpv4?: string;
  readonly probeSourceIpv6?: string;
  /** TCP ports of the pod that are never captured. Default none. */
  readonly excludedInboundPorts?: readonly number[];
  /** TCP ports elsewhere to which the pod connects directly. Default none. */
  readonly excludedOutboundPorts?: readonly number[];
}

export const ruleTable = 'ambit-pod';

/** Where the proxy listens inside the pod's namespace. The mesh's fixed ports. */
export const proxyPorts = {
  outbound: 15001,
  inboundPlain: 15006,
  tunnel: 15008,
  dns: 15053,
} as const;

/** SO_MARK of the proxy's own sockets, and the mark of the flows that they opened. */
export const ownMark: Mark = { value: 0x539, mask: 0xfff };
const flowMark: Mark = { value: 0x111, mask: 0xfff };

const priority = { raw: -300, mangle: -150, destinationNat: -100, guard: -99 } as const;
const loopback = { ip: '127.0.0.1', ip6: '::1' } as const;
const families: readonly Family[] = ['ip', 'ip6'];
// Keeps the proxy's own DNS lookups apart from the app's when both use one source port.
const PROXY_DNS_ZONE = 1;

const tcp: Match = { kind: 'protocol', protocol: 'tcp' };
const accept: Action = { kind: 'accept' };

/** The rules for one pod. Invariant: nothing that carries `ownMark` is redirected, or the proxy would talk to itself. */
export function captureRules(given: CaptureOptions = {}): Ruleset {
  const options = resolve(given);
  return {
    table: ruleTable,
    chains: [
      ...(options.dns ? dnsZoneChains() : []),
      remember(),
      recall(),
      inbound(options),
      ...guard(options),
      outbound(options),
    ],
    routing: {
      families: options.ipv6 ? families : ['ip'],
      mark: flowMark,
      preference: 32764, // just before the main table's 32766, with room for others
      table: 100,
    },
  };
}

/**
 * What stays for a while in a pod that leaves the mesh: connections that pass through the tunnel find their way, new
 * ones go past it. Replaces the rules of {@link captureRules} in one step, without a gap.
 *
 * Invariant: the NAT chains stay registered, and a rule asks for the connection's state; without either the kernel
 * forgets how the open connections were redirected.
 */
export function drainRules(capture: Ruleset): Ruleset {
  const chains = capture.chains
    .filter(({ rules }) => rules.every(({ action }) => action.kind !== 'drop'))
    .map((chain) => (chain.type === 'nat' ? { ...chain, rules: [] } : chain));
  return { ...capture, chains };
}

function resolve(given: CaptureOptions): Required<CaptureOptions> {
  return {
    dns: false,
    ipv6: true,
    established: 'keep',
    inbound: true,
    probeSourceIpv4: '169.254.7.127',
    probeSourceIpv6: 'fd16:9254:7127:1337:ffff:ffff:ffff:ffff',
    excludedInboundPorts: [],
    excludedOutboundPorts: [],
    ...given,
  };
}

function dnsZoneChains(): Chain[] {
  const zone: Action = { kind: 'conntrack-zone', zone: PROXY_DNS_ZONE };
  return [
    {
      name: 'dns-answers',
      type: 'filter',
      hook: 'prerouting',
      priority: priority.raw,
      rules: [
        {
          matches: [
            dnsPort('udp', 'source'),
            { kind: 'packet-mark', mark: ownMark, negated: true },
          ],
          action: zone,
          why: 'answers from resolvers belong to the zone of the proxy',
        },
      ],
    },
    {
      name: 'dns-questions',
      type: 'filter',
      hook: 'output',
      priority: priority.raw,
      rules: [
        {
          matches: [dnsPort('udp', 'destination'), { kind: 'packet-mark', mark: ownMark }],
          action: zone,
          why: 'questions of the proxy must not share a connection entry with the app',
        },
      ],
    },
  ];
}

function remember(): Chain {
  return {
    name: 'remember',
    type: 'filter',
    hook: 'prerouting',
    priority: priority.mangle,
    rules: [
      {
        matches: [{ kind: 'packet-mark', mark: ownMark }],
        action: { kind: 'remember', mark: flowMark },
        why: 'the proxy opened this flow',
      },
    ],
  };
}

function recall(): Chain {
  return {
    name: 'recall',
    // `route`: a changed mark must choose the route again.
    type: 'route',
    hook: 'output',
    priority: priority.mangle,
    rules: [
      {
        matches: [{ kind: 'connection-mark', mark: flowMark }],
        action: { kind: 'copy-connection-mark' },
        why: 'what the app answers on a flow of the proxy goes back to the proxy',
      },
    ],
  };
}

function inbound(options: Required<CaptureOptions>): Chain {
  const rules: Rule[] = [
    ...establishedRule(options),
    ...admitted(options),
    {
      matches: [tcp],
      action: { kind: 'redirect', port: proxyPorts.inboundPlain },
      why: 'plain text from outside',
    },
  ];
  return {
    name: 'inbound',
    type: 'nat',
    hook: 'prerouting',
    priority: priority.destinationNat,
    // The chain stays when it is empty: NAT hooks must be registered in both directions.
    rules: options.inbound ? rules : [],
  };
}

/** What comes in without passing the proxy. */
function admitted(options: Required<CaptureOptions>): Rule[] {
  return [
    ...probeRules('source', options),
    {
      matches: [{ kind: 'packet-mark', mark: ownMark }],
      action: accept,
      why: 'own traffic of the proxy',
    },
    ...loopbackRules(),
    {
      matches: [port('destination', [proxyPorts.tunnel])],
      action: accept,
      why: 'tunnels go straight to their listener',
    },
    ...excluded(options.excludedInboundPorts),
  ];
}

/**
 * NAT is decided once for each entry of connection tracking. Anybody can make an entry that is kept as it is, by
 * sending a later packet of a connection that does not exist; the first packet of a real one would then belong
 * to that entry and reach the app without being redirected.
 */
function guard(options: Required<CaptureOptions>): Chain[] {
  if (!options.inbound || options.established === 'cut') return [];
  const rules: Rule[] = [
    {
      matches: [{ kind: 'not-the-first-packet' }],
      action: accept,
      why: 'first of all: every packet comes by here',
    },
    {
      matches: [{ kind: 'arrives-by-loopback' }],
      action: accept,
      why: 'the pod and its proxy talk to themselves',
    },
    ...admitted(options),
    {
      matches: [port('destination', [proxyPorts.inboundPlain])],
      action: accept,
      why: 'is at the proxy without being redirected',
    },
    {
      matches: [tcp, { kind: 'not-redirected' }],
      action: { kind: 'drop' },
      why: 'a new connection must not pass as one that was open before',
    },
  ];
  return [{ name: 'guard', type: 'filter', hook: 'prerouting', priority: priority.guard, rules }];
}

function outbound(options: Required<CaptureOptions>): Chain {
  return {
    name: 'outbound',
    type: 'nat',
    hook: 'output',
    priority: priority.destinationNat,
    rules: [
      ...establishedRule(options),
      ...probeRules('destination', options),
      {
        matches: [{ kind: 'packet-mark', mark: ownMark }],
        action: accept,
        why: 'own traffic of the proxy',
      },
      ...(options.dns ? dnsRedirects() : []),
      {
        matches: [{ kind: 'packet-mark', mark: flowMark }, tcp],
        action: accept,
        why: 'answers on flows that the proxy opened',
      },
      {
        matches: [{ kind: 'leaves-by-loopback' }],
        action: accept,
        why: 'the pod talks to itself',
      },
      ...loopbackRules(),
      ...excluded(options.excludedOutboundPorts),
      {
        matches: [tcp],
        action: { kind: 'redirect', port: proxyPorts.outbound },
        why: 'what the app sends out',
      },
    ],
  };
}

function establishedRule(options: Required<CaptureOptions>): Rule[] {
  if (options.established === 'cut') return [];
  // Without this, connection tracking starts with these rules, takes the next packet of an old
  // connection for the first of a new one, and redirects it.
  return [
    {
      matches: [{ kind: 'not-the-first-packet' }],
      action: accept,
      why: 'open connections stay as they are',
    },
  ];
}

function probeRules(side: 'source' | 'destination', options: Required<CaptureOptions>): Rule[] {
  const why = 'health probes of the node reach the app untouched';
  return [
    {
      matches: [{ kind: 'address', family: 'ip', side, address: options.probeSourceIpv4 }, tcp],
      action: accept,
      why,
    },
    {
      matches: [{ kind: 'address', family: 'ip6', side, address: options.probeSourceIpv6 }, tcp],
      action: accept,
      why,
    },
  ];
}

function loopbackRules(): Rule[] {
  return families.map((family) => ({
    matches: [{ kind: 'address', family, side: 'destination', address: loopback[family] }],
    action: accept,
    why: 'localhost stays in the pod',
  }));
}

function dnsRedirects(): Rule[] {
  const action: Action = { kind: 'redirect', port: proxyPorts.dns };
  return [
    {
      matches: [dnsPort('udp', 'destination'), { kind: 'leaves-by-loopback', negated: true }],
      action,
      why: 'DNS questions of the app',
    },
    ...families.map(
      (family): Rule => ({
        matches: [
          dnsPort('tcp', 'destination'),
          {
            kind: 'address',
            family,
            side: 'destination',
            address: loopback[family],
            negated: true,
          },
        ],
        action,
        why: 'DNS questions of the app over TCP',
      }),
    ),
  ];
}

function excluded(ports: readonly number[]): Rule[] {
  if (ports.length === 0) return [];
  return [
    {
      matches: [port('destination', ports)],
      action: accept,
      why: 'ports that are kept out of the mesh',
    },
  ];
}

function port(side: 'source' | 'destination', ports: readonly number[]): Match {
  return { kind: 'port', protocol: 'tcp', side, ports };
}

function dnsPort(protocol: 'tcp' | 'udp', side: 'source' | 'destination'): Match {
  return { kind: 'port', protocol, side, ports: [53] };
}
