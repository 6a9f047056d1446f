/** What a plugin says of a new pod (`POST /cmdadd`), read from JSON. Pure. */

import { type IpAddress, parseIp } from '#common/net/address.ts';

export interface PluginEvent {
  readonly namespace: string;
  readonly name: string;
  /** Undefined from plugins that don't tell. */
  readonly uid: string | undefined;
  /** Path of the network namespace as the node sees it. */
  readonly netnsPath: string;
  readonly addresses: readonly IpAddress[];
  /** The plugin has not asked whether the pod belongs to the mesh. */
  readonly agentDecides: boolean;
}

export type PluginEventReading =
  | { readonly kind: 'event'; readonly event: PluginEvent }
  | { readonly kind: 'refused'; readonly reason: string };

export function readPluginEvent(text: string): PluginEventReading {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return refused(`it is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (!isRecord(value)) return refused('want a JSON object');
  for (const field of ['Netns', 'PodName', 'PodNamespace']) {
    if (typeof value[field] !== 'string' || value[field] === '') {
      return refused(`"${field}" is missing or empty`);
    }
  }
  const addresses = readAddresses(value['IPs'] ?? []);
  if (typeof addresses === 'string') return refused(addresses);
  const uid: unknown = value['PodUID'];
  return {
    kind: 'event',
    event: {
      namespace: String(value['PodNamespace']),
      name: String(value['PodName']),
      uid: typeof uid === 'string' && uid !== '' ? uid : undefined,
      netnsPath: String(value['Netns']),
      addresses,
      agentDecides: value['AgentDecides'] === true,
    },
  };
}

/** A text says what is wrong. */
function readAddresses(list: unknown): readonly IpAddress[] | string {
  if (!Array.isArray(list)) return '"IPs" is not a list';
  const addresses: IpAddress[] = [];
  for (const [index, entry] of list.entries()) {
    const address: unknown = isRecord(entry) ? entry['Address'] : undefined;
    const text: unknown = isRecord(address) ? address['IP'] : undefined;
    const where = `"IPs[${index}].Address.IP"`;
    if (typeof text !== 'string' || text === '') return `${where} is missing`;
    const ip = parseIp(text);
    if (ip === undefined) return `${where} is no IP address`;
    addresses.push(ip);
  }
  return addresses;
}

function refused(reason: string): PluginEventReading {
  return { kind: 'refused', reason };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
