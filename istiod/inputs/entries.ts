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
import { list, record, text } from '../model/written.ts';
import { protocolNamed } from '../translate/protocols.ts';
import { described, port, selectorOf, stringRecord, wireName } from './metadata.ts';

const TRAFFIC_DISTRIBUTION = 'networking.istio.io/traffic-distribution';
const GROUP = 'istio.io/autoRegistrationGroup';
const WORKLOAD_NAME = 'service.istio.io/workload-name';
const BY_DNS: ReadonlySet<unknown> = new Set(['DNS', 'DNS_ROUND_ROBIN', 'DYNAMIC_DNS']);

/** What an unsigned 32-bit number holds. */
const WEIGHT_MAX = 0xff_ff_ff_ff;

type Written = Readonly<Record<string, unknown>>;

/** What is kept of a ServiceEntry. */
export function serviceEntryRecord(entry: Configuration): ServiceEntryRecord {
  const spec = record(entry.spec);
  const base = described(entry);
  const selector = selectorOf(record(spec['workloadSelector'])['labels']);
  const endpoints = list(spec['endpoints']).flatMap((one) => endpointOf(record(one)) ?? []);
  const hosts = new Set(list(spec['hosts']).flatMap((host) => wireName(host) ?? []));
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
    byDns:
      list(spec['endpoints']).length === 0 &&
      selector === undefined &&
      BY_DNS.has(spec['resolution']),
  };
}

/** What is kept of a WorkloadEntry; undefined for one that can't be reached as it is written. */
export function workloadEntryRecord(entry: Configuration): WorkloadEntryRecord | undefined {
  const base = described(entry);
  const endpoint = endpointOf(record(entry.spec));
  if (endpoint === undefined) return undefined;
  const labels = { ...base.labels, ...endpoint.labels };
  const workloadName = entry.metadata.annotations?.[GROUP] ?? labels[WORKLOAD_NAME] ?? base.name;
  return { ...base, labels, endpoint: { ...endpoint, labels }, workloadName };
}

/** Undefined: what it says of its address or of who it is can't be read, and it must not be taken for something else. */
function endpointOf(written: Written): EntryEndpoint | undefined {
  const address = entryAddress(text(written['address']));
  const serviceAccount = text(written['serviceAccount']);
  if (address === undefined) return undefined;
  if (serviceAccount !== undefined && wireName(serviceAccount) === undefined) return undefined;
  const [region = '', zone = '', subzone = ''] = (text(written['locality']) ?? '').split('/');
  const ports = Object.entries(record(written['ports'])).flatMap(([portName, value]) => {
    const number = port(value);
    return number === undefined ? [] : [[portName, number] as const];
  });
  return {
    address,
    ports: new Map(ports),
    labels: stringRecord(written['labels']),
    network: text(written['network']),
    locality: { region, zone, subzone },
    weight: weightOf(written['weight']),
    serviceAccount: serviceAccount ?? '',
  };
}

/** 0 is as good as none. */
function weightOf(value: unknown): number | undefined {
  const isWeight = typeof value === 'number' && Number.isInteger(value) && value > 0;
  return isWeight && value <= WEIGHT_MAX ? value : undefined;
}

/** Undefined: neither an address nor a name, such as `unix:///path`, where no connection of a pod can go. */
function entryAddress(written: string | undefined): EntryAddress | undefined {
  if (written === undefined) return { kind: 'none' };
  const ip = parseIp(written);
  if (ip !== undefined) return { kind: 'ip', ip };
  const hostname = wireName(written);
  return hostname === undefined ? undefined : { kind: 'hostname', hostname };
}

function portsOf(spec: Written): readonly ServicePort[] {
  return list(spec['ports']).flatMap((one) => {
    const written = record(one);
    const number = port(written['number']);
    if (number === undefined) return [];
    const protocol = protocolNamed(text(written['protocol']) ?? '');
    const portName = text(written['name']) ?? '';
    return [{ name: portName, number, target: port(written['targetPort']) ?? number, protocol }];
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
