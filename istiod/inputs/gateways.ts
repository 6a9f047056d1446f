import { parseIp } from '#common/net/address.ts';
import type { Configuration } from '#kube/resources.ts';

import type {
  AllowedFrom,
  GatewayClassRecord,
  GatewayListener,
  GatewayRecord,
  GatewayRecordAddress,
} from '../model/waypoint.ts';
import { described, list, port, record, text, wireName } from './metadata.ts';

const INBOUND_BINDING = 'ambient.istio.io/waypoint-inbound-binding';

/** What is kept of a Gateway. */
export function gatewayRecord(gateway: Configuration): GatewayRecord {
  const spec = record(gateway.spec);
  return {
    ...described(gateway),
    className: text(spec['gatewayClassName']) ?? '',
    addresses: list(record(gateway.status)['addresses']).flatMap(
      (address) => addressOf(record(address)) ?? [],
    ),
    listeners: list(spec['listeners']).map((listener) => listenerOf(record(listener))),
    inboundBinding: gateway.metadata.annotations?.[INBOUND_BINDING],
  };
}

/** What is kept of a GatewayClass. */
export function gatewayClassRecord({ metadata }: Configuration): GatewayClassRecord {
  const { labels = {}, annotations = {} } = metadata;
  return { name: metadata.name, labels, inboundBinding: annotations[INBOUND_BINDING] };
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

function listenerOf(listener: Written): GatewayListener {
  return {
    port: port(listener['port']) ?? 0,
    protocol: text(listener['protocol']) ?? '',
    from: allowedFrom(record(record(listener['allowedRoutes'])['namespaces'])),
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
