import type { EndpointSlice, Service, ServicePort } from '#kube/resources.ts';

/** Where a service's port leads. */
export interface ServiceTarget {
  readonly ip: string;
  readonly port: number;
}

export interface ServiceRule {
  /** For people: `namespace/name:port`. */
  readonly name: string;
  readonly protocol: 'tcp' | 'udp';
  /** Undefined: any that the node itself has. */
  readonly ip: string | undefined;
  readonly port: number;
  readonly targets: readonly ServiceTarget[];
  /** A client stays with its target, as long as there are the same ones. Otherwise each connection goes anywhere. */
  readonly affinity: boolean;
}

/** Not the loopback address: what is sent there does not leave by way of another. */
const OF_NODE = 'ip daddr != 127.0.0.0/8 fib daddr type local';

/** The node's own table: no mesh or plugin has one of this name. */
export const SERVICE_TABLE = 'playground-services';

/** What connections to services lead to, sorted by name. IPv4 only, like the playground's network. */
export function serviceRules(
  services: readonly Service[],
  slices: readonly EndpointSlice[],
): readonly ServiceRule[] {
  const slicesOf = Map.groupBy(slices, ({ metadata }) => {
    const service = metadata.labels?.['kubernetes.io/service-name'] ?? '';
    return `${metadata.namespace}/${service}`;
  });
  return services
    .flatMap((service) => {
      const { namespace, name } = service.metadata;
      const own = slicesOf.get(`${namespace}/${name}`) ?? [];
      return rulesOf(service, own);
    })
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/** One atomic batch for nft, which replaces all that was there. */
export function renderServiceRules(rules: readonly ServiceRule[], clusterRange: string): string {
  const lines = rules
    .filter(({ targets }) => targets.length > 0)
    .map((rule) => {
      const where = rule.ip === undefined ? OF_NODE : `ip daddr ${rule.ip}`;
      return `${where} ${rule.protocol} dport ${rule.port} ${balance(rule)} comment ${JSON.stringify(rule.name.slice(0, 120))}`;
    });
  // At its own ports a node refuses by itself.
  const refused = rules.filter(({ ip, targets }) => ip !== undefined && targets.length === 0);
  return [
    `add table ip ${SERVICE_TABLE}`,
    `delete table ip ${SERVICE_TABLE}`,
    `table ip ${SERVICE_TABLE} {`,
    '  chain services {',
    ...lines.map((line) => `    ${line}`),
    '  }',
    '  chain prerouting { type nat hook prerouting priority dstnat; jump services; }',
    '  chain output { type nat hook output priority -100; jump services; }',
    '  chain postrouting {',
    '    type nat hook postrouting priority srcnat;',
    // A pod that reaches itself through a service would answer itself, past us.
    `    ct status dnat ip saddr . ip daddr @itself masquerade`,
    // What is not of the pods could not be answered by way of this node.
    // A pod elsewhere would answer past us, too.
    ...masqueradeOfNodePorts(rules).map((line) => `    ${line}`),
    `    ct status dnat ip saddr != ${clusterRange} ip daddr ${clusterRange} oifname "eth0" masquerade`,
    '  }',
    `  set itself { type ipv4_addr . ipv4_addr;${itself(rules)} }`,
    '  chain refuse {',
    ...refused.map(
      ({ ip, protocol, port }) =>
        `    ip daddr ${ip} ${protocol} dport ${port} reject${protocol === 'tcp' ? ' with tcp reset' : ''}`,
    ),
    '  }',
    '  chain forward { type filter hook forward priority filter - 5; jump refuse; }',
    '  chain local { type filter hook output priority filter - 5; jump refuse; }',
    '}',
    '',
  ].join('\n');
}

function masqueradeOfNodePorts(rules: readonly ServiceRule[]): readonly string[] {
  return (['tcp', 'udp'] as const).flatMap((protocol) => {
    const own = rules.filter((rule) => rule.ip === undefined && rule.protocol === protocol);
    const ports = [...new Set(own.map(({ port }) => port))];
    if (ports.length === 0) return [];
    return `meta l4proto ${protocol} ct status dnat ct original proto-dst { ${ports.join(', ')} } masquerade`;
  });
}

function rulesOf(service: Service, slices: readonly EndpointSlice[]): readonly ServiceRule[] {
  const { namespace, name } = service.metadata;
  const { spec } = service;
  if (spec.type === 'ExternalName') return [];
  const ips = [spec.clusterIP, ...(spec.externalIPs ?? [])].filter(
    (ip): ip is string => ip !== undefined && /^\d+\./.test(ip),
  );
  return (spec.ports ?? []).flatMap((port) => {
    const protocol = (port.protocol ?? 'TCP').toLowerCase();
    if (protocol !== 'tcp' && protocol !== 'udp') return [];
    const rule = {
      name: `${namespace}/${name}:${port.name ?? port.port}`,
      protocol,
      targets: targetsOf(port, slices),
      affinity: spec.sessionAffinity === 'ClientIP',
    } as const;
    const { nodePort = 0 } = port;
    return [
      ...ips.map((ip) => ({ ...rule, ip, port: port.port })),
      ...(nodePort === 0 ? [] : [{ ...rule, ip: undefined, port: nodePort }]),
    ];
  });
}

/** Those that are ready; when there are none, those that still serve while they end. */
function targetsOf(port: ServicePort, slices: readonly EndpointSlice[]): readonly ServiceTarget[] {
  const ready = new Map<string, ServiceTarget>();
  const serving = new Map<string, ServiceTarget>();
  for (const slice of slices) {
    if (slice.addressType !== 'IPv4') continue;
    const number = slice.ports?.find(
      (each) =>
        (each.name ?? '') === (port.name ?? '') &&
        (each.protocol ?? 'TCP') === (port.protocol ?? 'TCP'),
    )?.port;
    if (number === undefined) continue;
    for (const { addresses, conditions } of slice.endpoints ?? []) {
      const [ip] = addresses;
      if (ip === undefined) continue;
      const target = { ip, port: number };
      if (conditions?.ready !== false) ready.set(ip, target);
      else if (conditions.serving === true && conditions.terminating === true) {
        serving.set(ip, target);
      }
    }
  }
  const chosen = ready.size > 0 ? ready : serving;
  return [...chosen.values()].toSorted((a, b) => (a.ip < b.ip ? -1 : 1));
}

function balance({ targets, affinity }: ServiceRule): string {
  const [only] = targets;
  if (targets.length === 1 && only !== undefined) return `dnat to ${only.ip}:${only.port}`;
  const spread = targets.map(({ ip, port }, index) => `${index} : ${ip} . ${port}`).join(', ');
  const choice = affinity ? 'jhash ip saddr' : 'numgen random';
  return `dnat to ${choice} mod ${targets.length} map { ${spread} }`;
}

function itself(rules: readonly ServiceRule[]): string {
  const ips = new Set(rules.flatMap(({ targets }) => targets.map(({ ip }) => ip)));
  if (ips.size === 0) return '';
  return ` elements = { ${Array.from(ips, (ip) => `${ip} . ${ip}`).join(', ')} }`;
}
