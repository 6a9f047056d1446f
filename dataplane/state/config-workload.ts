import {
  optionalText,
  readGateway,
  readIp,
  readList,
  readName,
  readNamespacedHost,
  readOptionalName,
  readPort,
  readPorts,
} from './config-types.ts';
import type { ConfigValue } from './config-value.ts';
import { type PolicyKey, parsePolicyKey, type WorkloadUid } from './names.ts';
import { type ApplicationTunnel, type Locality, type Workload, workloadOf } from './workload.ts';

const WORKLOAD_FIELDS = [
  'uid',
  'name',
  'namespace',
  'workloadIps',
  'hostname',
  'network',
  'protocol',
  'trustDomain',
  'serviceAccount',
  'waypoint',
  'networkGateway',
  'node',
  'clusterId',
  'canonicalName',
  'canonicalRevision',
  'workloadName',
  'workloadType',
  'nativeTunnel',
  'applicationTunnel',
  'authorizationPolicies',
  'status',
  'locality',
  'networkMode',
  'capacity',
  'services',
];

/** A capacity is a 32-bit number on the wire. */
const CAPACITY_MAX = 4_294_967_295;

/** Reads a workload; what isn't given gets the defaults of {@link workloadOf}. */
export function readWorkload(value: ConfigValue): Workload {
  const fields = value.fields(WORKLOAD_FIELDS);
  return workloadOf({
    uid: fields.required('uid', '' as WorkloadUid, readUid),
    name: fields.required('name', '', readName),
    namespace: fields.required('namespace', '', readName),
    ips: fields.optional('workloadIps', [], (ips) => readList(ips, readIp)),
    hostname: fields.optional('hostname', '', readOptionalName).toLowerCase(),
    network: optionalText(fields, 'network'),
    protocol: fields.optional('protocol', 'TCP', (protocol) => protocol.oneOf(['TCP', 'HBONE'])),
    trustDomain: fields.optional('trustDomain', '', readOptionalName),
    serviceAccount: fields.optional('serviceAccount', '', readOptionalName),
    waypoint: fields.nullable('waypoint', readGateway),
    networkGateway: fields.nullable('networkGateway', readGateway),
    node: optionalText(fields, 'node'),
    clusterId: optionalText(fields, 'clusterId'),
    canonicalName: optionalText(fields, 'canonicalName'),
    canonicalRevision: optionalText(fields, 'canonicalRevision'),
    workloadName: optionalText(fields, 'workloadName'),
    workloadType: fields.optional('workloadType', 'deployment', (type) =>
      type.oneOf(['deployment', 'cronjob', 'pod', 'job']),
    ),
    nativeTunnel: fields.optional('nativeTunnel', false, (native) => native.boolean()),
    applicationTunnel: fields.nullable('applicationTunnel', readApplicationTunnel),
    authorizationPolicies: fields.optional('authorizationPolicies', [], (keys) =>
      readList(keys, readPolicyKey),
    ),
    status: fields.optional('status', 'Healthy', (status) =>
      status.oneOf(['Healthy', 'Unhealthy']),
    ),
    locality: fields.optional('locality', { region: '', zone: '', subzone: '' }, readLocality),
    networkMode: fields.optional('networkMode', 'Standard', (mode) =>
      mode.oneOf(['Standard', 'HostNetwork']),
    ),
    capacity: fields.optional('capacity', 1, (capacity) => capacity.integer(0, CAPACITY_MAX)),
    services: fields.optional<Workload['services']>('services', new Map(), readServices),
  });
}

function readUid(value: ConfigValue): WorkloadUid {
  const uid = value.text();
  if (uid === '') value.problem('Want a uid, got an empty text');
  return uid as WorkloadUid;
}

function readPolicyKey(value: ConfigValue): PolicyKey | undefined {
  const key = parsePolicyKey(value.text());
  if (key === undefined) value.problem(`Want "namespace/name", got ${value.describe()}`);
  return key;
}

function readApplicationTunnel(value: ConfigValue): ApplicationTunnel {
  const fields = value.fields(['protocol', 'port']);
  return {
    protocol: fields.required('protocol', 'NONE', (protocol) => protocol.oneOf(['NONE', 'PROXY'])),
    port: fields.nullable('port', readPort),
  };
}

function readLocality(value: ConfigValue): Locality {
  const fields = value.fields(['region', 'zone', 'subzone']);
  return {
    region: optionalText(fields, 'region'),
    zone: optionalText(fields, 'zone'),
    subzone: optionalText(fields, 'subzone'),
  };
}

/** `{ namespace/hostname: { 80: 8080 } }`. */
function readServices(value: ConfigValue): Workload['services'] {
  return new Map(
    value.entries().map(([host, ports]) => [readNamespacedHost(host), readPorts(ports)] as const),
  );
}
