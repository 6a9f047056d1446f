import { parseIp } from '#common/net/address.ts';
import type { Configuration } from '#kube/resources.ts';

import type { Labels } from '../krt/filter.ts';
import type {
  AllowedFrom,
  GatewayClassRecord,
  GatewayListener,
  GatewayRecord,
  GatewayRecordAddress,
} from '../model/waypoint.ts';
import { list, record, text } from '../model/written.ts';
import { described, port, stringRecord, wireName } from './metadata.ts';

const GROUP = 'gateway.networking.k8s.io';
const INBOUND_BINDING = 'ambient.istio.io/waypoint-inbound-binding';

/** What is kept of a Gateway. */
export function gatewayRecord(gateway: Configuration): GatewayRecord {
  const spec = record(gateway.spec);
  const { uid = '', generation, deletionTimestamp, annotations = {} } = gateway.metadata;
  const infrastructure = record(spec['infrastructure']);
  return {
    ...described(gateway),
    uid,
    generation,
    deleting: deletionTimestamp !== undefined,
    annotations,
    className: text(spec['gatewayClassName']) ?? '',
    wantedAddresses: list(spec['addresses']).map((address) => {
      const { type, value } = record(address);
      return { type: text(type) ?? 'IPAddress', value: text(value) ?? '' };
    }),
    infrastructure: {
      labels: optionalStrings(infrastructure['labels']),
      annotations: optionalStrings(infrastructure['annotations']),
      parametersRef: parametersOf(infrastructure['parametersRef']),
    },
    addresses: list(record(gateway.status)['addresses']).flatMap(
      (address) => addressOf(record(address)) ?? [],
    ),
    listeners: list(spec['listeners']).map((listener) => listenerOf(record(listener))),
    inboundBinding: annotations[INBOUND_BINDING],
  };
}

/** What is kept of a GatewayClass. */
export function gatewayClassRecord({ metadata, spec }: Configuration): GatewayClassRecord {
  const { name, labels = {}, annotations = {} } = metadata;
  const controllerName = text(record(spec)['controllerName']) ?? '';
  return { name, labels, controllerName, inboundBinding: annotations[INBOUND_BINDING] };
}

type Written = Readonly<Record<string, unknown>>;

function addressOf(address: Written): GatewayRecordAddress | undefined {
  if (address['type'] === 'Hostname') {
    const hostname = wireName(address['value']);
    return hostname === undefined ? undefined : { kind: 'hostname', hostname };
  }
  const ip = parseIp(text(address['value']) ?? '');
  return ip === undefined ? undefined : { kind: 'ip', ip };
}

function optionalStrings(value: unknown): Labels | undefined {
  return value === undefined || value === null ? undefined : stringRecord(value);
}

/** `ConfigMap/name`, with the group in front when there is one. */
function parametersOf(value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  const { group, kind, name } = record(value);
  return [text(group), text(kind), text(name)].filter((part) => part !== undefined).join('/');
}

function listenerOf(listener: Written): GatewayListener {
  const allowed = record(listener['allowedRoutes']);
  return {
    name: text(listener['name']) ?? '',
    port: port(listener['port']) ?? 0,
    protocol: text(listener['protocol']) ?? '',
    from: allowedFrom(record(allowed['namespaces'])),
    kinds: list(allowed['kinds']).map((kind) => ({
      group: text(record(kind)['group']) ?? GROUP,
      kind: text(record(kind)['kind']) ?? '',
    })),
  };
}

function allowedFrom(namespaces: Written): AllowedFrom {
  switch (namespaces['from']) {
    case 'All':
      return { kind: 'all' };
    case 'None':
      return { kind: 'none' };
    case 'Selector':
      return { kind: 'selector', matches: record(namespaces['selector']) };
    default:
      return { kind: 'same' };
  }
}
