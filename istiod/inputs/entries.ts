import { Service_Visibility as Visibility } from '#api/gen/workload_pb.ts';
import { parseIp } from '#common/net/address.ts';
import { parseCidr } from '#common/net/cidr.ts';
import type { Configuration } from '#kube/resources.ts';

import type {
  EntryAddress,
  EntryEndpoint,
  ServiceEntryRecord,
  WorkloadEntryRecord,
} from '../model/entry.ts';
import type { ServiceAddress, ServicePort, ServiceRecord } from '../model/service.ts';
import { protocolNamed } from '../translate/protocols.ts';
import { described, list, port, record, selectorOf, stringRecord, text } from './metadata.ts';

const TRAFFIC_DISTRIBUTION = 'networking.istio.io/traffic-distribution';
const GROUP = 'istio.io/autoRegistrationGroup';
const WORKLOAD_NAME = 'service.istio.io/workload-name';
const BY_DNS: ReadonlySet<unknown> = new Set(['DNS', 'DNS_ROUND_ROBIN', 'DYNAMIC_DNS']);

type Written = Readonly<Record<string, unknown>>;

/** What is kept of a ServiceEntry. */
export function serviceEntryRecord(entry: Configuration): ServiceEntryRecord {
  const spec = record(entry.spec);
  const base = described(entry);
  const selector = selectorOf(record(spec['workloadSelector'])['labels']);
  const endpoints = list(spec['endpoints']).map((endpoint) => endpointOf(record(endpoint)));
  const hosts = new Set(list(spec['hosts']).flatMap((host) => text(host) ?? []));
  const common: Omit<ServiceRecord, 'hostname' | 'addresses'> = {
    ...base,
    kind: 'ServiceEntry',
    selector,
    ports: portsOf(spec),
    families: [],
    balancing: {
      internalTrafficPolicy: undefined,
      trafficDistribution: undefined,
      annotation: entry.metadata.annotations?.[TRAFFIC_DISTRIBUTION],
      publishNotReady: false,
      passthrough: spec['resolution'] === undefined || spec['resolution'] === 'NONE',
    },
    subjectAltNames: list(spec['subjectAltNames']).flatMap((name) => text(name) ?? []),
    visibility: Visibility.PUBLIC,
  };
  return {
    ...base,
    services: [...hosts].map((hostname) => ({
      ...common,
      hostname,
      addresses: addressesOf(entry, hostname),
    })),
    endpoints,
    byDns: endpoints.length === 0 && selector === undefined && BY_DNS.has(spec['resolution']),
  };
}

/** What is kept of a WorkloadEntry. */
export function workloadEntryRecord(entry: Configuration): WorkloadEntryRecord {
  const base = described(entry);
  const endpoint = endpointOf(record(entry.spec));
  const labels = { ...base.labels, ...endpoint.labels };
  const name = entry.metadata.annotations?.[GROUP] ?? labels[WORKLOAD_NAME] ?? base.name;
  return { ...base, labels, endpoint: { ...endpoint, labels }, workloadName: name };
}

function endpointOf(written: Written): EntryEndpoint {
  const [region = '', zone = '', subzone = ''] = (text(written['locality']) ?? '').split('/');
  const weight = written['weight'];
  const ports = Object.entries(record(written['ports'])).flatMap(([name, value]) => {
    const number = port(value);
    return number === undefined ? [] : [[name, number] as const];
  });
  return {
    address: entryAddress(text(written['address'])),
    ports: new Map(ports),
    labels: stringRecord(written['labels']),
    network: text(written['network']),
    locality: { region, zone, subzone },
    weight: typeof weight === 'number' && weight > 0 ? weight : undefined,
    serviceAccount: text(written['serviceAccount']) ?? '',
  };
}

function entryAddress(written: string | undefined): EntryAddress {
  if (written === undefined) return { kind: 'none' };
  const ip = parseIp(written);
  return ip === undefined ? { kind: 'hostname', hostname: written } : { kind: 'ip', ip };
}

function portsOf(spec: Written): readonly ServicePort[] {
  return list(spec['ports']).flatMap((one) => {
    const written = record(one);
    const number = port(written['number']);
    if (number === undefined) return [];
    const name = text(written['name']) ?? '';
    const protocol = protocolNamed(text(written['protocol']) ?? '');
    return [{ name, number, target: port(written['targetPort']) ?? number, protocol }];
  });
}

/** What the author wrote, or else what was allocated for this host. */
function addressesOf(entry: Configuration, hostname: string): readonly ServiceAddress[] {
  const written = list(record(entry.spec)['addresses']);
  const allocated = list(record(entry.status)['addresses'])
    .map(record)
    .filter(({ host }) => host === undefined || host === hostname)
    .map(({ value }) => value);
  return (written.length > 0 ? written : allocated).flatMap((value) => {
    const given = text(value) ?? '';
    const cidr = parseCidr(given);
    if (cidr === undefined) return [];
    return [{ ip: cidr.ip, prefixLength: given.includes('/') ? cidr.prefixLength : undefined }];
  });
}
