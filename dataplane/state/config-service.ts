import {
  readGateway,
  readHostname,
  readIdentity,
  readList,
  readName,
  readNetworkAddress,
  readNetworkCidr,
  readPorts,
} from './config-types.ts';
import type { ConfigValue } from './config-value.ts';
import {
  LOCALITY_SCOPES,
  type LoadBalancing,
  type Service,
  serviceOf,
  type WeightedWaypoint,
} from './service.ts';
import type { PortMap } from './workload.ts';

const SERVICE_FIELDS = [
  'name',
  'namespace',
  'hostname',
  'vips',
  'cidrVips',
  'ports',
  'endpoints',
  'subjectAltNames',
  'waypoint',
  'weightedWaypoints',
  'loadBalancer',
  'ipFamilies',
  'canonical',
  'visibility',
];

/** A weight is a 32-bit number on the wire. */
const WEIGHT_MAX = 4_294_967_295;

/** Reads a service; what isn't given gets the defaults of {@link serviceOf}. */
export function readService(value: ConfigValue): Service {
  const fields = value.fields(SERVICE_FIELDS);
  fields.optional('endpoints', undefined, refuseEndpoints);
  return serviceOf({
    name: fields.required('name', '', readName),
    namespace: fields.required('namespace', '', readName),
    hostname: fields.required('hostname', '', readHostname),
    vips: fields.optional('vips', [], (vips) => readList(vips, readNetworkAddress)),
    cidrVips: fields.optional('cidrVips', [], (vips) => readList(vips, readNetworkCidr)),
    ports: fields.optional<PortMap>('ports', new Map(), readPorts),
    subjectAltNames: fields.optional('subjectAltNames', [], (names) =>
      readList(names, readIdentity),
    ),
    waypoint: fields.nullable('waypoint', readGateway),
    weightedWaypoints: fields.optional('weightedWaypoints', [], (waypoints) =>
      readList(waypoints, readWeightedWaypoint),
    ),
    loadBalancer: fields.nullable('loadBalancer', readLoadBalancing),
    ipFamilies: fields.nullable('ipFamilies', (families) =>
      families.oneOf(['Dual', 'IPv4', 'IPv6']),
    ),
    canonical: fields.optional('canonical', false, (canonical) => canonical.boolean()),
    visibility: fields.optional('visibility', 'Public', (visibility) =>
      visibility.oneOf(['Public', 'Namespace']),
    ),
  });
}

function readWeightedWaypoint(value: ConfigValue): WeightedWaypoint | undefined {
  const fields = value.fields(['destination', 'weight']);
  const destination = fields.required('destination', undefined, readGateway);
  const weight = fields.required('weight', 0, (text) => text.integer(0, WEIGHT_MAX));
  return destination === undefined ? undefined : { destination, weight };
}

function readLoadBalancing(value: ConfigValue): LoadBalancing {
  const fields = value.fields(['mode', 'routingPreferences', 'healthPolicy']);
  return {
    mode: fields.optional('mode', 'Standard', (mode) =>
      mode.oneOf(['Standard', 'Strict', 'Failover', 'Passthrough']),
    ),
    routingPreferences: fields.optional('routingPreferences', [], (scopes) =>
      readList(scopes, (scope) => scope.oneOf(LOCALITY_SCOPES)),
    ),
    healthPolicy: fields.optional('healthPolicy', 'OnlyHealthy', (policy) =>
      policy.oneOf(['OnlyHealthy', 'AllowAll']),
    ),
  };
}

/** A dump of a running tunnel has them; here the workloads say what they serve, and nothing else does. */
function refuseEndpoints(value: ConfigValue): undefined {
  for (const [uid] of value.entries()) {
    uid.problem('Endpoints are not read: name this service in "services" of the workload');
  }
}
